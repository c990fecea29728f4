"""DAGs of the tests of complete runs: unsettled windows, a replaced token, numbers in a list, and every failure."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLExecuteQueryOperator
from airflow.providers.common.sql.sensors.sql import SqlSensor

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator, EraseContactsOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

BEGAN = datetime(2022, 1, 1, tzinfo=UTC)
WINDOW = {"start": "{{ dag_run.conf['start'] }}", "end": "{{ dag_run.conf['end'] }}"}
#: The connection that is wrong, and what else makes the task fail.
FAILURES = {
    "wrong_token": {"turn_conn_id": "turn_wrong_token"},
    "not_in_the_plan": {"turn_conn_id": "turn_forbidden"},
    "talkative_refusal": {"turn_conn_id": "turn_talkative"},
    "page_of_html": {"turn_conn_id": "turn_html"},
    "cut_answers": {"turn_conn_id": "turn_cut", "execution_timeout": timedelta(seconds=4)},
    "unreadable_contacts": {"turn_conn_id": "turn_unreadable", "max_rejected": 0.0},
    "no_such_connection": {"turn_conn_id": "turn_missing"},
    "unreachable_store": {"store_conn_id": "store_unreachable"},
    "naive_start": {"start": "2022-09-12T00:00:00"},
}
CONTACTS = {"contacts_conn_id": "crm", "contacts_sql": "SELECT number FROM contacts"}
FAILING_CHECKS = {
    "wrong_password": {"whatsapp_business_conn_id": "whatsapp_wrong_password"},
    "talkative_client": {"whatsapp_business_conn_id": "whatsapp_talkative"},
    # The database's own error quotes the first number.
    "talkative_database": {"contacts_sql": "SELECT CAST(number AS integer) AS number FROM contacts"},
}

with DAG("settling", schedule=None, start_date=BEGAN, catchup=False):
    TurnContactsToSqlOperator(
        task_id="pull",
        **WINDOW,
        settle=timedelta(seconds=30),
        lookback=timedelta(0),
        account="settling",
        outlets=[store_asset(source="turn", account="settling")],
    )

with DAG("limited", schedule=None, start_date=BEGAN, catchup=False):
    TurnContactsToSqlOperator(task_id="pull", **WINDOW, turn_conn_id="turn_limited")

with DAG("rotated", schedule=None, start_date=BEGAN, catchup=False):
    TurnContactsToSqlOperator(task_id="pull", **WINDOW, turn_conn_id="turn_rotated")

with DAG("failures", schedule=None, start_date=BEGAN, catchup=False):
    for name, arguments in FAILURES.items():
        TurnContactsToSqlOperator(task_id=name, **{**WINDOW, **arguments})
    TurnContactsToObjectStorageOperator(
        task_id="talkative_refusal_to_files",
        **WINDOW,
        turn_conn_id="turn_talkative",
        path="{{ var.value.wacontacts_path }}",
    )
    for name, arguments in FAILING_CHECKS.items():
        WhatsAppCheckContactsOperator(task_id=name, **{**CONTACTS, **arguments})
    WhatsAppContactsSensor(task_id="no_such_check", check_id="0" * 32, deferrable=True)

with DAG("querying", schedule=None, start_date=BEGAN, catchup=False):
    for name in ("store_with_schema", "store_in_sqlite"):
        sync = TurnContactsToSqlOperator(task_id=f"sync_{name}", **WINDOW, store_conn_id=name)
        wait = SqlSensor(task_id=f"wait_{name}", conn_id=name, sql="SELECT count(*) FROM wacontacts_current")
        check = SQLColumnCheckOperator(
            task_id=f"check_{name}",
            conn_id=name,
            table="wacontacts_current",
            column_mapping={"contact_id": {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}}},
        )
        count = SQLExecuteQueryOperator(
            task_id=f"count_{name}",
            conn_id=name,
            sql="SELECT count(*) FROM wacontacts_current",
            handler=lambda cursor: cursor.fetchone()[0],
        )
        sync >> wait >> check >> count

with DAG("numbers_in_a_list", schedule=None, start_date=BEGAN, catchup=False):
    WhatsAppCheckContactsOperator(task_id="check", contacts=["+12015557001", {"number": "+12015557002"}])

with DAG("forgetting", schedule=None, start_date=BEGAN, catchup=False):
    OWN = {"turn_conn_id": "turn_forgotten", **WINDOW}
    STORE, PATH = {"store_conn_id": "store_forgotten"}, "{{ var.value.forgotten_path }}"
    in_clear = TurnContactsToSqlOperator(task_id="in_clear", **OWN, **STORE)
    pseudonymised = TurnContactsToObjectStorageOperator(
        task_id="pseudonymised",
        **OWN,
        account="pseudonyms",
        path=PATH,
        erased_conn_id="store_forgotten",
        pseudonymize=["details.whatsapp_id", "details.name"],
        pseudonym_conn_id="store_forgotten",
    )
    land = ContactFilesToSqlOperator(task_id="land", path=PATH, **STORE)
    known = "SELECT wa_id FROM forgotten.wacontacts_current WHERE account = 'turn_forgotten'"
    erase = EraseContactsOperator(task_id="erase", contacts_sql=known, paths=[PATH], **STORE)
    in_clear >> pseudonymised >> land >> erase
