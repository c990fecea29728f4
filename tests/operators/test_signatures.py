"""Every public operator and sensor names its arguments: signature, attributes and docstring agree."""

from __future__ import annotations

import copy
import importlib
import inspect
import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.get_provider_info import get_provider_info
from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger

REQUIRED = {
    "path": "file:///tmp/contacts",
    "table": "contacts.whatsapp",
    "contacts_sql": "SELECT 1 AS wa_id",
    "check_id": "0" * 32,
    "max_age": timedelta(days=90),
    "view": "people",
    "target_conn_id": "crm",
    "target_table": "whatsapp_ids",
}
DOCUMENTED = re.compile(r"^\s*:param (\w+): \S", re.MULTILINE)


def public_classes() -> list[Any]:
    info: Any = get_provider_info()
    modules = [name for kind in ("operators", "sensors") for entry in info[kind] for name in entry["python-modules"]]
    found = {name: getattr(importlib.import_module(module), name) for module in modules for name in _public(module)}
    return [cls for cls in found.values() if inspect.isclass(cls)]


def _public(module: str) -> list[str]:
    names: list[str] = importlib.import_module(module).__all__
    return names


def arguments(cls: Any) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: parameter for parameter in parameters if parameter.name not in ("kwargs", "_later")}


OPERATORS = public_classes()
CLASSES = [*OPERATORS, WaitUntilTrigger]


def test_all_operators_are_found() -> None:
    assert {"TurnContactsToSqlOperator", "EraseContactsOperator", "WhatsAppContactsSensor"} <= {
        cls.__name__ for cls in OPERATORS
    }
    assert len(OPERATORS) == 19


@pytest.mark.parametrize("cls", OPERATORS)
def test_arguments_are_keywords_with_types(cls: Any) -> None:
    kinds = {parameter.kind for parameter in arguments(cls).values()}
    untyped = [name for name, parameter in arguments(cls).items() if parameter.annotation is parameter.empty]

    assert (kinds, untyped) == ({inspect.Parameter.KEYWORD_ONLY}, [])


@pytest.mark.parametrize("cls", OPERATORS)
def test_each_argument_is_stored_in_an_attribute_of_the_same_name(cls: Any) -> None:
    names = arguments(cls)
    required = {name: REQUIRED[name] for name, parameter in names.items() if parameter.default is parameter.empty}
    if cls in (WhatsAppCheckContactsOperator, GreenApiCheckContactsOperator):
        required["contacts"] = ["+12015550123"]
    operator = cls(task_id="task", **required)
    expected = {name: required.get(name, parameter.default) for name, parameter in names.items()}

    assert {name: getattr(operator, name) for name in names if expected[name] is not ...} == {
        name: value for name, value in expected.items() if value is not ...
    }


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_has_every_argument_in_order(cls: Any) -> None:
    documented = DOCUMENTED.findall(inspect.getdoc(cls) or "")

    assert [name for name in documented if name != "_later"] == list(arguments(cls))


@pytest.mark.parametrize("cls", [cls for cls in OPERATORS if "dry_run" in arguments(cls)])
@pytest.mark.parametrize("flag", [True, False])
def test_airflows_dry_run_method_works_with_the_argument(
    cls: Any, flag: bool, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {**REQUIRED, "contacts_conn_id": "crm"}
    operator = cls(task_id="task", dry_run=flag, **{name: given[name] for name in given.keys() & arguments(cls)})

    with caplog.at_level("INFO"):
        operator.dry_run()
    assert "Dry run" in caplog.text + "".join(capsys.readouterr())
    assert (bool(operator.dry_run), bool(copy.deepcopy(operator).dry_run)) == (flag, flag)


@pytest.mark.parametrize("cls", OPERATORS)
def test_a_mapped_task_keeps_airflows_defaults(cls: Any) -> None:
    name, *_ = arguments(cls)
    required = {key for key, parameter in arguments(cls).items() if parameter.default is parameter.empty}
    constants = {key: REQUIRED[key] for key in required - {name}}
    mapped = cls.partial(task_id="task", **constants).expand(**{name: [REQUIRED.get(name, "a")]})

    assert (list(mapped.inlets), list(mapped.outlets)) == ([], [])
