"""One extraction: its interface, and its files after a failure."""

import gc
import json
import os
import sys
import traceback
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files import complete_prefixes, read_contacts
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey

PERSONAL = "s3://somebody:example-pseudonym-secret@lake", "44623456700"


class ReadOnly(type(Path())):
    """A store that takes nothing, and says so with everything it knows."""

    protocol = "read-only"

    def open(self, *arguments, **options):
        raise PermissionError(13, *PERSONAL)


class Unreachable(type(Path())):
    """A store that does not answer."""

    def exists(self):
        raise ConnectionError(*PERSONAL)


class FullFile:
    """A file that takes no more."""

    def write(self, data):
        raise OSError(28, *PERSONAL)

    def close(self):
        raise OSError(28, *PERSONAL)


class Full(type(Path())):
    """A store that opens files, and is full."""

    protocol = "full"

    def open(self, *arguments, **options):
        return FullFile()


def test_the_fields_of_a_manifest(tmp_path, file_pages, page_of, contact, window):
    page = page_of(contact("a"), contact("b"), {"uuid": "x"})
    manifest = file_pages(
        tmp_path,
        page,
        page_of(),
        extraction_id="0123abcd",
        account="a/b",
        task=TaskInstanceKey("dag", "manual__1", "pull", 3),
        extracted_at=window.end + timedelta(minutes=5, microseconds=7),
        lossy=True,
        number_id="1",
    )
    (path,) = tmp_path.rglob("_manifest.json")
    assert path == tmp_path / "turn" / "a%2Fb" / "2022-09-12" / "0123abcd" / "_manifest.json"
    (part,) = manifest.parts
    rejects = manifest.rejects
    assert json.loads(path.read_bytes()) == {
        "format_version": 1,
        "extraction_id": "0123abcd",
        "source": "turn",
        "account": "a/b",
        "window_start": "2022-09-12T00:00:00.000000Z",
        "window_end": "2022-09-13T00:00:00.000000Z",
        "extracted_at": "2022-09-13T00:05:00.000007Z",
        "finished_at": "2022-09-13T00:05:00.000007Z",
        "file_format": "jsonl.gz",
        "parts": [{"name": part.name, "rows": 2, "bytes": part.bytes, "sha256": part.sha256, "repaired": []}],
        "rejects": {
            "name": rejects.name,
            "rows": 1,
            "bytes": rejects.bytes,
            "sha256": rejects.sha256,
            "repaired": [],
        },
        "pages": 2,
        "rows": 2,
        "rejected": 1,
        "bytes": page.size + len(b'{"data":[]}'),
        "lateness_s": 300.000007,
        "lossy": True,
        "number_id": "1",
        "package_version": "0.0.1",
        "dag_id": "dag",
        "run_id": "manual__1",
        "task_id": "pull",
        "map_index": 3,
        "group": None,
        "is_cut": False,
        "is_synchronised": None,
        "fields": [],
        "drift": [],
    }


def test_an_empty_extraction_has_a_manifest_and_no_parts(tmp_path, file_pages, page_of):
    manifest = file_pages(tmp_path, page_of())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["_manifest.json"]
    assert (manifest.parts, manifest.rejects, manifest.rows) == ([], None, 0)


def test_an_extraction_without_a_window_has_the_given_day_in_its_prefix(tmp_path, file_pages, page_of, contact):
    manifest = file_pages(tmp_path, page_of(contact()), window=None, day=date(2022, 9, 20), extraction_id="1")
    assert (tmp_path / "turn" / "main" / "2022-09-20" / "1" / "_manifest.json").exists()
    assert (manifest.window_start, manifest.window_end, manifest.lateness_s) == (None, None, None)


def test_the_day_of_a_prefix_is_the_utc_day_of_the_start(tmp_path, file_pages, page_of, window):
    late = window.__class__(datetime.fromisoformat("2022-09-12T23:00:00-05:00"), datetime(2022, 9, 14, tzinfo=UTC))
    file_pages(tmp_path, page_of(), window=late, extraction_id="1")
    assert (tmp_path / "turn" / "main" / "2022-09-13" / "1" / "_manifest.json").exists()


def test_extractions_of_one_window_have_different_ids(tmp_path, file_pages, page_of, contact):
    ids = {file_pages(tmp_path, page_of(contact())).extraction_id for _ in range(3)}
    assert {found.manifest.extraction_id for found in complete_prefixes(tmp_path)} == ids
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"file_format": "csv"}, "file_format is 'csv'. It must be 'jsonl.gz' or 'parquet'"),
        ({"account": ".."}, "account"),
        ({"source": ""}, "source"),
        ({"part_rows": 0}, "part_rows"),
        ({"part_bytes": 0}, "part_bytes"),
        ({"window": None}, "day"),
    ],
)
def test_an_invalid_argument_is_refused_before_anything_is_written(tmp_path, begin, options, named):
    with pytest.raises(ConfigError, match=named):
        begin(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_its_library_names_the_extra(tmp_path, begin, monkeypatch):
    monkeypatch.setattr("airflow_provider_wacontacts.files.parts.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"airflow-provider-wacontacts\[parquet\]"):
        begin(tmp_path, file_format="parquet")


def test_a_finished_extraction_is_never_replaced(any_root, begin, file_pages, page_of, contact):
    file_pages(any_root, page_of(contact("a")), extraction_id="1")
    with pytest.raises(LandingError, match="never replaced"):
        begin(any_root, extraction_id="1")
    assert [found.record.contact_id for found in read_contacts(any_root)] == ["a"]


def test_an_unfinished_extraction_is_never_replaced(any_root, begin, page_of, contact):
    with begin(any_root, extraction_id="1") as killed:
        killed.write(page_of(contact("a")))
    with pytest.raises(LandingError, match="never replaced"):
        begin(any_root, extraction_id="1")


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_an_extraction_that_fails_between_pages_is_not_read(
    *, any_root, begin, file_pages, page_of, contact, file_format
):
    before = file_pages(any_root, page_of(contact("a")))
    with pytest.raises(RuntimeError, match="half way"), begin(any_root, file_format=file_format) as extraction:  # noqa: PT012
        extraction.write(page_of(contact("b"), contact("c"), {"uuid": "x"}))
        raise RuntimeError("half way")
    assert [found.manifest.extraction_id for found in complete_prefixes(any_root)] == [before.extraction_id]
    assert [found.record.contact_id for found in read_contacts(any_root)] == ["a"]


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_an_abandoned_extraction_raises_nothing_when_it_is_collected(
    *, tmp_path, begin, page_of, contact, monkeypatch, file_format
):
    unraised = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    with begin(tmp_path, file_format=file_format) as extraction:
        extraction.write(page_of(contact("a"), {"uuid": "x"}))
    del extraction
    gc.collect()
    assert unraised == []


def test_an_extraction_without_a_written_manifest_is_not_read(tmp_path, begin, page_of, contact, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("airflow_provider_wacontacts.files.sinks._write", full)
    with begin(tmp_path) as extraction:
        extraction.write(page_of(contact("a")))
        with pytest.raises(LandingError, match=r"^_manifest.json could not be written: The disk is full"):
            extraction.finish(extracted_at=datetime.now(UTC), finished_at=datetime.now(UTC), lossy=False)
    assert list(read_contacts(tmp_path)) == []


def test_the_manifest_is_the_last_file_to_appear(*, tmp_path, begin, page_of, contact, window, monkeypatch):
    appeared = []
    original = os.open

    def watched(path, flags, *arguments, **options):
        if flags & os.O_CREAT:
            appeared.append(Path(path).name)
        return original(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)
    with begin(tmp_path, extraction_id="1", part_rows=1) as extraction:
        extraction.write(page_of(contact("a"), {"uuid": "x"}, contact("b")))
        assert not list(tmp_path.rglob("*manifest*"))
        extraction.finish(extracted_at=window.end, finished_at=window.end, lossy=False)
    assert [name for n, name in enumerate(appeared) if name not in appeared[:n]] == [
        "part-00000.jsonl.gz",
        "part-00001.jsonl.gz",
        "_rejects.jsonl.gz",
        "._manifest.json.writing",
    ]
    assert not list(tmp_path.rglob("*.writing"))


def test_a_finished_extraction_cannot_be_written_to(tmp_path, begin, page_of, contact, window):
    extraction = begin(tmp_path)
    times = {"extracted_at": window.end, "finished_at": window.end}
    extraction.finish(**times, lossy=False)
    with pytest.raises(LandingError, match="finished or abandoned"):
        extraction.write(page_of(contact()))
    with pytest.raises(LandingError, match="finished or abandoned"):
        extraction.finish(**times, lossy=False)


def test_abandoning_a_finished_extraction_changes_nothing(tmp_path, begin, page_of, contact, window):
    with begin(tmp_path) as extraction:
        extraction.write(page_of(contact("a")))
        extraction.finish(extracted_at=window.end, finished_at=window.end, lossy=False)
    extraction.abandon()
    assert [found.record.contact_id for found in read_contacts(tmp_path)] == ["a"]


def test_an_error_of_the_storage_names_only_the_file(tmp_path, begin, page_of, contact):
    with begin(ReadOnly(tmp_path)) as extraction, pytest.raises(ConfigError) as caught:
        extraction.write(page_of(contact("a")))
    assert str(caught.value).startswith("part-00000.jsonl.gz could not be created: A permission is missing.")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("file_mode", [None, 0o600])
def test_a_path_through_a_file_is_a_config_error(tmp_path, begin, page_of, contact, file_mode):
    (tmp_path / "contacts").write_bytes(b"a file")

    for path in ("contacts", "contacts/main"):
        wrong = pytest.raises(ConfigError, match="Part of the path is a file, not a folder")
        with wrong, begin(tmp_path / path, file_mode=file_mode) as extraction:
            extraction.write(page_of(contact("a")))


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_full_storage_raises_one_error_without_personal_data(tmp_path, begin, page_of, contact, file_format):
    times = {"extracted_at": datetime.now(UTC), "finished_at": datetime.now(UTC)}
    with pytest.raises(LandingError) as caught, begin(Full(tmp_path), file_format=file_format) as extraction:  # noqa: PT012
        extraction.write(page_of(contact("a"), {"uuid": "x"}))
        extraction.finish(**times, lossy=False)
    reason = "could not be written: The disk is full."
    assert str(caught.value) == f"part-00000.{file_format} {reason}"
    told = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in PERSONAL if secret in told] == []


def test_unreachable_storage_is_found_before_the_first_page(tmp_path, begin):
    with pytest.raises(LandingError) as caught:
        begin(Unreachable(tmp_path))
    assert str(caught.value).startswith("The path could not be read: The storage cannot be reached.")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("root", "uri"),
    [
        ("tmp_path", "file://{tmp_path}/turn/main/2022-09-12/1"),
        ("airflow_local_root", "file://{tmp_path}/turn/main/2022-09-12/1"),
        ("s3_root", "s3://lake/{name}/turn/main/2022-09-12/1"),
        ("airflow_s3_root", "s3://lake_keys@lake/{name}/turn/main/2022-09-12/1"),
    ],
)
def test_the_uri_names_the_prefix(request, tmp_path, begin, root, uri):
    extraction = begin(request.getfixturevalue(root), extraction_id="1")
    assert extraction.uri == uri.format(tmp_path=tmp_path, name=request.node.name)
