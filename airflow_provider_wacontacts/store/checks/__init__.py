"""
Numbers in tables of PostgreSQL or SQLite: what is known of them, who asks about them now, and what that may cost.

.. code-block:: python

    checks = Checks(store, sender, daily_checks=1_000)
    check = checks.open(rules)
    if not check.is_filled:
        check.fill(inputs)
    for number_ids in check.queued(100):
        claimed = check.lease(number_ids)
        check.record(answers_about(claimed.numbers))
    totals = check.finish()

A number is asked about only under a claim, which runs out by itself; the budget is drawn in the transaction that
claims. An answer is kept unless a newer one is there, and handed to every check that waits for it.
"""
