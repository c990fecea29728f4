"""
Contacts of three systems in a real Airflow: a week of Turn.io, snapshots of GREEN-API, and checks of a CRM's numbers.

The demo syncs the week twice while contacts keep changing, takes a snapshot before and after an edit of the phone, and
checks numbers, again when their results are stale.

``make demo`` runs it; ``make demo KEEP=1`` leaves Airflow's UI up until Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import create_engine

from airflow_provider_wacontacts.sandbox import Sandbox
from demo import checks, snapshots
from demo.checks import CHECK, REVALIDATE
from demo.checks_report import print_checks
from demo.crm import Crm, invented_contacts
from demo.deployment import AirflowDeployment
from demo.failures import last_words
from demo.output import AIRFLOW_HOME, CRM, FILES, OUTPUT, STORE, AlreadyRunningError, fresh_output, shown_path
from demo.processes import ProcessEndedError, exit_on_signals
from demo.report import NotKeptError, print_places, print_report
from demo.running import DeploymentError
from demo.tables import Progress, heading
from demo.week import AFTER, DAYS, MONDAY, Day, make_world

DAG = "turn_contacts_daily"
HERE = Path(__file__).resolve().parent
ASKED_TO_KEEP = os.environ.get("KEEP", "").lower() not in ("", "0", "false", "no")


def main() -> int:
    """Run the demo; return the process's exit code."""
    try:
        with exit_on_signals(), fresh_output():
            _run(Progress())
    except (KeyboardInterrupt, SystemExit) as stopped:
        print("\nStopped. All processes have ended.")
        return stopped.code if isinstance(stopped, SystemExit) and isinstance(stopped.code, int) else 130
    except (AlreadyRunningError, DeploymentError, NotKeptError, ProcessEndedError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(progress: Progress) -> None:
    print(heading("Contacts of Turn.io, GREEN-API and WhatsApp, in a real Airflow"))
    week = Day.week()
    with Sandbox(make_world(), now=MONDAY) as turn, checks.make_whatsapp(snapshots.address_book()) as whatsapp:
        crm = Crm(create_engine(f"sqlite:///{CRM}"), invented_contacts())
        span = f"{week[0].name} to {week[-1].name} {MONDAY.year}"
        progress.say(f"the mock server of Turn.io is up: {len(turn.world)} invented contacts, {span}")
        progress.say(f"the mock server of WhatsApp is up, and a CRM with {len(crm.contacts)} invented contacts")
        listed = len(whatsapp.green_api.rows())
        progress.say(f"the mock server of GREEN-API is up: a phone with {listed} invented contacts")
        progress.say("Airflow is starting: scheduler, DAG processor, triggerer, API server")
        with _deployment(turn, whatsapp) as airflow:
            progress.say(f"Airflow is up at {airflow.url}")
            for dag_id in (DAG, CHECK, REVALIDATE, snapshots.SNAPSHOT):
                airflow.unpause(dag_id)
            print(heading("A week of Turn.io: each day, shortly after its end"))
            _pull_the_week(airflow, progress)
            print(heading(f"WhatsApp: the numbers of a CRM, {whatsapp.clock.now():%d %b %Y}"))
            ran = [checks.run(airflow, progress, whatsapp, crm, CHECK)]
            taken = [snapshots.take(airflow, progress, whatsapp)]
            print(heading("Turn.io: the same days once more, after the week"))
            _pull_the_week(airflow, progress, again=True)
            checks.let_days_pass(whatsapp, crm)
            snapshots.edit(whatsapp, crm)
            print(heading(f"WhatsApp: stale results and new numbers, {whatsapp.clock.now():%d %b %Y}"))
            ran += [checks.run(airflow, progress, whatsapp, crm, REVALIDATE)]
            whatsapp.whatsapp.change(processing_share=0.0)  # from now on every answer comes at once
            ran += [checks.run(airflow, progress, whatsapp, crm, CHECK)]
            taken += [snapshots.take(airflow, progress, whatsapp)]
            print_report(turn.world, pulled_again_at=turn.clock.now())
            print_checks(whatsapp, crm, ran)
            snapshots.print_snapshots(taken)
            snapshots.print_directory()
            print_places()
            if ASKED_TO_KEEP:
                _keep(airflow)
    progress.say(f"done; all processes have ended. The output is in {shown_path(OUTPUT)}/")


def _deployment(turn: Sandbox, whatsapp: Sandbox) -> AirflowDeployment:
    return AirflowDeployment(
        AIRFLOW_HOME,
        HERE.parent / "dags",
        connections={
            "turn_default": {"conn_type": "turn", "host": turn.url, "password": turn.token},
            "whatsapp_business_default": checks.connection_to(whatsapp),
            "green_api_default": snapshots.connection_to(whatsapp),
            "wacontacts_store": {"conn_type": "sqlite", "host": str(STORE)},
            "crm": {"conn_type": "sqlite", "host": str(CRM)},
        },
        variables={"wacontacts_path": FILES.as_uri()},
        pools={"turn": 1, "green_api": 1},
        plugins_folder=HERE / "plugins",
        env={
            "DEMO_CLOCK_URL": f"{turn.url}/sandbox/clock",
            "DEMO_AFTER_S": str(AFTER.total_seconds()),
            # Nobody in it exists.
            "AIRFLOW__WACONTACTS__SHOW_PEOPLE": "True",
            # The week is in the past: only what a backfill asks for is to run.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        },
    )


def _pull_the_week(airflow: AirflowDeployment, progress: Progress, *, again: bool = False) -> None:
    first, last = Day(0).date, Day(DAYS - 1).date
    reprocess = "completed" if again else "none"
    if again:
        progress.say("once Airflow has closed the first backfill, which it does every half minute")
    run_ids = airflow.backfill(DAG, first, last, reprocess=reprocess)
    progress.say(f"airflow backfill create --dag-id {DAG} --from-date {first} --to-date {last} --max-active-runs 1")
    if again:
        progress.say("    --reprocess-behavior completed")
    days = dict(zip(run_ids, Day.week(), strict=True))

    def tell(states: dict[str, str]) -> None:
        if words := last_words(airflow, DAG):
            raise DeploymentError(words)
        for run_id in [run_id for run_id, state in states.items() if state == "success" and run_id in days]:
            progress.say(_landed(airflow, run_id, days.pop(run_id)))

    airflow.wait_for_runs(DAG, run_ids, seen=tell)


def _landed(airflow: AirflowDeployment, run_id: str, day: Day) -> str:
    store, files = (airflow.xcom(DAG, run_id, task) for task in ("to_store", "to_files"))
    new = f"{store['new_versions']:>3} versions are new to the store"
    return f"{day.name}: {store['rows']:>3} contacts, {new}; {files['rows']:>3} into files"


def _keep(airflow: AirflowDeployment) -> None:
    print(heading("Airflow stays up until Ctrl-C"))
    print(f"  {airflow.url}   login: {airflow.username}   password: {airflow.password}")
    print(f"  {airflow.url}/plugin/wacontacts   what was synced, what was missed, and what needs attention", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
