"""Tables and views of contacts: versions, current contacts, the change log, the ledger, the suppression list."""

from __future__ import annotations

__all__ = ["POSTGRES", "SQLITE", "TABLES", "VIEWS"]

TABLES = (
    """
    CREATE TABLE {at}wacontacts_schema_version (
        schema_version {key} NOT NULL PRIMARY KEY,
        writable_from text NOT NULL,
        upgraded_at {time} NOT NULL
    )
    """,
    """
    CREATE TABLE {at}wacontacts_account (
        account_id {identity},
        source text NOT NULL,
        account text NOT NULL,
        number_id text,
        secret_id text,
        extractions_purged_before {time},
        versions_purged_before {time},
        UNIQUE (source, account)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_extraction (
        extraction_number {identity},
        extraction_id {uuid} NOT NULL UNIQUE,
        account_id bigint NOT NULL,
        source text NOT NULL,
        account text NOT NULL,
        window_start {time},
        window_end {time},
        covered_until {time},
        started_at {time} NOT NULL,
        heartbeat_at {time},
        deferred_until {time},
        extracted_at {time} NOT NULL,
        finished_at {time},
        state text NOT NULL
            CHECK (state IN ('running', 'complete', 'incomplete', 'refused', 'abandoned', 'failed')),
        error text,
        resumes integer NOT NULL,
        position {time},
        pages bigint NOT NULL,
        row_count bigint NOT NULL,
        new_versions bigint NOT NULL,
        rejected bigint NOT NULL,
        bytes bigint NOT NULL,
        lateness_s double precision,
        lossy boolean,
        gap_start {time},
        gap_end {time},
        groups_seen bigint,
        others_seen bigint,
        gone bigint,
        back bigint,
        reason text,
        uri text,
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
    "CREATE INDEX wacontacts_extraction_task ON {at}wacontacts_extraction (run_id, task_id)",
    "CREATE INDEX wacontacts_extraction_window ON {at}wacontacts_extraction (account_id, window_end)",
    "CREATE INDEX wacontacts_extraction_covered ON {at}wacontacts_extraction (account_id, covered_until)",
    "CREATE INDEX wacontacts_extraction_uri ON {at}wacontacts_extraction (account_id, uri) WHERE uri IS NOT NULL",
    """
    CREATE TABLE {at}wacontacts_rejected_row (
        reject_id {identity},
        extraction_id {uuid},
        reason text NOT NULL,
        body {bytes} NOT NULL,
        delivery_hash {bytes} UNIQUE,
        received_at {time} NOT NULL DEFAULT {now}
    )
    """,
    "CREATE INDEX wacontacts_rejected_row_extraction ON {at}wacontacts_rejected_row (extraction_id)",
    """
    CREATE TABLE {at}wacontacts_contact_version (
        version_id bigint NOT NULL,
        account_id bigint NOT NULL,
        updated_at {time} NOT NULL,
        first_seen_at {time} NOT NULL,
        last_seen_at {time} NOT NULL,
        contact_id text {bytewise} NOT NULL,
        row_hash {bytes} NOT NULL,
        PRIMARY KEY (account_id, version_id),
        UNIQUE (account_id, contact_id, updated_at, row_hash)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_contact_payload (
        version_id bigint NOT NULL,
        account_id bigint NOT NULL,
        repaired boolean NOT NULL,
        state text NOT NULL CHECK (state IN ('present', 'gone')),
        wa_id text {bytewise},
        user_id text {bytewise},
        lid text {bytewise},
        payload {json} NOT NULL,
        PRIMARY KEY (account_id, version_id)
    )
    """,
    "CREATE INDEX wacontacts_contact_payload_wa_id ON {at}wacontacts_contact_payload (wa_id)",
    """
    CREATE INDEX wacontacts_contact_payload_user_id ON {at}wacontacts_contact_payload (user_id)
    WHERE user_id IS NOT NULL
    """,
    "CREATE INDEX wacontacts_contact_payload_lid ON {at}wacontacts_contact_payload (lid) WHERE lid IS NOT NULL",
    """
    CREATE TABLE {at}wacontacts_contact_current (
        version_id bigint NOT NULL,
        account_id bigint NOT NULL,
        updated_at {time} NOT NULL,
        first_seen_at {time} NOT NULL,
        last_seen_at {time} NOT NULL,
        contact_id text {bytewise} NOT NULL,
        row_hash {bytes} NOT NULL,
        is_present boolean NOT NULL DEFAULT true,
        wa_id text {bytewise},
        user_id text {bytewise},
        lid text {bytewise},
        person_key text {bytewise},
        PRIMARY KEY (account_id, contact_id),
        CHECK (wa_id IS NULL OR person_key IS NULL)
    ){roomy}
    """,
    """
    CREATE INDEX wacontacts_contact_current_user_id ON {at}wacontacts_contact_current (user_id)
    WHERE user_id IS NOT NULL
    """,
    "CREATE INDEX wacontacts_contact_current_lid ON {at}wacontacts_contact_current (lid) WHERE lid IS NOT NULL",
    """
    CREATE TABLE {at}wacontacts_change_log (
        change_id {identity},
        account_id bigint NOT NULL,
        version_id bigint NOT NULL,
        change_kind text NOT NULL
            CHECK (change_kind IN ('new', 'changed', 'late', 'gone', 'returned', 'erased'))
    )
    """,
    """
    CREATE TABLE {at}wacontacts_field (
        account_id bigint NOT NULL,
        field text {bytewise} NOT NULL,
        json_types text NOT NULL,
        declared_type text,
        is_present boolean NOT NULL,
        contacts bigint NOT NULL,
        contacts_with bigint NOT NULL,
        contacts_since bigint NOT NULL,
        PRIMARY KEY (account_id, field)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_field_change (
        field_change_id {identity},
        account_id bigint NOT NULL,
        source text NOT NULL,
        account text NOT NULL,
        extraction_id {uuid} NOT NULL,
        field text {bytewise} NOT NULL,
        change_kind text NOT NULL CHECK (change_kind IN ('new', 'gone', 'retyped')),
        type_before text,
        type_after text,
        share double precision NOT NULL,
        detected_at {time} NOT NULL
    )
    """,
    "CREATE INDEX wacontacts_field_change_account ON {at}wacontacts_field_change (account_id, detected_at)",
    """
    CREATE TABLE {at}wacontacts_erased (
        erased_number {identity},
        key_id text NOT NULL,
        hash {bytes} NOT NULL,
        erased_at {time} NOT NULL,
        UNIQUE (key_id, hash)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_erased_key (
        key_id text NOT NULL PRIMARY KEY,
        key {bytes} NOT NULL,
        made_at {time} NOT NULL
    )
    """,
)

#: Roles without write privileges on the suppression list cannot read it: with the key, the hashes can be reversed by
#: brute force.
WRITERS_ONLY = (
    "ALTER TABLE {at}wacontacts_{table} ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY wacontacts_{table}_writers ON {at}wacontacts_{table}
    USING (has_table_privilege(tableoid, 'INSERT')) WITH CHECK (true)
    """,
)
POSTGRES = (
    """
    CREATE INDEX wacontacts_contact_version_updated ON {at}wacontacts_contact_version
    USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on)
    """,
    *(statement.replace("{table}", table) for table in ("erased", "erased_key") for statement in WRITERS_ONLY),
)

SQLITE = ("CREATE INDEX wacontacts_contact_version_updated ON wacontacts_contact_version (updated_at)",)

#: The upper bits of a version's ID are the number of its extraction.
EXTRACTION = "LEFT JOIN {at}wacontacts_extraction e ON e.extraction_number = v.version_id >> 32"
#: A join that the planner removes if no column of it is used.
PAYLOAD = "LEFT JOIN {at}wacontacts_contact_payload p ON p.account_id = v.account_id AND p.version_id = v.version_id"
#: The seen times of a current version are in the contact's row of ``contact_current``: the version's row is not updated
#: each time.
SEEN = """
    LEFT JOIN {at}wacontacts_contact_current s
        ON s.account_id = v.account_id AND s.contact_id = v.contact_id AND s.version_id = v.version_id
"""
KEY_COLUMNS = "v.version_id, a.source, a.account, v.contact_id, v.updated_at, v.row_hash, p.state"
SEEN_COLUMNS = """
    coalesce(s.first_seen_at, v.first_seen_at) AS first_seen_at,
    coalesce(s.last_seen_at, v.last_seen_at) AS last_seen_at
"""
COLUMNS = f"{KEY_COLUMNS}, {SEEN_COLUMNS}, e.extraction_id, p.wa_id, p.user_id, p.lid, p.repaired, p.payload"
CURRENT_COLUMNS = f"""
    {KEY_COLUMNS}, v.first_seen_at, v.last_seen_at, e.extraction_id, v.wa_id, v.user_id, v.lid, p.repaired, p.payload
"""
#: If two versions have the same time, the lower one has an empty validity.
VALID_TO = """
    (
        SELECT min(n.updated_at) FROM {at}wacontacts_contact_version n
        WHERE n.account_id = v.account_id AND n.contact_id = v.contact_id AND n.updated_at >= v.updated_at
            AND (n.updated_at, n.last_seen_at, n.row_hash) > (v.updated_at, v.last_seen_at, v.row_hash)
    )
"""
VIEWS = (
    f"""
    CREATE VIEW {{at}}wacontacts_version{{invoker}} AS
    SELECT {COLUMNS}
    FROM {{at}}wacontacts_contact_version v
    JOIN {{at}}wacontacts_account a ON a.account_id = v.account_id
    {SEEN} {PAYLOAD} {EXTRACTION}
    """,
    f"""
    CREATE VIEW {{at}}wacontacts_current{{invoker}} AS
    SELECT {CURRENT_COLUMNS}
    FROM {{at}}wacontacts_contact_current v
    JOIN {{at}}wacontacts_account a ON a.account_id = v.account_id
    {PAYLOAD} {EXTRACTION}
    """,
    f"""
    CREATE VIEW {{at}}wacontacts_history{{invoker}} AS
    SELECT {COLUMNS}, v.updated_at AS valid_from, {VALID_TO} AS valid_to
    FROM {{at}}wacontacts_contact_version v
    JOIN {{at}}wacontacts_account a ON a.account_id = v.account_id
    {SEEN} {PAYLOAD} {EXTRACTION}
    """,
    f"""
    CREATE VIEW {{at}}wacontacts_change{{invoker}} AS
    SELECT c.change_id, c.change_kind, c.version_id, CASE WHEN v.version_id IS NOT NULL THEN e.extraction_id END
        AS extraction_id, CASE WHEN v.version_id IS NOT NULL THEN a.source END AS source,
        CASE WHEN v.version_id IS NOT NULL THEN a.account END AS account, v.contact_id, v.updated_at, v.row_hash,
        p.state, {SEEN_COLUMNS}, p.wa_id, p.user_id, p.lid, p.repaired, p.payload
    FROM {{at}}wacontacts_change_log c
    LEFT JOIN {{at}}wacontacts_contact_version v
        ON v.account_id = c.account_id AND v.version_id = c.version_id AND c.change_kind <> 'erased'
    LEFT JOIN {{at}}wacontacts_account a ON a.account_id = v.account_id
    {SEEN} {PAYLOAD} {EXTRACTION}
    """,
)
