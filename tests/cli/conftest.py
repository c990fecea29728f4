"""What a command prints when it fails."""

import pytest

from airflow_provider_wacontacts import cli


@pytest.fixture
def fails_with(capsys):
    """Run a command that cannot be done; gives the one line that it prints."""

    def run(*arguments):
        code = cli.main(arguments)
        printed = capsys.readouterr()

        assert (code, printed.out, printed.err.count("\n")) == (1, "", 1)
        return printed.err

    return run
