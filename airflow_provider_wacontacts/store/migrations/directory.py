"""
The directory: one row for each WhatsApp id over all feeds.

Nothing is kept twice: the directory is a view. What stands under a WhatsApp id is found by indexes on the digits that
each row brought. The digits of a number that the API answered another WhatsApp id for stand under that one, whichever
feed they came from; that is looked up as the view is asked, so that the order in which contacts and answers come in
makes no difference. Where the store has a secret for pseudonyms, what stands for digits and ids is kept beside them,
and people stand under that.

The keys come from the indexes in order, and are numbered where they repeat instead of made distinct: PostgreSQL expects
a DISTINCT over a union to leave two hundred, and would sort all of them for the sake of the first. Both databases have
the same keys and the same columns. They differ in how the newest rows of a key are found: SQLite has no LATERAL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_wacontacts.store.migrations.checks import IS_PENDING

__all__ = ["STATEMENTS"]

#: SQLite finds a text by an index on an expression only where the expression is known to be text.
DIGITS = "CAST(coalesce({0}number_pseudonym, substr({0}number, 2)) AS text) {{bytewise}}"
#: The digits that a number stands under by its own answer.
ANSWERED = (
    "CAST(coalesce({0}wa_id_pseudonym, {0}wa_id, {0}number_pseudonym, substr({0}number, 2)) AS text) {{bytewise}}"
)
#: The id of a user who has changed.
CHANGED = "CAST(coalesce({0}wa_id_pseudonym, {0}wa_id) AS text) {{bytewise}}"
N_DIGITS, N_ANSWERED, I_CHANGED = DIGITS.format("n."), ANSWERED.format("n."), CHANGED.format("i.")

INDEXES = (
    f"CREATE INDEX wacontacts_number_wa_id ON {{at}}wacontacts_number (({ANSWERED.format('')}))",
    f"CREATE INDEX wacontacts_number_digits ON {{at}}wacontacts_number (({DIGITS.format('')}))",
    f"CREATE INDEX wacontacts_identity_wa_id ON {{at}}wacontacts_identity (({CHANGED.format('')}))",
)

KEYS = f"""
    SELECT x.wa_id, row_number() OVER (PARTITION BY x.wa_id) AS place FROM (
        SELECT b.wa_id FROM {{at}}wacontacts_contact_payload b
        UNION ALL SELECT {N_ANSWERED} FROM {{at}}wacontacts_number n
        UNION ALL SELECT {I_CHANGED} FROM {{at}}wacontacts_identity i
    ) x WHERE x.wa_id IS NOT NULL
"""
#: All digits that stand under a key. Of the answers about a number, the newest by any sender that names an id counts.
STANDING = f"""
    SELECT c.digits FROM (
        SELECT k.wa_id AS digits
        UNION SELECT {N_DIGITS} FROM {{at}}wacontacts_number n WHERE {N_ANSWERED} = k.wa_id
    ) c
    WHERE coalesce((
        SELECT coalesce(n.wa_id_pseudonym, n.wa_id) FROM {{at}}wacontacts_number n
        WHERE {N_DIGITS} = c.digits AND n.wa_id IS NOT NULL
        ORDER BY n.answered_at DESC, n.sender {{bytewise}} LIMIT 1
    ), c.digits) = k.wa_id
"""

CONTACTS = """
    {at}wacontacts_contact_payload b
    JOIN {at}wacontacts_contact_current s ON s.account_id = b.account_id AND s.version_id = b.version_id
    JOIN {at}wacontacts_account a ON a.account_id = s.account_id
"""
#: Who is gone comes last: one account that has lost a contact does not hide another that still has it.
BEST_CONTACT = "b.state = 'gone', s.updated_at DESC, s.last_seen_at DESC, s.row_hash DESC, a.account {bytewise}"
BEST_NUMBER = "n.answered_at IS NULL, n.answered_at DESC, n.sender {bytewise}, n.number {bytewise}"
CHANGED_AT = "max(coalesce(i.created_at, i.detected_at))"

LATERAL = f"""
    SELECT k.wa_id, c.turn_version_id, c.turn_account_id, c.turn_accounts, c.green_api_version_id,
        c.green_api_account_id, c.green_api_accounts,
        m.number_id, m.senders, j.identity_pending, j.identity_changed_at
    FROM ({KEYS}) k
    CROSS JOIN LATERAL (SELECT array_agg(e.digits) AS digits FROM ({STANDING}) e) d
    CROSS JOIN LATERAL (
        SELECT (array_agg(b.version_id ORDER BY {BEST_CONTACT}) FILTER (WHERE a.source = 'turn'))[1]
                AS turn_version_id,
            (array_agg(b.account_id ORDER BY {BEST_CONTACT}) FILTER (WHERE a.source = 'turn'))[1]
                AS turn_account_id,
            count(DISTINCT s.account_id) FILTER (WHERE a.source = 'turn' AND b.state = 'present') AS turn_accounts,
            (array_agg(b.version_id ORDER BY {BEST_CONTACT}) FILTER (WHERE a.source = 'green_api'))[1]
                AS green_api_version_id,
            (array_agg(b.account_id ORDER BY {BEST_CONTACT}) FILTER (WHERE a.source = 'green_api'))[1]
                AS green_api_account_id,
            count(DISTINCT s.account_id) FILTER (WHERE a.source = 'green_api' AND b.state = 'present')
                AS green_api_accounts
        FROM {CONTACTS} WHERE b.wa_id = ANY (d.digits)
    ) c
    CROSS JOIN LATERAL (
        SELECT (array_agg(n.number_id ORDER BY {BEST_NUMBER}))[1] AS number_id, count(DISTINCT n.sender) AS senders
        FROM {{at}}wacontacts_number n WHERE {N_DIGITS} = ANY (d.digits)
    ) m
    CROSS JOIN LATERAL (
        SELECT bool_or({IS_PENDING}) AS identity_pending, {CHANGED_AT} AS identity_changed_at
        FROM {{at}}wacontacts_identity i WHERE {I_CHANGED} = ANY (d.digits)
    ) j
    WHERE k.place < 2 AND d.digits IS NOT NULL
"""


def _scalar() -> str:
    def contacts(source: str) -> str:
        # Were it a bare column, SQLite might go through all contacts of a source.
        return f"FROM {CONTACTS} WHERE b.wa_id IN ({STANDING}) AND a.source || '' = '{source}'"

    def of_source(source: str) -> str:
        found = contacts(source)
        return f"""
            (SELECT b.version_id {found} ORDER BY {BEST_CONTACT} LIMIT 1) AS {source}_version_id,
            (SELECT b.account_id {found} ORDER BY {BEST_CONTACT} LIMIT 1) AS {source}_account_id,
            (SELECT count(DISTINCT s.account_id) {found} AND b.state = 'present') AS {source}_accounts
        """

    numbers = f"FROM {{at}}wacontacts_number n WHERE {N_DIGITS} IN ({STANDING})"
    identities = f"FROM {{at}}wacontacts_identity i WHERE {I_CHANGED} IN ({STANDING})"
    return f"""
        SELECT k.wa_id, {of_source("turn")}, {of_source("green_api")},
            (SELECT n.number_id {numbers} ORDER BY {BEST_NUMBER} LIMIT 1) AS number_id,
            (SELECT count(DISTINCT n.sender) {numbers}) AS senders,
            (SELECT max({IS_PENDING}) {identities}) AS identity_pending,
            (SELECT {CHANGED_AT} {identities}) AS identity_changed_at
        FROM ({KEYS}) k WHERE k.place < 2
    """


def _view(found: str, turn_name: str, turn_details: str, contact_name: str, name: str) -> str:
    return f"""
    CREATE VIEW {{at}}wacontacts_directory{{invoker}} AS
    SELECT p.wa_id, coalesce(nullif({turn_name}, ''), nullif({contact_name}, ''), nullif({name}, '')) AS name,
        p.turn_accounts + p.green_api_accounts AS accounts,
        ta.account AS turn_account, p.turn_accounts, ts.contact_id AS turn_contact_id, {turn_name} AS turn_name,
        {turn_details} AS turn_details, ts.updated_at AS turn_updated_at, ts.last_seen_at AS turn_last_seen_at,
        ga.account AS green_api_account, p.green_api_accounts, gs.contact_id AS green_api_contact_id,
        {contact_name} AS green_api_contact_name, {name} AS green_api_name, gb.state AS green_api_state,
        gs.updated_at AS green_api_updated_at, gs.last_seen_at AS green_api_last_seen_at,
        n.sender, p.senders, CASE WHEN n.number_pseudonym IS NULL THEN n.number END AS number, n.status, n.checked_at,
        p.identity_pending, p.identity_changed_at
    FROM ({found}) p
    LEFT JOIN {{at}}wacontacts_contact_current ts
        ON ts.account_id = p.turn_account_id AND ts.version_id = p.turn_version_id
    LEFT JOIN {{at}}wacontacts_contact_payload tb
        ON tb.account_id = ts.account_id AND tb.version_id = ts.version_id
    LEFT JOIN {{at}}wacontacts_account ta ON ta.account_id = ts.account_id
    LEFT JOIN {{at}}wacontacts_contact_current gs
        ON gs.account_id = p.green_api_account_id AND gs.version_id = p.green_api_version_id
    LEFT JOIN {{at}}wacontacts_contact_payload gb
        ON gb.account_id = gs.account_id AND gb.version_id = gs.version_id
    LEFT JOIN {{at}}wacontacts_account ga ON ga.account_id = gs.account_id
    LEFT JOIN {{at}}wacontacts_number n ON n.number_id = p.number_id
    WHERE coalesce(ts.version_id, gs.version_id, n.number_id) IS NOT NULL OR p.identity_changed_at IS NOT NULL
    """


def _jsonb_text(member: str) -> str:
    return f"CASE WHEN jsonb_typeof({member}) = 'string' THEN {member} #>> '{{{{}}}}' END"


def _json_text(body: str, path: str) -> str:
    return f"CASE WHEN json_type({body}, '{path}') = 'text' THEN json_extract({body}, '{path}') END"


STATEMENTS: Mapping[str, Sequence[str]] = {
    "postgresql": (
        *INDEXES,
        _view(
            LATERAL,
            _jsonb_text("(tb.payload->'details'->'name')"),
            "CASE WHEN jsonb_typeof(tb.payload->'details') = 'object' THEN tb.payload->'details' END",
            _jsonb_text("(gb.payload->'contactName')"),
            _jsonb_text("(gb.payload->'name')"),
        ),
    ),
    "sqlite": (
        *INDEXES,
        _view(
            _scalar(),
            _json_text("tb.payload", "$.details.name"),
            "CASE WHEN json_type(tb.payload, '$.details') = 'object' THEN json_extract(tb.payload, '$.details') END",
            _json_text("gb.payload", "$.contactName"),
            _json_text("gb.payload", "$.name"),
        ),
    ),
}
