"""Tables of numbers and their results, of checks and their results, of budgets and identities."""

from __future__ import annotations

__all__ = ["IS_PENDING", "POSTGRES", "SQLITE"]

#: Whether identity ``i`` is pending: a sender's latest identity of a user, not acknowledged, and not superseded by a
#: newer one from the API.
IS_PENDING = """
    NOT i.acknowledged AND NOT i.superseded AND NOT EXISTS (
        SELECT 1 FROM {at}wacontacts_identity o
        WHERE o.sender = i.sender AND o.wa_id = i.wa_id AND NOT o.superseded
            AND (coalesce(o.created_at, o.detected_at), o.detected_at, o.hash)
                > (coalesce(i.created_at, i.detected_at), i.detected_at, i.hash)
    )
"""

TABLES = (
    # Columns named ``…_key`` join with contacts: they hold identifiers, or their pseudonyms if the store has a secret.
    # ``identified_at`` is when an API last returned ``wa_id``, ``lid`` and ``user_id``, or none of them.
    """
    CREATE TABLE {at}wacontacts_number (
        number_id {identity},
        sender text NOT NULL,
        number text {bytewise} NOT NULL CHECK (substr(number, 1, 1) = '+'),
        wa_id text {bytewise},
        lid text {bytewise},
        user_id text {bytewise},
        status text,
        checked_at {time},
        answered_at {time},
        asked_at {time},
        forced_at {time},
        client_version text,
        failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
        leased_by text,
        leased_until {time},
        identified_at {time},
        number_key text {bytewise} NOT NULL,
        wa_id_key text {bytewise},
        lid_key text {bytewise},
        user_id_key text {bytewise},
        person_key text {bytewise} NOT NULL,
        UNIQUE (sender, number)
    ){roomy}
    """,
    "CREATE INDEX wacontacts_number_age ON {at}wacontacts_number (sender, status, coalesce(checked_at, answered_at))",
    "CREATE INDEX wacontacts_number_number ON {at}wacontacts_number (number)",
    "CREATE INDEX wacontacts_number_wa_id ON {at}wacontacts_number (wa_id)",
    "CREATE INDEX wacontacts_number_lid ON {at}wacontacts_number (lid) WHERE lid IS NOT NULL",
    "CREATE INDEX wacontacts_number_lid_key ON {at}wacontacts_number (lid_key) WHERE lid_key IS NOT NULL",
    "CREATE INDEX wacontacts_number_user_id ON {at}wacontacts_number (user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX wacontacts_number_user_id_key ON {at}wacontacts_number (user_id_key) WHERE user_id_key IS NOT NULL",
    "CREATE INDEX wacontacts_number_number_key ON {at}wacontacts_number (number_key)",
    "CREATE INDEX wacontacts_number_renamed ON {at}wacontacts_number (number_key) WHERE person_key <> number_key",
    """
    CREATE TABLE {at}wacontacts_check (
        check_number {identity},
        check_id {uuid} NOT NULL UNIQUE,
        sender text NOT NULL,
        state text NOT NULL CHECK (state IN ('open', 'resolved', 'expired', 'failed')),
        created_at {time} NOT NULL,
        opened_at {time} NOT NULL,
        filled_at {time},
        heartbeat_at {time},
        deferred_until {time},
        error text,
        finished_at {time},
        deadline_at {time},
        resolved_at {time},
        fresh_after {time} NOT NULL,
        force_check boolean NOT NULL,
        recheck_failed integer NOT NULL DEFAULT 0,
        spent integer NOT NULL DEFAULT 0,
        spent_on {date},
        dag_id text NOT NULL,
        run_id text NOT NULL,
        task_id text NOT NULL,
        map_index integer NOT NULL,
        region_id text,
        region_index integer,
        options_digest text NOT NULL,
        package_version text NOT NULL
    )
    """,
    "CREATE INDEX wacontacts_check_task ON {at}wacontacts_check (run_id, task_id)",
    "CREATE INDEX wacontacts_check_open ON {at}wacontacts_check (sender) WHERE state = 'open'",
    """
    CREATE TABLE {at}wacontacts_check_result (
        check_id {uuid} NOT NULL,
        ordinal bigint NOT NULL CHECK (ordinal >= 0),
        contact_key text,
        input text NOT NULL,
        number_id bigint,
        number text {bytewise},
        wa_id text {bytewise},
        status text,
        reason text,
        from_store boolean NOT NULL DEFAULT false,
        from_sender text,
        duplicate boolean NOT NULL DEFAULT false,
        waiting boolean NOT NULL DEFAULT false,
        failures integer NOT NULL DEFAULT 0,
        omissions integer NOT NULL DEFAULT 0,
        checked_at {time},
        PRIMARY KEY (check_id, ordinal)
    ){roomy}
    """,
    "CREATE INDEX wacontacts_check_result_number ON {at}wacontacts_check_result (number_id, check_id)",
    "CREATE INDEX wacontacts_check_result_waiting ON {at}wacontacts_check_result (check_id, ordinal) WHERE waiting",
    "CREATE INDEX wacontacts_check_result_awaited ON {at}wacontacts_check_result (number_id) WHERE waiting",
    """
    CREATE INDEX wacontacts_check_result_rejected ON {at}wacontacts_check_result (check_id) WHERE status = 'rejected'
    """,
    """
    CREATE TABLE {at}wacontacts_budget (
        sender text NOT NULL,
        day {date} NOT NULL,
        spent bigint NOT NULL CHECK (spent >= 0),
        daily_limit bigint,
        PRIMARY KEY (sender, day)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_identity (
        identity_id {identity},
        sender text NOT NULL,
        wa_id text {bytewise} NOT NULL,
        user_id text {bytewise},
        hash text NOT NULL,
        created_at {time},
        acknowledged boolean NOT NULL DEFAULT false,
        detected_at {time} NOT NULL,
        superseded boolean NOT NULL DEFAULT false,
        unknown_at {time},
        wa_id_key text {bytewise} NOT NULL,
        person_key text {bytewise} NOT NULL,
        UNIQUE (sender, wa_id, hash)
    )
    """,
    "CREATE INDEX wacontacts_identity_open ON {at}wacontacts_identity (sender) WHERE NOT acknowledged",
    "CREATE INDEX wacontacts_identity_wa_id ON {at}wacontacts_identity (wa_id)",
    "CREATE INDEX wacontacts_identity_user_id ON {at}wacontacts_identity (user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX wacontacts_identity_wa_id_key ON {at}wacontacts_identity (wa_id_key)",
    """
    CREATE TABLE {at}wacontacts_identity_change_log (
        change_id {identity},
        identity_id bigint NOT NULL,
        change_kind text NOT NULL CHECK (change_kind IN ('pending', 'superseded', 'acknowledged', 'erased'))
    )
    """,
    """
    CREATE INDEX wacontacts_identity_change_log_identity
    ON {at}wacontacts_identity_change_log (identity_id, change_id)
    """,
    """
    CREATE VIEW {at}wacontacts_identity_change{invoker} AS
    SELECT c.change_id, c.change_kind, c.identity_id, i.sender, i.wa_id, i.user_id, i.hash, i.created_at,
        i.acknowledged, i.detected_at
    FROM {at}wacontacts_identity_change_log c LEFT JOIN {at}wacontacts_identity i ON i.identity_id = c.identity_id
    """,
    """
    CREATE TABLE {at}wacontacts_identifier_change (
        change_number {identity},
        sender text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('wa_id', 'user_id', 'lid')),
        previous_value text {bytewise} NOT NULL,
        current_value text {bytewise} NOT NULL,
        changed_at {time},
        detected_at {time} NOT NULL,
        UNIQUE (sender, kind, previous_value, current_value)
    )
    """,
    "CREATE INDEX wacontacts_identifier_change_previous ON {at}wacontacts_identifier_change (previous_value)",
    "CREATE INDEX wacontacts_identifier_change_current ON {at}wacontacts_identifier_change (current_value)",
)

#: Inputs that are not numbers are stored once, with the other inputs of their check.
REJECTS = """
CREATE VIEW {{at}}wacontacts_reject{{invoker}} AS
SELECT r.extraction_id, CAST(NULL AS {{uuid}}) AS check_id, r.reason, r.body, r.received_at
FROM {{at}}wacontacts_rejected_row r
UNION ALL
SELECT NULL, r.check_id, r.reason, {body}, c.created_at
FROM {{at}}wacontacts_check_result r JOIN {{at}}wacontacts_check c ON c.check_id = r.check_id
WHERE r.status = 'rejected'
"""
POSTGRES = (*TABLES, REJECTS.format(body="convert_to(r.input, 'UTF8')"))
SQLITE = (*TABLES, REJECTS.format(body="CAST(r.input AS blob)"))
