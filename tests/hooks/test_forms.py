"""The connection form, as Airflow 3.3 reads it and as those before 3.2 ask for it."""

import sys
import types

import airflow
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_wacontacts.hooks.turn import TurnHook

PLACEHOLDERS = {
    "host": "whatsapp.turn.io",
    "schema": "https",
    "password": "made in Turn.io under Settings, API & Webhooks",
}
DEFAULTS = {"account": None, "timeout": 60, "verify": "true", "allow_http": False}


@pytest.mark.skipif(airflow.__version__ < "3.3", reason="the earlier ones ask the hook")
def test_airflow_shows_the_form_without_importing_the_hook():
    manager = ProvidersManager()
    (told,) = [one for one in manager.iter_connection_type_hook_ui_metadata() if one.connection_type == "turn"]
    widgets = manager._connection_form_widgets_from_metadata
    fields = {one.field_name: one.field for name, one in widgets.items() if name.startswith("extra__turn__")}

    assert (told.hook_name, told.hook_class_name) == ("Turn.io", "airflow_provider_wacontacts.hooks.turn.TurnHook")
    assert told.field_behaviour == {
        "hidden_fields": ["login"],
        "relabeling": {"password": "API token", "schema": "Scheme"},
        "placeholders": PLACEHOLDERS,
    }
    assert {name: field["value"] for name, field in fields.items()} == DEFAULTS
    assert {name: field["schema"]["title"] for name, field in fields.items()} == {
        "account": "Account",
        "timeout": "Timeout",
        "verify": "Verify TLS",
        "allow_http": "Allow http://",
    }


@pytest.mark.filterwarnings("ignore::Warning")
def test_airflow_finds_the_hook_of_a_connection():
    hook = ProvidersManager().hooks["turn"]

    assert (hook.hook_class_name, hook.connection_id_attribute_name, hook.connection_testable) == (
        "airflow_provider_wacontacts.hooks.turn.TurnHook",
        "turn_conn_id",
        True,
    )


def test_before_3_2_the_form_looks_the_same():
    assert TurnHook.get_ui_field_behaviour() == {
        "hidden_fields": ["login"],
        "relabeling": {"password": "API token", "schema": "Scheme"},
        "placeholders": PLACEHOLDERS,
    }


def test_before_3_2_the_form_has_the_same_fields(monkeypatch):
    for name, members in STAND_INS.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    widgets = TurnHook.get_connection_form_widgets()

    assert {name: (kind, options["default"]) for name, (kind, _, options) in widgets.items()} == {
        "account": ("StringField", None),
        "timeout": ("IntegerField", 60),
        "verify": ("StringField", "true"),
        "allow_http": ("BooleanField", False),
    }
    assert [label for _, label, _ in widgets.values()] == ["Account", "Timeout", "Verify TLS", "Allow http://"]


def test_before_3_2_airflow_looks_for_both_methods_in_the_class_itself():
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= vars(TurnHook).keys()


def recording(kind):
    return lambda label, **options: (kind, label, options)


STAND_INS = {
    "flask_appbuilder": {},
    "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": object},
    "flask_babel": {"lazy_gettext": str},
    "wtforms": {kind: recording(kind) for kind in ("BooleanField", "IntegerField", "StringField")},
    "wtforms.validators": {"Optional": object},
}
