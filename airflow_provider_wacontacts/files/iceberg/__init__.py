"""
Contacts in a table of Apache Iceberg: each extraction is appended once, and nothing is changed.

A row is a contact as one extraction returned it. The current contacts and their history are queries over the rows,
which give the same result whatever the order in which extractions were appended. ``pyiceberg`` and ``pyarrow`` are
optional dependencies, so functions import them.
"""
