"""
Contacts in a table of Apache Iceberg: each extraction is appended once, and rows never change.

A row is a contact as one extraction returned it. The current contacts and their history are queries over the rows.
Their results do not depend on the order in which extractions were appended. ``pyiceberg`` and ``pyarrow`` are optional
dependencies, so functions import them.
"""
