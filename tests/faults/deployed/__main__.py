"""
``make faults ARGS=deployed``: faults of a real scheduler, triggerer and two Celery workers, compared with models.

A round is work of every kind, run concurrently: a backfill, snapshots, checks with their waits, revalidation, an
import of files, an erasure. Three faults occur repeatedly, in some rounds through a proxy that also fails. Then every
run must succeed, and the results are compared with the models. Each error counts in the rows of all three faults. A
seed repeats the same choices of faults.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import count, cycle, islice
from pathlib import Path

from demo.processes import exit_on_signals
from tests.faults.campaign import Tally, read_options, table
from tests.faults.deployed.deployment import Deployment, deployed
from tests.faults.deployed.strikes import FAULTS, PLANS, Fault
from tests.faults.deployed.work import Follower, Plan, Work, number_pattern
from tests.faults.subjects import Found

#: Seconds in which a round's runs must succeed once nothing strikes any more.
HUNG_S = 600
#: Seconds for which a round is struck.
STRUCK_S = 300
#: Faults that strike a round.
AT_ONCE = 3
XCOMS = "SELECT count(*) FROM xcom WHERE CAST(value AS text) ~ :pattern"


class Campaign:
    """Rounds on one deployment."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.deployment = deployment
        self.chance = random.Random(seed)
        self.follower = Follower(deployment)
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self._began = time.monotonic()
        self._numbers = count(1)

    def run(self, faults: Sequence[Fault], plans: Mapping[str, Plan], seconds: float) -> None:
        """Strike by all faults in turn, :data:`AT_ONCE` at a time, until the time is up."""
        turns, planned = cycle(faults), cycle(plans.items())
        while time.monotonic() - self._began < seconds:
            name, plan = next(planned, ("", Plan()))
            together = [*islice(turns, min(AT_ONCE, len(faults)))]
            self._round(name, Work(self.deployment, next(self._numbers), self.chance, plan), together)

    def _round(self, name: str, work: Work, faults: Sequence[Fault]) -> None:
        self._say(f"round {work.number}: {', '.join(filter(None, [name, *(fault.name for fault in faults)]))}")
        work.begin()
        struck = self._strike(faults, work)
        is_done = self._finish(work) and self._conclude(work)
        work.close()
        struck |= {name: work.struck or 1} if name else {}
        found, wrong = work.verify(self.follower)
        leaked = self._leaks()
        hung = [] if is_done else [f"hung: {dag_id} {run_id}" for dag_id, run_id in work.unfinished()]
        for each, times in struck.items():
            tally = self.tallies[each]
            tally.rounds += times
            tally.found = tally.found.plus(found).plus(Found(leaked=len(leaked)))
            tally.hung += len(hung)
        self._say(f"round {work.number}: {'; '.join([*wrong, *leaked, *hung]) or 'nothing is wrong'}")
        self._say(table(dict(sorted(self.tallies.items())), "strikes"))

    def _strike(self, faults: Sequence[Fault], work: Work) -> Counter[str]:
        struck: Counter[str] = Counter()
        until, is_erasing = time.monotonic() + STRUCK_S, False
        while work.unfinished() and time.monotonic() < until:
            left = [fault for fault in faults for _ in range(fault.times - struck[fault.name])]
            if not left:
                break
            fault = self.chance.choice(left)
            if what := fault.strike(self.deployment, self.chance):
                struck[fault.name] += len(what)
                self._say(f"  {fault.name}: {', '.join(what)}")
            if not is_erasing and len(left) < 2 / 3 * sum(fault.times for fault in faults):
                work.erase()
                is_erasing = True
            work.change()
            time.sleep(self.chance.uniform(*fault.pause))
        if not is_erasing:
            work.erase()
        return struck

    def _finish(self, work: Work) -> bool:
        self.deployment.wait(lambda: work.failed() or not work.unfinished(), HUNG_S)
        return not work.unfinished()

    def _conclude(self, work: Work) -> bool:
        work.conclude()
        return self._finish(work)

    def _leaks(self) -> list[str]:
        pattern = re.compile(number_pattern())
        logs = self.deployment.fleet.task_logs()
        found = [
            f"leaked: a number in {path.name}" for path in logs if pattern.search(path.read_text(errors="replace"))
        ]
        ((xcoms,),) = self.deployment.rows(XCOMS, self.deployment.metadata, pattern=number_pattern())
        return [*found, *[f"leaked: numbers in {xcoms} XComs" for _ in range(min(1, xcoms))]]

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._began:6.0f} s  {text}\n")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    given = read_options(arguments, prog="make faults ARGS=deployed", description=__doc__, seconds=900)
    faults = [fault for fault in FAULTS if re.search(given.only, fault.name)]
    plans = {name: plan for name, plan in PLANS.items() if re.search(given.only, name)}
    sys.stderr.write(f"seed {given.seed}, {given.seconds:.0f} s\n")
    with exit_on_signals(), tempfile.TemporaryDirectory() as home, deployed(Path(home)) as deployment:
        campaign = Campaign(deployment, given.seed)
        try:
            campaign.run(faults, plans, given.seconds)
        finally:
            campaign.follower.stop()
            sys.stdout.write(f"{table(dict(sorted(campaign.tallies.items())), 'strikes')}\n")
    return int(not all(tally.is_clean for tally in campaign.tallies.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
