"""A store loaded from files equals one that was synced directly."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files import complete_prefixes, versions
from airflow_provider_wacontacts.pipelines.green_api_snapshot import (
    FetchedSnapshot,
    SnapshotSpec,
    snapshot_to_files,
    snapshot_to_store,
)
from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, ImportSummary, import_files
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_files, sync_to_store
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAY = timedelta(days=1)
TASK = TaskInstanceKey("contacts", "run", "pull")
FILES = ImportSpec(TaskInstanceKey("contacts", "run", "land"), "0.1.0")

ANN, BEN, EVE = '{"id":"1@c.us","name":"Ann"}', '{"id":"2@c.us","name":"Ben"}', '{"id":"3@g.us","name":"Eve"}'
ANNA = '{"id":"1@c.us","name":"Anna"}'
CONTACT = '{{"uuid":"{}","updated_at":"{}","number_id":7,"details":{{"whatsapp_id":"4462345670{}"}}}}'


@pytest.fixture
def store(store_engine):
    return Store(store_engine)


@pytest.fixture
def anew(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/anew.db")
    yield Store(engine)
    engine.dispose()


@pytest.fixture(params=["jsonl.gz", "parquet"])
def file_format(request):
    return request.param


def answering(*contacts, at):
    """Drive an export of one page."""

    def run(flow, **_):
        try:
            request = next(flow)
            while True:
                body = b'{"cursor":"example-cursor"}'
                if not request.operation.endswith("cursor") and request.method == "GET":
                    body = f'{{"data":[{",".join(contacts)}],"paging":{{"next":null}}}}'.encode()
                date = at.strftime("%a, %d %b %Y %H:%M:%S GMT")
                request = flow.send(Response(200, {"date": date}, body))
        except StopIteration as stop:
            return stop.value

    return run


def pull_both(store, root, file_format, *contacts, start, at):
    pull = SyncSpec(
        account="main", window=Window(start, start + DAY), task=TASK, package_version="0.1.0", max_rejected=1
    )
    sync_to_store(pull, run=answering(*contacts, at=at), store=store, uri="")
    sync_to_files(pull, run=answering(*contacts, at=at), root=root, file_format=file_format)


def take_both(store, root, file_format, *contacts, at, account="main", **pull):
    plan = SnapshotSpec(account, TASK, "0.1.0", max_rejected=1, **pull)
    snapshot = parse_snapshot(f"[{','.join(contacts)}]".encode(), at)
    answered = FetchedSnapshot(snapshot, at, is_cut=False, is_synchronised=None)
    snapshot_to_store(plan, answered, store=store, uri="")
    snapshot_to_files(plan, answered, root=root, file_format=file_format)


def parse_store_connection(store):
    return store.context.transactions._reader


def rejects(store):
    with store.context.transactions.read() as connection:
        found = connection.execute(text("SELECT reason, body FROM wacontacts_reject"))
        return sorted((reason, bytes(body)) for reason, body in found)


def test_windows_loaded_from_files_make_the_same_store(store, anew, tmp_path, file_format, dump_store):
    root = tmp_path / "files"
    monday = [CONTACT.format(name, f"2026-11-02T0{n}:00:00Z", n) for n, name in enumerate("abc", 1)]
    tuesday = [CONTACT.format("a", "2026-11-03T01:00:00Z", 9), '{"uuid":"d","details":{}}']
    pull_both(store, root, file_format, *monday, start=MONDAY, at=MONDAY + DAY)
    pull_both(store, root, file_format, *tuesday, start=MONDAY + DAY, at=MONDAY + 2 * DAY)
    pull_both(store, root, file_format, *monday[1:], start=MONDAY, at=MONDAY + 3 * DAY)

    summary = import_files(FILES, root=root, store=anew)

    assert summary == ImportSummary(prefixes=3, rows=6, new_versions=4, rejected=1)
    assert dump_store(parse_store_connection(anew), "main") == dump_store(parse_store_connection(store), "main")
    assert rejects(anew) == rejects(store) != []


def test_snapshots_are_loaded_from_files_in_the_order_of_their_times(store, anew, tmp_path, file_format, dump_store):
    root = tmp_path / "files"
    for day, contacts in enumerate(
        [(ANN, BEN, EVE), (ANNA, BEN, EVE), (ANNA, BEN), (ANNA,), (ANN, EVE), ("7", ANN, EVE)]
    ):
        take_both(store, root, file_format, *contacts, at=MONDAY + day * DAY)

    summary = import_files(FILES, root=root, store=anew)

    assert (summary.prefixes, summary.known, summary.refused, summary.rejected) == (6, 0, 0, 1)
    assert dump_store(parse_store_connection(anew), "main") == dump_store(parse_store_connection(store), "main")
    assert rejects(anew) == rejects(store) != []


def test_loading_the_same_files_again_changes_nothing(store, anew, tmp_path, dump_store):
    root = tmp_path / "files"
    pull_both(store, root, "jsonl.gz", CONTACT.format("a", "2026-11-02T01:00:00Z", 1), start=MONDAY, at=MONDAY + DAY)
    take_both(store, root, "jsonl.gz", ANN, BEN, at=MONDAY)
    import_files(FILES, root=root, store=anew)
    before = dump_store(parse_store_connection(anew), "main")

    assert import_files(FILES, root=root, store=anew) == ImportSummary(prefixes=2, known=2)
    assert dump_store(parse_store_connection(anew), "main") == before


def test_only_selected_files_are_loaded(store, anew, tmp_path):
    root = tmp_path / "files"
    pull_both(store, root, "jsonl.gz", CONTACT.format("a", "2026-11-02T01:00:00Z", 1), start=MONDAY, at=MONDAY + DAY)
    take_both(store, root, "jsonl.gz", ANN, BEN, at=MONDAY)
    take_both(store, root, "jsonl.gz", ANN, at=MONDAY, account="other")

    of_turn = import_files(ImportSpec(FILES.task, "0.1.0", source="turn"), root=root, store=anew)
    of_other = import_files(ImportSpec(FILES.task, "0.1.0", account="other"), root=root, store=anew)

    assert (of_turn.prefixes, of_turn.rows, of_other.prefixes, of_other.rows) == (1, 1, 1, 1)


def test_a_corrupt_part_ends_the_import_and_keeps_what_was_loaded(store, anew, tmp_path):
    root = tmp_path / "files"
    take_both(store, root, "jsonl.gz", ANN, at=MONDAY)
    take_both(store, root, "jsonl.gz", ANN, BEN, at=MONDAY + DAY)
    _, second = sorted(complete_prefixes(root), key=lambda prefix: prefix.manifest.extracted_at)
    part = second.path / second.manifest.parts[0].name
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])

    with pytest.raises(LandingError, match="checksum"):
        import_files(FILES, root=root, store=anew)
    part.write_bytes(whole)

    assert import_files(FILES, root=root, store=anew) == ImportSummary(prefixes=2, known=1, rows=2, new_versions=1)


def test_an_empty_path_loads_nothing(anew, tmp_path):
    assert import_files(FILES, root=tmp_path / "nowhere", store=anew) == ImportSummary()


def test_snapshot_files_alone_have_no_history(store, tmp_path):
    take_both(store, tmp_path, "jsonl.gz", ANN, at=MONDAY)

    with pytest.raises(LandingError, match="ContactFilesToSqlOperator"):
        list(versions(tmp_path))
    assert list(versions(tmp_path, source="turn")) == []
