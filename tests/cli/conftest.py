"""The error output of a failing command."""

import pytest
from airflow.providers.common.compat.sdk import conf

from airflow_provider_wacontacts import cli


@pytest.fixture
def fails_with(capsys):
    """Run a command that cannot be done; gives the one line that it prints."""

    # Airflow says that it reads the configuration of tests.
    conf.get("core", "unit_test_mode")
    capsys.readouterr()

    def run(*arguments):
        code = cli.main(arguments)
        printed = capsys.readouterr()

        assert (code, printed.out, printed.err.count("\n")) == (1, "", 1)
        return printed.err

    return run
