"""
Views of an account's contacts with one typed column for each custom field of Turn.io.

A view keeps its columns: their names, types and order are stored with it. New fields are appended, and columns of
removed fields stay. A value with a type other than its column's is null in the column, and counted in
``type_mismatches``. ``missing_fields`` names the null columns whose fields the account did not have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.migrations import INVOKER, INVOKER_SINCE

__all__ = ["ViewResult", "ViewSpec", "update_view"]

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
MAX_NAME_BYTES = 63
MAX_FIELDS = 1_500
#: Number of last updated contacts that are searched for fields outside the schema.
SAMPLE = 20_000
MARK = "wacontacts view "
TURN = "turn"
PLAIN_COLUMNS = ("contact_id", "state", "wa_id", "updated_at", "first_seen_at", "last_seen_at")
HISTORY_COLUMNS = ("valid_from", "valid_to")
MISMATCHES, MISSING = "type_mismatches", "missing_fields"
#: Types of Turn.io's schema. Other types, for example LOCATION, become JSON columns.
SCHEMA_TYPES = {
    **dict.fromkeys(("STRING", "TEXT", "ENUM"), "text"),
    **dict.fromkeys(("INTEGER", "NUMBER", "NUMBER_INTEGER", "NUMBER_DECIMAL", "FLOAT", "DECIMAL"), "number"),
    "BOOLEAN": "boolean",
    "DATETIME": "time",
}
JSON_TYPES = {
    **dict.fromkeys(("string", "text"), "text"),
    **dict.fromkeys(("number", "integer", "real"), "number"),
    **dict.fromkeys(("boolean", "true", "false"), "boolean"),
}

EXISTING = {
    "postgresql": """
        SELECT obj_description(c.oid, 'pg_class') AS mark FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = coalesce(CAST(:table_schema AS text), current_schema()) AND c.relname = :name
    """,
    "sqlite": "SELECT sql AS mark FROM sqlite_master WHERE lower(name) = :name AND :table_schema IS NULL",
}
ACCOUNT = "SELECT 1 FROM {at}wacontacts_account WHERE source = :source AND account = :account"
LATEST = """
SELECT c.account_id, c.version_id FROM {at}wacontacts_contact_current c
JOIN {at}wacontacts_account a ON a.account_id = c.account_id
WHERE a.source = :source AND a.account = :account ORDER BY c.updated_at DESC LIMIT :size
"""
PAYLOADS = f"""
FROM ({LATEST}) l JOIN {{at}}wacontacts_contact_payload p
    ON p.account_id = l.account_id AND p.version_id = l.version_id
"""
STORED = {
    "postgresql": f"""
        SELECT DISTINCT e.key, jsonb_typeof(e.value) AS type {PAYLOADS} CROSS JOIN LATERAL jsonb_each(
            CASE WHEN jsonb_typeof(p.payload->'details') = 'object' THEN p.payload->'details' ELSE '{{{{}}}}' END
        ) e
    """,
    "sqlite": f"""
        SELECT DISTINCT e.key, e.type {PAYLOADS} CROSS JOIN json_each(
            CASE WHEN json_type(p.payload, '$.details') = 'object' THEN p.payload ELSE '{{{{"details":{{{{}}}}}}}}' END,
            '$.details'
        ) e
    """,
}

#: The columns of fields that the account did not have when a version was last seen. A field is missing from the change
#: that removed it until its next change, and before its first change if that added it.
MISSING_FIELDS = """
WITH ordered AS {materialized} (
    SELECT field, change_kind, detected_at,
        lead(detected_at) OVER in_order AS next_at, row_number() OVER in_order AS place
    FROM {at}wacontacts_field_change
    WHERE source = '{source}' AND account = {account} AND change_kind <> 'retyped'
    WINDOW in_order AS (PARTITION BY field ORDER BY detected_at, field_change_id)
), missing AS {materialized} (
    SELECT c.column2 AS name, CASE WHEN o.change_kind = 'gone' THEN o.detected_at END AS since,
        CASE WHEN o.change_kind = 'gone' THEN o.next_at ELSE o.detected_at END AS until
    FROM ordered o JOIN (VALUES {columns}) c ON c.column1 = o.field
    WHERE o.change_kind = 'gone' OR o.place = 1
)
SELECT name FROM missing m
WHERE (m.since IS NULL OR m.since <= v.last_seen_at) AND (m.until IS NULL OR m.until > v.last_seen_at)
ORDER BY name
"""

#: Valid dates from 1900 to 2199, with or without a time and an offset. Other dates would fail a whole query.
LEAP = r"((19|20|21)(0[48]|[2468][048]|[13579][26])|2000)-02-29"
MONTHS = r"((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
DATE = rf"({LEAP}|(19|20|21)[0-9][0-9]-{MONTHS})"
CLOCK = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
OFFSET = r"(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])"
POSTGRES_TEXT = "({value} #>> '{}')"
POSTGRES_TIME = (
    "CASE WHEN jsonb_typeof({value}) = 'string' THEN CASE",
    f"WHEN {POSTGRES_TEXT} ~ '^{DATE}{CLOCK}{OFFSET}$' THEN CAST({POSTGRES_TEXT} AS timestamptz)",
    f"WHEN {POSTGRES_TEXT} ~ '^{DATE}{CLOCK}$' THEN CAST({POSTGRES_TEXT} || 'Z' AS timestamptz)",
    f"WHEN {POSTGRES_TEXT} ~ '^{DATE}$' THEN CAST({POSTGRES_TEXT} || 'T00:00Z' AS timestamptz) END END",
)
POSTGRES_TYPED = {
    "text": f"CASE WHEN jsonb_typeof({{value}}) = 'string' THEN {POSTGRES_TEXT} END",
    "number": f"CASE WHEN jsonb_typeof({{value}}) = 'number' THEN CAST({POSTGRES_TEXT} AS numeric) END",
    "boolean": f"CASE WHEN jsonb_typeof({{value}}) = 'boolean' THEN CAST({POSTGRES_TEXT} AS boolean) END",
    "time": " ".join(POSTGRES_TIME),
    "json": "{value}",
}
SQLITE_TYPED = {
    "text": "CASE WHEN {type} = 'text' THEN {value} END",
    "number": "CASE WHEN {type} IN ('integer', 'real') THEN {value} END",
    "boolean": "CASE {type} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    "time": (
        "CASE WHEN {type} = 'text' AND {value} GLOB '[12][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
        " AND date(substr({value}, 1, 10), '+0 days') = substr({value}, 1, 10)"
        " THEN strftime('%Y-%m-%dT%H:%M:%f000Z', {value}) END"
    ),
    "json": (
        "CASE {type} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN NULL"
        " ELSE CASE WHEN {type} IS NOT NULL THEN json_quote({value}) END END"
    ),
}


class ViewSpec(NamedTuple):
    """
    The name and the content of a view.

    :param name: lower-case letters, digits and underscores, at most 63.
    :param account: account of Turn.io.
    :param history: all versions, with ``valid_from`` and ``valid_to``, instead of the current contacts.
    """

    name: str
    account: str
    history: bool = False


class ViewResult(NamedTuple):
    """
    Counts of an update of a view.

    :param columns: columns of fields.
    :param new_columns: columns that the view did not have before.
    :param removed_fields: columns of fields that are neither in the schema nor in the last updated contacts.
    :param retyped_fields: columns that keep a type other than the schema's current one.
    """

    columns: int
    new_columns: int
    removed_fields: int
    retyped_fields: int


class _Field(NamedTuple):
    field: str
    column: str
    type: str


def update_view(context: StoreContext, spec: ViewSpec, schema: Iterable[Mapping[str, Any]] = ()) -> ViewResult:
    """
    Create a view, or add the columns of new fields to it.

    :param schema: Turn.io's fields, with ``name`` and ``type``; empty to use only stored contacts.
    :raises ConfigError: the name is not allowed or in use, the store has no such account, there are too many fields,
        or the user may not create views. Nothing is changed.
    :raises LandingError: the database failed.
    """
    _validate_name(spec.name)
    declared = {
        field["name"]: SCHEMA_TYPES.get(str(field.get("type")).upper(), "json")
        for field in schema
        if isinstance(field.get("name"), str) and field["name"]
    }
    with context.read() as db:
        stored = _stored_fields(db, spec.account)

    def work(db: Database) -> ViewResult:
        context.locks.named(db.connection, "wacontacts view", context.tables.schema, spec.name)
        before = _existing(db, spec)
        found = {**stored, **declared}
        fields = [*(before or ()), *_new_fields(before or (), found)]
        if len(fields) > MAX_FIELDS:
            raise ConfigError(f"The account has {len(fields):,} fields. A view has at most {MAX_FIELDS:,}.")
        _create(db, spec, fields, exists=before is not None)
        retyped = sum(found.get(each.field, each.type) != each.type for each in before or ())
        removed = sum(each.field not in found for each in before or ())
        return ViewResult(len(fields), len(fields) - len(before or ()), removed, retyped)

    return context.run(work)


def _validate_name(name: str) -> None:
    if not NAME.fullmatch(name) or name.startswith(("wacontacts_", "sqlite_", "pg_")):
        raise ConfigError(
            "The name of a view has lower-case letters, digits and underscores, at most 63, and does not begin with"
            " wacontacts_, sqlite_ or pg_. Choose another."
        )


def _stored_fields(db: Database, account: str) -> dict[str, str]:
    """Return the fields of the contacts that were updated last, with the type of their values."""
    parameters: dict[str, Any] = {"source": TURN, "account": account}
    if db.execute(ACCOUNT, **parameters).first() is None:
        raise ConfigError(f"The store has no turn account {account!r}. `wacontacts store status` lists them.")
    types: dict[str, set[str]] = {}
    for row in db.execute(STORED[db.connection.dialect.name], size=SAMPLE, **parameters):
        types.setdefault(row.key, set()).update({JSON_TYPES.get(row.type, "json")} if row.type != "null" else ())
    return {field: next(iter(found)) if len(found) == 1 else "json" for field, found in sorted(types.items()) if found}


def _existing(db: Database, spec: ViewSpec) -> list[_Field] | None:
    """Return the columns of a view made by this package; ``None`` if the name is free."""
    row = db.execute(EXISTING[db.connection.dialect.name], name=spec.name, table_schema=db.tables.table_schema).first()
    if row is None:
        return None
    _, is_ours, mark = (row.mark or "").partition(MARK)
    kept = json.JSONDecoder().raw_decode(mark)[0] if is_ours else None
    if kept is None or (kept["account"], kept["history"]) != (spec.account, spec.history):
        raise ConfigError(
            f"The name {spec.name!r} is in use for another table or view. Choose another name, or drop that first."
        )
    return [_Field(*each) for each in kept["fields"]]


def _new_fields(before: Iterable[_Field], found: Mapping[str, str]) -> Iterator[_Field]:
    known = {each.field for each in before}
    taken = {each.column for each in before} | {*PLAIN_COLUMNS, *HISTORY_COLUMNS, MISMATCHES, MISSING}
    for field, type_ in found.items():
        if field not in known:
            column = _free_name(_column_name(field), taken)
            taken.add(column)
            yield _Field(field, column, type_)


def _column_name(field: str) -> str:
    """Return a name that needs no quotes: lower-case letters, digits and underscores."""
    name = re.sub(r"\W+", "_", field.lower()).strip("_") or "field"
    name = f"_{name}" if name[0].isdecimal() else name
    return f"{name}_" if name in RESERVED_WORDS else name


def _free_name(name: str, taken: set[str]) -> str:
    number = 1
    while True:
        end = f"_{number}" if number > 1 else ""
        short = name.encode()[: MAX_NAME_BYTES - len(end)].decode(errors="ignore") + end
        if short not in taken:
            return short
        number += 1


def _create(db: Database, spec: ViewSpec, fields: list[_Field], *, exists: bool) -> None:
    mark = MARK + json.dumps({"account": spec.account, "history": spec.history, "fields": fields})
    name = f'{db.tables.schema}"{spec.name}"'
    run = partial(db.connection.exec_driver_sql, execution_options={"no_parameters": True})
    if db.is_sqlite:
        if exists:
            run(f"DROP VIEW {name}")
        # Slashes are escaped, as JSON allows, so that the comment does not end early.
        comment = mark.replace("/", "\\/")
        run(f"CREATE VIEW {name} AS {_select(db, spec, fields)} /* {comment} */")
        return
    server_version: Any = db.connection.dialect.server_version_info
    invoker = INVOKER if server_version[0] * 10_000 >= INVOKER_SINCE else ""
    run(f"CREATE OR REPLACE VIEW {name}{invoker} AS {_select(db, spec, fields)}")
    run(f"COMMENT ON VIEW {name} IS {_literal(mark)}")


def _select(db: Database, spec: ViewSpec, fields: list[_Field]) -> str:
    plain = [f"v.{column}" for column in (*PLAIN_COLUMNS, *(HISTORY_COLUMNS if spec.history else ()))]
    sources = [_sqlite_source(each.field) if db.is_sqlite else _postgres_source(each.field) for each in fields]
    typed = SQLITE_TYPED if db.is_sqlite else POSTGRES_TYPED
    values = [_fill(typed[each.type], source) for each, source in zip(fields, sources, strict=True)]
    # A contact has few of the fields, so a missing field must cost only one lookup.
    mismatches = [
        f"CASE WHEN coalesce({source['type']}, 'null') = 'null' THEN 0 WHEN {value} IS NULL THEN 1 ELSE 0 END"
        for each, source, value in zip(fields, sources, values, strict=True)
        if each.type != "json"
    ]
    counted = [f"{' + '.join(mismatches) or '0'} AS {MISMATCHES}", f"{_missing(db, spec, fields)} AS {MISSING}"]
    columns = [f'{value} AS "{each.column}"' for each, value in zip(fields, values, strict=True)]
    table = "history" if spec.history else "current"
    # Read once: PostgreSQL would decompress the payload for each column.
    details = "" if db.is_sqlite else " CROSS JOIN LATERAL (SELECT v.payload->'details' AS details OFFSET 0) d"
    return (
        f"SELECT {', '.join([*plain, *counted, *columns])} FROM {db.tables.schema}wacontacts_{table} v{details}"
        f" WHERE v.source = '{TURN}' AND v.account = {_literal(spec.account)}"
    )


def _missing(db: Database, spec: ViewSpec, fields: list[_Field]) -> str:
    if not fields:
        return "'[]'" if db.is_sqlite else "CAST('{}' AS text[])"
    names = MISSING_FIELDS.format(
        at=db.tables.schema,
        source=TURN,
        account=_literal(spec.account),
        columns=", ".join(f"({_literal(f'details.{each.field}')}, {_literal(each.column)})" for each in fields),
        materialized="" if db.is_sqlite else "MATERIALIZED",
    )
    return f"(SELECT json_group_array(name) FROM ({names}))" if db.is_sqlite else f"ARRAY({names})"


def _fill(template: str, source: Mapping[str, str]) -> str:
    """Insert a field's value and type into SQL that has its own braces."""
    return template.replace("{value}", source["value"]).replace("{type}", source["type"])


def _postgres_source(field: str) -> dict[str, str]:
    value = f"(d.details->{_literal(field)})"
    return {"value": value, "type": f"jsonb_typeof({value})"}


def _sqlite_source(field: str) -> dict[str, str]:
    if '"' not in field and field.isprintable() and "\\" not in field:
        path = _literal(f'$.details."{field}"')
        return {"value": f"json_extract(v.payload, {path})", "type": f"json_type(v.payload, {path})"}
    # JSON paths cannot name this field.
    each = f"FROM json_each(v.payload, '$.details') e WHERE e.key = {_literal(field)}"
    return {"value": f"(SELECT e.value {each})", "type": f"(SELECT e.type {each})"}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
