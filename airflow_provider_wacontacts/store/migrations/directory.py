"""
The directory: one row for each person over all feeds, by the person keys that are stored with the rows.

The rows of all tables are merged in key order, by indexes, and numbered within a key. So one key and one page read only
their own rows, and the whole directory is read in one pass.

Values are counted with window functions instead of GROUP BY: PostgreSQL estimates that a grouped union returns two
hundred rows, and would compute all of them to return the first. If a person has several contacts of one source, or
several numbers, a subquery finds the newest.

Names are extracted from payloads in subqueries: PostgreSQL computes them during the scan, so that joins of the whole
directory carry names instead of payloads.
"""

from __future__ import annotations

from airflow_provider_wacontacts.store.migrations.checks import IS_PENDING

__all__ = ["POSTGRES", "SQLITE"]

IS_TURN = "c.account_id IN (SELECT a.account_id FROM {at}wacontacts_account a WHERE a.source = 'turn')"
#: Null for numbers and identities. A comparison for each row and source would take longer.
IS_OF = {"turn": "r.is_turn", "green_api": "NOT r.is_turn"}
#: Gone contacts come last, so that they do not hide a present contact of another account.
BEST_CONTACT = "NOT c.is_present, c.updated_at DESC, c.last_seen_at DESC, c.row_hash DESC, a.account {bytewise}"
#: A key with more identifiers probably has several persons, for example because a gateway returned one WhatsApp ID for
#: all numbers.
HANDFUL = 5
BEST_NUMBER = "n.answered_at IS NULL, n.answered_at DESC, n.sender {bytewise}, n.number {bytewise}"


def _contacts_by(key: str) -> str:
    return f"""
    SELECT c.{key} AS person_key, c.account_id, c.contact_id, c.is_present, {IS_TURN} AS is_turn,
        CAST(NULL AS bigint) AS number_id, CAST(NULL AS bigint) AS identity_id
    FROM {{at}}wacontacts_contact_current c
    """


#: The person key of a contact is its WhatsApp ID; a contact without one has a stored key. The parts have no conditions,
#: so that PostgreSQL merges their indexes.
ROWS = f"""
    {_contacts_by("wa_id")} UNION ALL {_contacts_by("person_key")}
    UNION ALL SELECT n.person_key, NULL, NULL, NULL, NULL, n.number_id, NULL FROM {{at}}wacontacts_number n
    UNION ALL SELECT i.person_key, NULL, NULL, NULL, NULL, NULL, i.identity_id FROM {{at}}wacontacts_identity i
"""


def _counted(source: str) -> str:
    condition = IS_OF[source]
    return f"""
        count(*) FILTER (WHERE {condition}) OVER person AS {source}_contacts,
        count(*) FILTER (WHERE {condition} AND r.is_present) OVER person AS {source}_present,
        min(r.account_id) FILTER (WHERE {condition}) OVER person AS {source}_account_id,
        min(r.contact_id) FILTER (WHERE {condition}) OVER person AS {source}_contact_id
    """


PEOPLE = f"""
    SELECT r.person_key, row_number() OVER person AS place, {", ".join(map(_counted, IS_OF))},
        count(r.number_id) OVER person AS numbers, min(r.number_id) OVER person AS number_id,
        count(r.identity_id) OVER person AS identities
    FROM ({ROWS}) r WHERE r.person_key IS NOT NULL
    WINDOW person AS (PARTITION BY r.person_key)
"""


IS_THEIR_CONTACT = "(c.wa_id = p.person_key OR c.person_key = p.person_key)"


def _chosen(source: str) -> str:
    contacts = f"""
        FROM {{at}}wacontacts_contact_current c JOIN {{at}}wacontacts_account a ON a.account_id = c.account_id
        WHERE {IS_THEIR_CONTACT} AND a.source = '{source}'
    """
    best = f"{contacts} ORDER BY {BEST_CONTACT} LIMIT 1"
    return f"""
        CASE WHEN p.{source}_present < 2 THEN p.{source}_present
            ELSE (SELECT count(DISTINCT c.account_id) {contacts} AND c.is_present) END AS {source}_accounts,
        CASE WHEN p.{source}_contacts < 2 THEN p.{source}_account_id
            ELSE (SELECT c.account_id {best}) END AS {source}_account_id,
        CASE WHEN p.{source}_contacts < 2 THEN p.{source}_contact_id
            ELSE (SELECT c.contact_id {best}) END AS {source}_contact_id
    """


NUMBERS = "FROM {at}wacontacts_number n WHERE n.person_key = p.person_key"
IDENTITIES = "FROM {at}wacontacts_identity i WHERE i.person_key = p.person_key"
#: Compared with a number, so that PostgreSQL estimates few people, and looks up the other columns only for them.
IDENTITY_PENDING = f"""
    CASE WHEN p.identities > 0 THEN (SELECT max(CASE WHEN {IS_PENDING} THEN 1 ELSE 0 END) {IDENTITIES}) END = 1
"""
IDENTIFIERS = " UNION ALL ".join(
    (
        "SELECT n.number_key AS value FROM {at}wacontacts_number n WHERE n.person_key = p.person_key",
        *(
            f"""
            SELECT c.{kind} FROM {{at}}wacontacts_contact_current c
            WHERE {IS_THEIR_CONTACT} AND c.{kind} IS NOT NULL
            """
            for kind in ("lid", "user_id")
        ),
    )
)
HAS_MANY = f"""
    CASE WHEN p.turn_contacts + p.green_api_contacts + p.numbers <= {HANDFUL} THEN false
        ELSE (SELECT count(DISTINCT s.value) > {HANDFUL} FROM ({IDENTIFIERS}) s) END
"""
CHOSEN = f"""
    SELECT p.person_key, {", ".join(map(_chosen, IS_OF))}, {HAS_MANY} AS has_many_identifiers,
        CASE WHEN p.numbers < 2 THEN p.number_id
            ELSE (SELECT n.number_id {NUMBERS} ORDER BY {BEST_NUMBER} LIMIT 1) END AS number_id,
        CASE WHEN p.numbers < 2 THEN p.numbers ELSE (SELECT count(DISTINCT n.sender) {NUMBERS}) END AS senders,
        {IDENTITY_PENDING} AS identity_pending,
        CASE WHEN p.identities > 0 THEN (SELECT max(coalesce(i.created_at, i.detected_at)) {IDENTITIES}) END
            AS identity_changed_at
    FROM ({PEOPLE}) p WHERE p.place < 2
"""


#: The other kinds of keys, and their pseudonyms, contain a domain or a dot, which WhatsApp IDs do not.
WA_ID = "CASE WHEN p.person_key = replace(replace(p.person_key, '@', ''), '.', '') THEN p.person_key END"


def _joined(source: str, initial: str, values: str) -> str:
    contact, payload, account = f"{initial}c", f"{initial}p", f"{initial}a"
    return f"""
    LEFT JOIN {{at}}wacontacts_contact_current {contact}
        ON {contact}.account_id = p.{source}_account_id AND {contact}.contact_id = p.{source}_contact_id
    LEFT JOIN (SELECT x.account_id, x.version_id, x.state, {values} FROM {{at}}wacontacts_contact_payload x) {payload}
        ON {payload}.account_id = {contact}.account_id AND {payload}.version_id = {contact}.version_id
    LEFT JOIN {{at}}wacontacts_account {account} ON {account}.account_id = p.{source}_account_id
    """


def _view(turn_name: str, turn_details: str, contact_name: str, name: str) -> str:
    turn = f"{turn_name} AS name, {turn_details} AS details"
    green_api = f"{contact_name} AS contact_name, {name} AS name"
    return f"""
    CREATE VIEW {{at}}wacontacts_directory{{invoker}} AS
    SELECT p.person_key, {WA_ID} AS wa_id, coalesce(tc.user_id, gc.user_id, n.user_id_key) AS user_id,
        coalesce(gc.lid, tc.lid, n.lid_key) AS lid, p.has_many_identifiers,
        coalesce(nullif(tp.name, ''), nullif(gp.contact_name, ''), nullif(gp.name, '')) AS name,
        p.turn_accounts + p.green_api_accounts AS accounts,
        ta.account AS turn_account, p.turn_accounts, tc.contact_id AS turn_contact_id, tp.name AS turn_name,
        tp.details AS turn_details, tc.updated_at AS turn_updated_at, tc.last_seen_at AS turn_last_seen_at,
        ga.account AS green_api_account, p.green_api_accounts, gc.contact_id AS green_api_contact_id,
        gp.contact_name AS green_api_contact_name, gp.name AS green_api_name, gp.state AS green_api_state,
        gc.updated_at AS green_api_updated_at, gc.last_seen_at AS green_api_last_seen_at,
        n.sender, p.senders, CASE WHEN n.number_key = substr(n.number, 2) THEN n.number END AS number, n.status,
        n.checked_at, p.identity_pending, p.identity_changed_at
    FROM ({CHOSEN}) p
    {_joined("turn", "t", turn)} {_joined("green_api", "g", green_api)}
    LEFT JOIN {{at}}wacontacts_number n ON n.number_id = p.number_id
    """


#: The table that ``wacontacts store refresh-directory`` fills. Erasures search it by each identifier column.
COPY = (
    """
    CREATE TABLE {at}wacontacts_directory_copy AS
    SELECT d.*, CAST(NULL AS {time}) AS copied_at FROM {at}wacontacts_directory d WHERE false
    """,
    "CREATE UNIQUE INDEX wacontacts_directory_copy_person ON {at}wacontacts_directory_copy (person_key)",
    *(
        f"CREATE INDEX wacontacts_directory_copy_{name} ON {{at}}wacontacts_directory_copy ({columns})"
        for name, columns in (
            ("wa_id", "wa_id"),
            ("user_id", "user_id"),
            ("lid", "lid"),
            ("number", "number"),
            ("turn", "turn_account, turn_contact_id"),
            ("green_api", "green_api_account, green_api_contact_id"),
        )
    ),
)


def _jsonb_text(json: str, name: str) -> str:
    return f"CASE WHEN jsonb_typeof({json}->'{name}') = 'string' THEN {json}->>'{name}' END"


def _json_text(path: str) -> str:
    return f"CASE WHEN json_type(x.payload, '{path}') = 'text' THEN json_extract(x.payload, '{path}') END"


POSTGRES = (
    # Indexes with all columns that the directory counts. New versions of a contact do not change them.
    """
    CREATE INDEX wacontacts_contact_current_wa_id ON {at}wacontacts_contact_current (wa_id)
    INCLUDE (account_id, contact_id, is_present)
    """,
    """
    CREATE INDEX wacontacts_contact_current_person ON {at}wacontacts_contact_current (person_key)
    INCLUDE (account_id, contact_id, is_present) WHERE person_key IS NOT NULL
    """,
    "CREATE INDEX wacontacts_number_person ON {at}wacontacts_number (person_key) INCLUDE (number_id)",
    "CREATE INDEX wacontacts_identity_person ON {at}wacontacts_identity (person_key) INCLUDE (identity_id)",
    _view(
        _jsonb_text("x.payload->'details'", "name"),
        "CASE WHEN jsonb_typeof(x.payload->'details') = 'object' THEN x.payload->'details' END",
        _jsonb_text("x.payload", "contactName"),
        _jsonb_text("x.payload", "name"),
    ),
    *COPY,
)
SQLITE = (
    """
    CREATE INDEX wacontacts_contact_current_wa_id
    ON wacontacts_contact_current (wa_id, account_id, contact_id, is_present)
    """,
    """
    CREATE INDEX wacontacts_contact_current_person
    ON wacontacts_contact_current (person_key, account_id, contact_id, is_present) WHERE person_key IS NOT NULL
    """,
    "CREATE INDEX wacontacts_number_person ON wacontacts_number (person_key)",
    "CREATE INDEX wacontacts_identity_person ON wacontacts_identity (person_key)",
    _view(
        _json_text("$.details.name"),
        "CASE WHEN json_type(x.payload, '$.details') = 'object' THEN json_extract(x.payload, '$.details') END",
        _json_text("$.contactName"),
        _json_text("$.name"),
    ),
    *COPY,
)
