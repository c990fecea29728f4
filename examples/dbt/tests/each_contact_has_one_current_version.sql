select source, account, contact_id
from {{ ref('contact_history') }}
group by source, account, contact_id
having sum(case when valid_to is null then 1 else 0 end) <> 1
