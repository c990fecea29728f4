{{ config(materialized='incremental', unique_key='version_id', incremental_strategy='delete+insert') }}

-- Every version of every contact. `change_id` is the watermark: a late version has an old `updated_at`, but a new
-- `change_id`. An erased version comes again with nulls, and replaces the row that held personal data.
with changes as (
    select
        change_id, change_kind, version_id, extraction_id, source, account, contact_id, updated_at, row_hash, state,
        first_seen_at, last_seen_at, wa_id, user_id, lid, repaired, payload,
        row_number() over (partition by version_id order by change_id desc) as recency
    from {{ source('wacontacts', 'wacontacts_change') }}
    {% if is_incremental() %}
    where change_id > (select coalesce(max(change_id), 0) from {{ this }})
    {% endif %}
)

select
    change_id, change_kind, version_id, extraction_id, source, account, contact_id, updated_at, row_hash, state,
    first_seen_at, last_seen_at, wa_id, user_id, lid, repaired, payload
from changes
where recency = 1
