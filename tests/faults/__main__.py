"""``make faults``: the campaign on the pipelines; with ``deployed`` as first argument, the one on a whole Airflow."""

import sys

from tests.faults import campaign
from tests.faults.deployed import __main__ as deployed

if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(deployed.main(given[1:]) if given[:1] == ["deployed"] else campaign.main(given))
