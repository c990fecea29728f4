"""
Checks of phone numbers, in PostgreSQL or SQLite: inputs, leases, the daily check budget, and results.

.. code-block:: python

    checks = SenderChecks(store.context, sender, daily_checks=1_000)
    check = checks.open(spec)
    if not check.is_filled:
        check.fill(inputs)
    for number_ids in check.queued(100):
        leased = check.lease(number_ids)
        check.record(results_of_a_request(leased.numbers))
    totals = check.finish()

A worker sends a number only under a lease, which expires after some minutes. The transaction that takes it charges the
budget. A result is stored unless the store has a newer one, and is copied to each check that waits for it.
"""
