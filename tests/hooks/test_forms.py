"""The connection form, as Airflow 3.3 and versions before 3.2 read it."""

import sys
import types

import airflow
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from airflow_provider_wacontacts.hooks.turn import TurnHook

PLACEHOLDERS = {
    "host": "whatsapp.turn.io",
    "schema": "https",
    "password": "from Turn.io: Settings, API & Webhooks",
}
DEFAULTS = {"account": None, "timeout": 60, "verify": "true", "allow_http": False}
BUDGETS = {"daily_checks": 1000, "monthly_checks": 30000}
GREEN_API = {
    "hidden_fields": [],
    "relabeling": {"host": "apiUrl", "login": "idInstance", "password": "apiTokenInstance", "schema": "Scheme"},
    "placeholders": {
        "host": "https://7103.api.greenapi.com",
        "schema": "https",
        "login": "e.g. 7103000000",
        "password": "from the GREEN-API console",
    },
}
HOOKS = {"turn": TurnHook, "green_api": GreenApiHook}
both = pytest.mark.parametrize(("conn_type", "hook_class"), HOOKS.items(), ids=HOOKS.keys())


@pytest.mark.skipif(airflow.__version__ < "3.3", reason="the earlier ones ask the hook")
def test_airflow_shows_the_form_without_importing_the_hook():
    told, fields = form_of("turn")

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


@pytest.mark.skipif(airflow.__version__ < "3.3", reason="the earlier ones ask the hook")
def test_airflow_shows_the_vendors_names_of_green_apis_fields():
    told, fields = form_of("green_api")

    assert (told.hook_name, told.field_behaviour) == ("GREEN-API", GREEN_API)
    assert {name: field["value"] for name, field in fields.items()} == DEFAULTS | BUDGETS


def form_of(conn_type):
    """What Airflow knows of a form: the standard fields, and those of the extras."""
    manager = ProvidersManager()
    (told,) = [one for one in manager.iter_connection_type_hook_ui_metadata() if one.connection_type == conn_type]
    widgets = manager._connection_form_widgets_from_metadata
    fields = {one.field_name: one.field for name, one in widgets.items() if name.startswith(f"extra__{conn_type}__")}
    return told, fields


@both
@pytest.mark.filterwarnings("ignore::Warning")
def test_airflow_finds_the_hook_of_a_connection(conn_type, hook_class):
    hook = ProvidersManager().hooks[conn_type]

    assert (hook.hook_class_name, hook.connection_id_attribute_name, hook.connection_testable) == (
        f"{hook_class.__module__}.{hook_class.__name__}",
        f"{conn_type}_conn_id",
        True,
    )


def test_before_3_2_the_form_has_the_same_labels_and_placeholders():
    assert TurnHook.get_ui_field_behaviour() == {
        "hidden_fields": ["login"],
        "relabeling": {"password": "API token", "schema": "Scheme"},
        "placeholders": PLACEHOLDERS,
    }
    assert GreenApiHook.get_ui_field_behaviour() == GREEN_API


@both
def test_before_3_2_the_form_has_the_same_fields(monkeypatch, conn_type, hook_class):
    for name, members in STAND_INS.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    widgets = hook_class.get_connection_form_widgets()

    assert {name: (kind, options["default"]) for name, (kind, _, options) in widgets.items()} == {
        "account": ("StringField", None),
        "timeout": ("IntegerField", 60),
        "verify": ("StringField", "true"),
        "allow_http": ("BooleanField", False),
        **{name: ("IntegerField", default) for name, default in BUDGETS.items() if conn_type == "green_api"},
    }
    labels = [label for _, label, _ in widgets.values() if not label.endswith("checks")]
    assert labels == ["Account", "Timeout", "Verify TLS", "Allow http://"]


@both
def test_before_3_2_the_class_itself_defines_both_methods_of_the_form(conn_type, hook_class):
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= vars(hook_class).keys()


def recording(kind):
    return lambda label, **options: (kind, label, options)


STAND_INS = {
    "flask_appbuilder": {},
    "flask_appbuilder.fieldwidgets": dict.fromkeys(
        ("BS3PasswordFieldWidget", "BS3TextFieldWidget", "Select2Widget"), lambda: None
    ),
    "flask_babel": {"lazy_gettext": str},
    "wtforms": {
        kind: recording(kind)
        for kind in ("BooleanField", "IntegerField", "PasswordField", "SelectField", "StringField")
    },
    "wtforms.validators": {"Optional": object},
}
