"""Only their owner can access files, and nothing outside an extraction is read, written or deleted."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IMODE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files import complete_prefixes, read_contacts
from airflow_provider_wacontacts.files.erasure import erase_files
from airflow_provider_wacontacts.files.layout import decode_manifest
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import SuppressionKey, SuppressionList

BOB, EVE = "44623456700", "44623456799"
KEY = SuppressionKey(b"example-key")
ERASED = SuppressionList({KEY: [KEY.hash(Identifier(Kind.WA_ID, BOB))]})
MODES = {0o600: 0o700, 0o640: 0o750, 0o664: 0o775}


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def two(contact, page_of):
    return page_of(*(contact(f"uuid {wa_id}", whatsapp_id=wa_id) for wa_id in (BOB, EVE)), {"uuid": "no time"})


def erase_bob(root):
    return erase_files(root, ERASED)


def modes(root):
    root = Path(getattr(root, "path", root))
    found = [(path.is_dir(), S_IMODE(path.stat().st_mode)) for path in root.rglob("*")]
    return {mode for is_dir, mode in found if not is_dir}, {mode for is_dir, mode in found if is_dir}


@pytest.fixture(params=["tmp_path", "airflow_local_root"])
def local_root(request):
    return request.getfixturevalue(request.param)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("file_mode", MODES)
def test_files_and_folders_have_the_same_permissions_under_any_umask(local_root, two, file_pages, file_mode):
    root = local_root / "new"
    widened = {} if file_mode == 0o600 else {"file_mode": file_mode}
    file_pages(root, two, **widened)
    assert modes(root.parent) == ({file_mode}, {MODES[file_mode]})

    erase_files(root, ERASED)

    assert [found.record.wa_id for found in read_contacts(root)] == [EVE]
    assert modes(root.parent) == ({file_mode}, {MODES[file_mode]})


@pytest.mark.parametrize("folder", ["turn", "turn/main", "turn/main/2022-09-12"])
def test_a_folder_that_is_a_symbolic_link_is_an_error_for_all(local_root, tmp_path, two, file_pages, folder):
    elsewhere = tmp_path / "elsewhere" / "below"
    file_pages(local_root, two)
    elsewhere.parent.mkdir()
    (tmp_path / folder).rename(elsewhere)
    (tmp_path / folder).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))

    for work in (lambda root: file_pages(root, two), lambda root: list(read_contacts(root)), erase_bob):
        with pytest.raises(ConfigError, match=f"'{folder}' below `path` is a symbolic link"):
            work(local_root)
    assert sorted(elsewhere.rglob("*")) == before


def test_a_file_is_not_written_through_a_symbolic_link(tmp_path, two, file_pages):
    precious = tmp_path / "precious"
    precious.write_text("unchanged")
    root = tmp_path / "files"
    file_pages(root, two)
    (prefix,) = (found.parent for found in root.rglob("_manifest.json"))
    (prefix / "._manifest.json.writing").symlink_to(precious)

    with pytest.raises(LandingError, match=r"_manifest\.json could not be written"):
        erase_bob(root)
    assert precious.read_text() == "unchanged"


def test_the_path_itself_and_links_of_others_may_be_symbolic_links(tmp_path, two, file_pages):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "latest").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    file_pages(tmp_path / "link", two)
    assert len(list(read_contacts(tmp_path / "link"))) == 2


FOREIGN = ["../../../outside/part-00000.jsonl.gz", "/etc/passwd", "part-00000.jsonl.gz/../x", "_manifest.json", ""]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("member", ["parts", "rejects"])
def test_a_manifest_that_names_other_files_is_refused_and_nothing_is_deleted(tmp_path, two, file_pages, name, member):
    file_pages(tmp_path / "files", two)
    outside = tmp_path / "files" / "outside" / "part-00000.jsonl.gz"
    outside.parent.mkdir()
    outside.write_bytes(b"precious")
    path = next(tmp_path.rglob("_manifest.json"))
    manifest = json.loads(path.read_bytes())
    (manifest["parts"][0] if member == "parts" else manifest["rejects"])["name"] = name
    path.write_text(json.dumps(manifest) + "\n")
    before = sorted(tmp_path.rglob("*"))

    for work in (complete_prefixes, read_contacts, lambda root: iter([erase_bob(root)])):
        with pytest.raises(LandingError, match="names files that this package does not write"):
            list(work(tmp_path / "files"))
    assert (sorted(tmp_path.rglob("*")), outside.read_bytes()) == (before, b"precious")


MANIFEST = {
    **dict.fromkeys(("source", "account", "extraction_id", "file_format", "package_version"), "x"),
    **dict.fromkeys(("dag_id", "run_id", "task_id"), "x"),
    **dict.fromkeys(("extracted_at", "finished_at"), "2022-09-12T00:00:00Z"),
    **dict.fromkeys(("window_start", "window_end", "rejects", "number_id", "lateness_s"), None),
    **dict.fromkeys(("format_version", "pages", "rows", "rejected", "bytes", "map_index"), 1),
    "lossy": False,
}
OURS = st.from_regex(r"\Apart-[0-9]{5}(-[0-9a-f]{8})?\.(jsonl\.gz|parquet)\Z")


@given(name=st.one_of(OURS, st.text(), st.from_regex(r"[./]*part-0000\d(-[0-9a-f]*)?\.(jsonl\.gz|parquet)[./]*")))
def test_no_accepted_name_is_outside_its_folder(name):
    part = {"name": name, "rows": 1, "bytes": 1, "sha256": ""}
    data = json.dumps(MANIFEST | {"parts": [part]}).encode() + b"\n"
    try:
        manifest = decode_manifest(data)
    except LandingError:
        return
    assert os.path.basename(os.path.normpath(f"folder/{name}")) == name  # noqa: PTH119 - as text
    assert manifest.parts[0].name == name


@given(name=OURS)
def test_names_from_extractions_and_erasures_are_accepted(name):
    part = {"name": name, "rows": 1, "bytes": 1, "sha256": ""}
    assert decode_manifest(json.dumps(MANIFEST | {"parts": [part]}).encode() + b"\n").parts[0].name == name


def test_the_files_of_a_killed_extraction_behind_a_link_are_not_deleted(tmp_path, two, begin):
    with begin(tmp_path / "files") as extraction:
        extraction.write(two)
    account, elsewhere = tmp_path / "files" / "turn" / "main", tmp_path / "elsewhere"
    account.rename(elsewhere)
    account.symlink_to(elsewhere)
    with pytest.raises(ConfigError):
        erase_files(tmp_path / "files", ERASED, lambda: datetime.now(UTC) + timedelta(days=99))
    assert len(list(elsewhere.rglob("part-*"))) == 1
