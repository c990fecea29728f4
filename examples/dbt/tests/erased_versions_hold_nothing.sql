select version_id
from {{ ref('contact_versions') }}
where change_kind = 'erased' and (contact_id is not null or wa_id is not null or payload is not null)
