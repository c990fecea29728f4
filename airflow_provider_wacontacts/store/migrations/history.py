"""Version 1: contacts with every state that was ever seen, and the ledger of what was pulled."""

from __future__ import annotations

__all__ = ["STATEMENTS"]

STATEMENTS = (
    """
    CREATE TABLE {at}wacontacts_meta (
        schema_version {key} NOT NULL PRIMARY KEY,
        upgraded_at {time} NOT NULL
    )
    """,
    """
    CREATE TABLE {at}wacontacts_account (
        account_id {identity},
        source text NOT NULL,
        account text NOT NULL,
        number_id text,
        UNIQUE (source, account)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_extraction (
        extraction_number {identity},
        extraction_id text NOT NULL UNIQUE,
        account_id bigint NOT NULL,
        source text NOT NULL,
        account text NOT NULL,
        window_start {time},
        window_end {time},
        started_at {time} NOT NULL,
        extracted_at {time} NOT NULL,
        finished_at {time},
        state text NOT NULL,
        resumes integer NOT NULL,
        position {time},
        pages bigint NOT NULL,
        rows bigint NOT NULL,
        new_versions bigint NOT NULL,
        rejected bigint NOT NULL,
        bytes bigint NOT NULL,
        lateness_s double precision,
        lossy boolean,
        gap_before text,
        uri text,
        dag_id text NOT NULL,
        run_id text NOT NULL,
        task_id text NOT NULL,
        map_index integer NOT NULL,
        options_digest text NOT NULL,
        package_version text NOT NULL
    )
    """,
    "CREATE INDEX wacontacts_extraction_task ON {at}wacontacts_extraction (run_id, task_id)",
    "CREATE INDEX wacontacts_extraction_window ON {at}wacontacts_extraction (account_id, window_end)",
    """
    CREATE TABLE {at}wacontacts_reject (
        reject_id {identity},
        extraction_id text NOT NULL,
        reason text NOT NULL,
        body {bytes} NOT NULL
    )
    """,
    "CREATE INDEX wacontacts_reject_extraction ON {at}wacontacts_reject (extraction_id)",
    """
    CREATE TABLE {at}wacontacts_sighting (
        version_id {key} NOT NULL PRIMARY KEY,
        account_id bigint NOT NULL,
        updated_at {time} NOT NULL,
        first_seen_at {time} NOT NULL,
        last_seen_at {time} NOT NULL,
        contact_id text NOT NULL,
        row_hash {bytes} NOT NULL,
        UNIQUE (account_id, contact_id, updated_at, row_hash)
    ){roomy}
    """,
    """
    CREATE TABLE {at}wacontacts_body (
        version_id {key} NOT NULL PRIMARY KEY,
        repaired boolean NOT NULL,
        state text NOT NULL,
        wa_id text,
        payload {json} NOT NULL
    )
    """,
    """
    CREATE TABLE {at}wacontacts_head (
        version_id bigint NOT NULL,
        account_id bigint NOT NULL,
        updated_at {time} NOT NULL,
        last_seen_at {time} NOT NULL,
        contact_id text NOT NULL,
        row_hash {bytes} NOT NULL,
        PRIMARY KEY (account_id, contact_id)
    ){roomy}
    """,
    """
    CREATE VIEW {at}wacontacts_version AS
    SELECT a.source, a.account, s.contact_id, s.updated_at, s.row_hash, b.state, s.first_seen_at, s.last_seen_at,
        b.wa_id, b.repaired, b.payload
    FROM {at}wacontacts_sighting s
    JOIN {at}wacontacts_account a ON a.account_id = s.account_id
    JOIN {at}wacontacts_body b ON b.version_id = s.version_id
    """,
    """
    CREATE VIEW {at}wacontacts_current AS
    SELECT a.source, a.account, h.contact_id, h.updated_at, h.row_hash, b.state, s.first_seen_at, s.last_seen_at,
        b.wa_id, b.repaired, b.payload
    FROM {at}wacontacts_head h
    JOIN {at}wacontacts_account a ON a.account_id = h.account_id
    JOIN {at}wacontacts_sighting s ON s.version_id = h.version_id
    JOIN {at}wacontacts_body b ON b.version_id = h.version_id
    """,
    """
    CREATE VIEW {at}wacontacts_history AS
    SELECT s.source, s.account, s.contact_id, s.updated_at, s.row_hash, b.state, s.first_seen_at, s.last_seen_at,
        b.wa_id, b.repaired, b.payload, s.updated_at AS valid_from, s.valid_to
    FROM (
        SELECT a.source, a.account, n.version_id, n.contact_id, n.updated_at, n.row_hash, n.first_seen_at,
            n.last_seen_at, lead(n.updated_at) OVER (
                PARTITION BY a.source, a.account, n.contact_id ORDER BY n.updated_at, n.last_seen_at, n.row_hash
            ) AS valid_to
        FROM {at}wacontacts_sighting n
        JOIN {at}wacontacts_account a ON a.account_id = n.account_id
    ) s
    JOIN {at}wacontacts_body b ON b.version_id = s.version_id
    """,
)
