-- When each version was valid (SCD Type 2). It needs no snapshot of dbt: the versions have all times already. The rows
-- with `valid_to is null` are the current ones.
select
    version_id, change_kind, extraction_id, source, account, contact_id, updated_at, row_hash, state, wa_id, user_id,
    lid, repaired, payload, updated_at as valid_from,
    lead(updated_at) over (
        partition by source, account, contact_id order by updated_at, last_seen_at, row_hash
    ) as valid_to
from {{ ref('contact_versions') }}
where change_kind <> 'erased'
