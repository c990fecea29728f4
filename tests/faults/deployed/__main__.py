"""
``make faults ARGS=deployed``: faults under a real scheduler, triggerer and two Celery workers, against plain models.

A round is work of every kind, all of it at once: a backfill, snapshots, checks that are waited for, revalidation, an
import of files, an erasure. One fault strikes it again and again. Then every run must succeed, and what is there is
compared with the models. A seed gives the same order of faults and the same choices among what runs.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from demo.processes import exit_on_signals
from tests.faults.campaign import Tally, table
from tests.faults.deployed.deployment import Deployment, deployed
from tests.faults.deployed.strikes import FAULTS, Fault
from tests.faults.deployed.work import Follower, Work, number_pattern
from tests.faults.subjects import Found

#: Seconds in which a round's runs must succeed once nothing strikes any more.
HUNG_S = 400
#: Seconds for which a round is struck.
STRUCK_S = 120
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

    def run(self, faults: Sequence[Fault], seconds: float) -> None:
        """Strike by each fault in turn until the time is up."""
        while True:
            for fault in self.chance.sample(faults, len(faults)):
                if time.monotonic() - self._began > seconds:
                    return
                self._round(fault, next(self._numbers))

    def _round(self, fault: Fault, number: int) -> None:
        work = Work(self.deployment, number, self.chance, fault.plan)
        tally = self.tallies[fault.name]
        self._say(f"round {number}: {fault.name}")
        work.begin()
        tally.rounds += self._strike(fault, work)
        is_done = self._finish(work) and self._conclude(work)
        found, wrong = work.verify(self.follower)
        leaked = self._leaks()
        tally.found = tally.found.plus(found).plus(Found(leaked=len(leaked)))
        tally.hung += 0 if is_done else len(work.unfinished())
        hung = [f"hung: {dag_id} {run_id}" for dag_id, run_id in work.unfinished()]
        self._say(f"round {number}: {'; '.join([*wrong, *leaked, *hung]) or 'nothing is wrong'}")

    def _strike(self, fault: Fault, work: Work) -> int:
        struck, until, is_erasing = 0, time.monotonic() + STRUCK_S, False
        while work.unfinished() and time.monotonic() < until and struck < fault.times:
            if what := fault.strike(self.deployment, self.chance) if fault.strike else "everything":
                struck += 1
                self._say(f"  {fault.name}: {what}")
            if not is_erasing and (struck > fault.times / 3 or fault.strike is None):
                work.erase()
                is_erasing = True
            work.change()
            time.sleep(self.chance.uniform(*fault.pause))
        if not is_erasing:
            work.erase()
        return struck

    def _finish(self, work: Work) -> bool:
        return self.deployment.wait(lambda: not work.unfinished(), HUNG_S)

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


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="make faults ARGS=deployed", description=__doc__)
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the rounds (random)")
    options.add_argument("--seconds", type=float, default=900, help="how long new rounds begin (900)")
    options.add_argument("--only", default="", help="faults whose name has this pattern in it (all)")
    given = options.parse_args(arguments)
    faults = [fault for fault in FAULTS if re.search(given.only, fault.name)]
    sys.stderr.write(f"seed {given.seed}, {given.seconds:.0f} s\n")
    with exit_on_signals(), tempfile.TemporaryDirectory() as home, deployed(Path(home)) as deployment:
        campaign = Campaign(deployment, given.seed)
        try:
            campaign.run(faults, given.seconds)
        finally:
            campaign.follower.stop()
            sys.stdout.write(f"{table(dict(sorted(campaign.tallies.items())))}\n")
    return int(not all(tally.is_clean for tally in campaign.tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
