"""All kinds of work for the campaign on a deployment. The conf of each run names its round."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.operators.green_api import (
    GreenApiCheckContactsOperator,
    GreenApiContactsToObjectStorageOperator,
    GreenApiContactsToSqlOperator,
)
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator, EraseContactsOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppCheckResultsToSqlOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

PATH = "{{ var.value.wacontacts_path }}"
TURN = {"turn_conn_id": "{{ dag_run.conf['turn'] }}", "account": "line", "lookback": timedelta(0)}
SENDER = {"whatsapp_business_conn_id": "{{ dag_run.conf['whatsapp'] }}"}
CHECK = {**SENDER, "batch_size": 5, "on_budget": "partial"}
WAIT = {**SENDER, "task_id": "wait", "deferrable": True, "timeout": 3600}
CONTACTS = {"contacts_conn_id": "crm", "contacts_sql": "SELECT contact_key, number FROM {{ dag_run.conf['table'] }}"}
MANUAL = {
    "start_date": datetime(2022, 1, 1, tzinfo=UTC),
    "catchup": False,
    "default_args": {"retries": 1000, "execution_timeout": timedelta(minutes=10)},
}

# Windows of one hour to eleven, of which daylight-saving time takes away one, or doubles it.
with DAG(
    "faults_windows",
    schedule=CronDataIntervalTimetable("30 1-3,12 * * *", timezone="Europe/Berlin"),
    max_active_runs=8,
    **MANUAL,
):
    TurnContactsToSqlOperator(task_id="to_store", **TURN)
    TurnContactsToObjectStorageOperator(task_id="to_files", path=PATH, erased_conn_id="wacontacts_store", **TURN)

with DAG("faults_window", schedule=None, **MANUAL):
    WINDOW = {"start": "{{ dag_run.conf['start'] }}", "end": "{{ dag_run.conf['end'] }}", "settle": timedelta(0)}
    TurnContactsToSqlOperator(task_id="to_store", **TURN, **WINDOW)

with DAG("faults_files", schedule=None, **MANUAL):
    ContactFilesToSqlOperator(task_id="load", path=PATH)

with DAG("faults_snapshot", schedule=None, **MANUAL):
    LIST = {"green_api_conn_id": "{{ dag_run.conf['green_api'] }}", "account": "instance", "empty_retries": 0}
    to_store = GreenApiContactsToSqlOperator(task_id="to_store", **LIST)
    to_files = GreenApiContactsToObjectStorageOperator(
        task_id="to_files", path=PATH, erased_conn_id="wacontacts_store", **LIST
    )

with DAG("faults_check", schedule=None, **MANUAL):
    check = WhatsAppCheckContactsOperator(task_id="check", **CHECK, **CONTACTS)
    wait = WhatsAppContactsSensor(check_id=check.output["check_id"], **WAIT)
    hand_on = WhatsAppCheckResultsToSqlOperator(
        task_id="hand_on",
        check_id=check.output["check_id"],
        target_conn_id="wacontacts_store",
        target_table="{{ dag_run.conf['table'] }}_ids",
        create_table=True,
    )
    check >> wait >> hand_on

with DAG("faults_revalidate", schedule=None, **MANUAL):
    revalidate = WhatsAppRevalidateContactsOperator(task_id="revalidate", limit=20, **CHECK)
    WhatsAppContactsSensor(check_id=revalidate.output["check_id"], **WAIT)

with DAG("faults_green_check", schedule=None, **MANUAL):
    GreenApiCheckContactsOperator(
        task_id="check", green_api_conn_id="{{ dag_run.conf['green_api'] }}", on_budget="partial", **CONTACTS
    )

with DAG("faults_erase", schedule=None, **MANUAL):
    EraseContactsOperator(
        task_id="erase",
        contacts_conn_id="crm",
        contacts_sql="SELECT number FROM {{ dag_run.conf['table'] }}_erased",
        paths=[PATH],
    )
