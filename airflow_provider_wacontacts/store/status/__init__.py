"""
How a store stands: which feeds were pulled, how far they reach and what they miss, and what its senders have spent.

.. code-block:: python

    with context.read() as db:
        feeds = read_feeds(db, selection, late_after=context.late_after)
        senders = read_senders(db, selection, now=context.now())

Nothing is written, and nothing is locked. The ledger of two years of hourly windows is gone through in the database;
what comes out of it is a few rows for each account.
"""
