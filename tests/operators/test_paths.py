"""A path with an unknown scheme fails every operator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToObjectStorageOperator
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator, EraseContactsOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
PATH = "s4://user:secret-word@bucket/contacts"
ARGUMENTS: dict[Any, dict[str, Any]] = {
    TurnContactsToObjectStorageOperator: {"path": PATH},
    GreenApiContactsToObjectStorageOperator: {"path": PATH},
    ContactFilesToSqlOperator: {"path": PATH},
    EraseContactsOperator: {"paths": [PATH], "contacts_sql": "SELECT '44623456700' AS wa_id"},
}


@pytest.mark.skipif(airflow.__version__ < "3.2", reason="its paths look for their file system when they are first used")
@pytest.mark.usefixtures("connections", "green")
@pytest.mark.parametrize("operator_class", ARGUMENTS)
def test_a_path_with_an_unknown_scheme_fails_the_task_and_names_the_argument(
    operator_class: Any, context: Callable[..., Any]
) -> None:
    operator = operator_class(task_id="task", **ARGUMENTS[operator_class])

    with pytest.raises(AirflowFailException, match=r"^ConfigError: paths? begins with s4://") as failed:
        operator.execute(context(MONDAY, MONDAY + timedelta(days=1)))
    assert "secret-word" not in str(failed.value)
