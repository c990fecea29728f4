"""Nothing personal and nothing secret of the identity operators is in logs at DEBUG, errors, or XCom."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.sandbox import Fault
from tests.operators.identity_cases import ANNA, BERT, NOW, Business, Context, acknowledge, get

ECHO = "example-token-58c1f0 16315551000 UKD6Y/5SqDU= Quillimar"


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(repr((record.getMessage(), vars(record))))


class Seen(list[str]):
    """All that is logged and written."""

    def __init__(self, recorder: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
        super().__init__()
        self._recorder, self._capfd = recorder, capfd

    def __str__(self) -> str:
        return "".join([*self, *self._recorder.seen, *self._capfd.readouterr()])


@pytest.fixture
def seen(capfd: pytest.CaptureFixture[str]) -> Iterator[Seen]:
    """Log all at DEBUG, but for the server that stands in for the client in this very process."""
    for module in ("hooks.store", "hooks.whatsapp_business"):
        # Airflow sets logging up when it is imported.
        import_module(f"airflow_provider_wacontacts.{module}")
    root, recorder = logging.getLogger(), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("uvicorn.access", "uvicorn.error"):
            patch.setattr(logging.getLogger(name), "disabled", True)
        for name in ("airflow", "airflow.task", "sqlalchemy", "sqlalchemy.engine"):
            patch.setattr(logging.getLogger(name), "level", logging.NOTSET)
        patch.setattr(root, "level", logging.DEBUG)
        patch.setattr(root, "handlers", [*root.handlers, recorder])
        root.manager._clear_cache()
        yield Seen(recorder, capfd)
    root.manager._clear_cache()


def drop_the_table(business: Business) -> None:
    engine = create_engine(business.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE wacontacts_identity")
    engine.dispose()


ERROR = json.dumps({"errors": [{"code": 1009, "title": ECHO, "details": ECHO}], "contacts": ECHO})
WAYS: dict[str, Callable[[Business], None]] = {
    "success": lambda _: None,
    "changed": lambda business: business.change(ANNA, told=False),
    "unknown": lambda business: business.whatsapp.put(f"+{ANNA}", "invalid") and None,
    "no table": drop_the_table,
    **{
        f"{on} {status}": lambda business, on=on, status=status: business.sandbox.fail(
            Fault(on=on, kind="body", status=status, body=ERROR, headers={"x-echo": ECHO}, every=1)
        )
        for on in ("identity", "acknowledge")
        for status in (200, 301, 400, 401, 403, 404, 409, 429, 500)
    },
    "drop": lambda business: business.sandbox.fail(Fault(on="identity", kind="drop", every=1)),
    "cut": lambda business: business.sandbox.fail(Fault(on="identity", kind="cut", every=1)),
    "html": lambda business: business.sandbox.fail(Fault(on="any", kind="html", every=1)),
}


@pytest.mark.parametrize(("kind", "way"), [(kind, way) for kind in (get, acknowledge) for way in WAYS])
def test_nothing_personal_or_secret_is_in_logs_errors_and_summaries(
    business: Business, context: Context, seen: Seen, kind: Any, way: str
) -> None:
    business.change(ANNA, BERT)
    WAYS[way](business)
    try:
        seen.append(repr(kind().execute(context(None, NOW))))
    except Exception as error:  # noqa: BLE001 - whatever it is
        seen.append("".join(traceback.format_exception(error)))
        chain: BaseException | None = error
        while chain is not None:
            seen.append(repr((chain, chain.args, vars(chain))))
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)

    shown = str(seen)
    secrets = [ANNA, BERT, *business.hashes, *ECHO.split(), business.whatsapp.behaviour.token, business.sandbox.url]
    assert "wacontacts_meta" in shown
    assert [secret for secret in secrets if secret in shown] == []
