"""The connection form of Airflow 2.11 to 3.1, made of what later ones read in the provider info."""

from __future__ import annotations

from typing import Any, cast

from airflow_provider_wacontacts.get_provider_info import get_provider_info

__all__ = ["field_behaviour", "form_widgets"]


def field_behaviour(conn_type: str) -> dict[str, Any]:
    """Return which standard fields the form hides, renames and explains."""
    behaviour = _connection_type(conn_type)["ui-field-behaviour"]
    return {name.replace("-", "_"): value for name, value in behaviour.items()}


def form_widgets(conn_type: str) -> dict[str, Any]:
    """Return a form field for each extra."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import Optional

    kinds = {"boolean": BooleanField, "integer": IntegerField, "string": StringField}
    widgets = {}
    for name, form_field in _connection_type(conn_type)["conn-fields"].items():
        kind = form_field["schema"]["type"][0]
        looks = {} if kind == "boolean" else {"widget": BS3TextFieldWidget(), "validators": [Optional()]}
        widgets[name] = kinds[kind](
            lazy_gettext(form_field["label"]),
            description=form_field["description"],
            default=form_field["schema"].get("default"),
            **looks,
        )
    return widgets


def _connection_type(conn_type: str) -> dict[str, Any]:
    types = cast(list[dict[str, Any]], get_provider_info()["connection-types"])
    return next(one for one in types if one["connection-type"] == conn_type)
