"""Erasure of people from files: none of their data remains, and files are consistent at any time."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files import complete_prefixes, erasure, read_contacts
from airflow_provider_wacontacts.files.erasure import ErasedFiles
from airflow_provider_wacontacts.files.reader import files_below, read_rejects
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import (
    NO_SUPPRESSIONS,
    Contact,
    SuppressionKey,
    SuppressionList,
)
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.turn import parse_page

BOB, EVE = "44623456700", "44623456799"
KEY = SuppressionKey(b"example-key")
FORMATS = ["jsonl.gz", "parquet"]


def erased(*people, contacts=()):
    identifiers = (Identifier(Kind.WA_ID, person) for person in people)
    return SuppressionList({KEY: [*map(KEY.hash, identifiers), *map(KEY.hash_contact, contacts)]})


def erase_files(*given, **options):
    """Erase; leave out how many extractions were read."""
    return erasure.erase_files(*given, **options)._replace(extractions=0)


def text_of(path, names):
    data = path.joinpath(*names).open("rb").read()
    if names[-1].endswith(".gz"):
        lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
        return json.dumps(lines) + "".join(str(__import__("base64").b64decode(x.get("body_base64", ""))) for x in lines)
    if names[-1].endswith(".parquet"):
        from pyarrow.parquet import read_table

        return str(read_table(io.BytesIO(data)).to_pylist())
    return data.decode()


def everything(path):
    return "\n".join(text_of(path, names) for names in files_below(path))


@pytest.fixture
def people(contact, page_of):
    """A page of Bob and Eve, one of Eve alone, and what could be no contact."""

    def make(*wa_ids, rejects=()):
        contacts = [contact(f"uuid-{one[-2:]}", whatsapp_id=one, name=f"Jos\0 {one[-2:]}") for one in wa_ids]
        return page_of(*contacts, *({"uuid": f"no time {one}"} for one in rejects))

    return make


@pytest.mark.parametrize("file_format", FORMATS)
def test_rows_of_erased_people_are_removed_and_the_manifest_updated(any_root, people, file_pages, file_format):
    pages = people(BOB, EVE, rejects=[BOB, EVE]), people(EVE), people(BOB)
    before = file_pages(any_root, *pages, file_format=file_format, part_rows=2)
    file_pages(any_root, people(EVE), file_format=file_format)

    found = erase_files(any_root, erased(BOB))

    bob = Contact("turn", "main", "uuid-00")
    assert found == ErasedFiles(frozenset({bob}), rows=2, rejects=1, files=3)
    text = everything(any_root)
    assert (BOB in text, EVE in text) == (False, True)
    prefixes = list(complete_prefixes(any_root))
    after = next(prefix.manifest for prefix in prefixes if prefix.manifest.extraction_id == before.extraction_id)
    assert (after.rows, after.rejected, [part.rows for part in after.parts]) == (2, 1, [1, 1])
    assert [contact.record.wa_id for contact in read_contacts(any_root)] == [EVE] * 3
    assert all(contact.record.repaired for contact in read_contacts(any_root))
    assert [len(list(read_rejects(prefix))) for prefix in prefixes if prefix.manifest.rejects] == [1]
    assert erase_files(any_root, erased(BOB)) == ErasedFiles()


def test_files_without_erased_people_are_unchanged(tmp_path, people, file_pages):
    file_pages(tmp_path, people(EVE, rejects=[EVE]))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert erasure.erase_files(tmp_path, erased(BOB)) == ErasedFiles(extractions=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_an_extraction_of_erased_people_only_becomes_empty(tmp_path, people, file_pages):
    file_pages(tmp_path, people(BOB, rejects=[BOB]))
    assert erase_files(tmp_path, erased(BOB)).files == 2
    (prefix,) = complete_prefixes(tmp_path)
    assert (prefix.manifest.parts, prefix.manifest.rejects, prefix.manifest.rows) == ([], None, 0)
    assert [path.name for path in prefix.path.iterdir()] == ["_manifest.json"]


def test_rows_without_a_wa_id_match_by_the_hash_of_the_contact(tmp_path, contact, page_of, file_pages):
    file_pages(tmp_path, page_of(contact("bob"), contact("eve")))
    found = erase_files(tmp_path, erased(contacts=[Contact("turn", "main", "bob"), Contact("turn", "other", "eve")]))
    assert found == ErasedFiles(rows=1, files=1)


def test_remaining_rows_keep_their_order_and_repair_flags(tmp_path, contact, page_of, file_pages):
    names = [f"Jos\0{n}" if n % 3 == 0 else f"Jos{n}" for n in range(2_500)]
    people = [contact(f"c{n}", whatsapp_id=f"4462345{n:04}", name=name) for n, name in enumerate(names)]
    file_pages(tmp_path, page_of(*people))
    before = list(read_contacts(tmp_path))
    erase_files(tmp_path, erased("44623450000", "44623451200", "44623452499"))
    after = [contact.record for contact in read_contacts(tmp_path)]
    assert after == [contact.record for n, contact in enumerate(before) if n not in {0, 1_200, 2_499}]


class KilledError(Exception):
    """Nothing goes on from here."""


@pytest.mark.parametrize("step", ["write_whole", "_delete"])
def test_an_erasure_that_was_killed_can_be_run_again(tmp_path, people, file_pages, monkeypatch, step):
    file_pages(tmp_path, people(BOB, EVE, rejects=[BOB, EVE]))

    def kill(*_):
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr(erasure, step, kill)
        with pytest.raises(KilledError):
            erase_files(tmp_path, erased(BOB))

    assert [contact.record.wa_id for contact in read_contacts(tmp_path)] in ([BOB, EVE], [EVE])
    assert erase_files(tmp_path, erased(BOB)).leftovers == 2
    assert BOB not in everything(tmp_path)
    assert [contact.record.wa_id for contact in read_contacts(tmp_path)] == [EVE]
    assert len(list(tmp_path.rglob("*.gz"))) == 2


def test_a_reader_never_finds_a_manifest_with_missing_files(tmp_path, people, file_pages, monkeypatch):
    file_pages(tmp_path, people(BOB, EVE, rejects=[BOB, EVE]))
    seen, unlink, replace = [], Path.unlink, Path.replace

    def look(do):
        def looking(*given, **more):
            seen.append(sorted(contact.record.wa_id for contact in read_contacts(tmp_path)))
            return do(*given, **more)

        return looking

    monkeypatch.setattr(Path, "unlink", look(unlink))
    monkeypatch.setattr(Path, "replace", look(replace))
    erase_files(tmp_path, erased(BOB))
    assert seen == [[BOB, EVE], [EVE], [EVE]]


def test_files_of_a_killed_extraction_are_deleted_after_two_days(tmp_path, people, begin):
    extraction = begin(tmp_path)
    extraction.write(people(BOB))
    extraction.abandon()
    (part,) = tmp_path.rglob("part-*")
    assert erase_files(tmp_path, erased(EVE)) == ErasedFiles(unfinished=1)
    old = time.time() - timedelta(days=3).total_seconds()
    os.utime(part, (old, old))
    assert erase_files(tmp_path, erased(EVE)) == ErasedFiles(leftovers=1)
    assert not part.exists()


def test_the_age_of_files_is_the_storages_time(any_root, people, begin):
    extraction = begin(any_root)
    extraction.write(people(BOB))
    extraction.abandon()
    later = datetime.now(UTC) + timedelta(days=3)
    assert erase_files(any_root, erased(EVE)) == ErasedFiles(unfinished=1)
    assert erase_files(any_root, erased(EVE), lambda: later) == ErasedFiles(leftovers=1)
    assert files_below(any_root) == []


def test_a_dry_run_has_the_counts_of_the_erasure_and_changes_nothing(tmp_path, people, file_pages, begin):
    file_pages(tmp_path, people(BOB, EVE, rejects=[BOB, EVE]), people(BOB), part_rows=2)
    with begin(tmp_path) as killed:
        killed.write(people(BOB))
    later = datetime.now(UTC) + timedelta(days=3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    counted = erase_files(tmp_path, erased(BOB), lambda: later, dry_run=True)

    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert counted == erase_files(tmp_path, erased(BOB), lambda: later)
    assert (counted.rows, counted.rejects, counted.files, counted.leftovers) == (2, 1, 3, 1)


REPEATED = (
    '{{"uuid":"one","updated_at":"2022-09-12T08:00:00Z","details":{{"whatsapp_id":"{first}"}},'
    '"details":{{"whatsapp_id":"{last}"}}}}'
)


@pytest.mark.parametrize(("first", "last"), [(BOB, EVE), (EVE, BOB)])
def test_a_repeated_key_hides_no_person(tmp_path, begin, window, first, last):
    """Decoders keep the last one, and the file has both."""
    page = parse_page(f'{{"data":[{REPEATED.format(first=first, last=last)}]}}'.encode())
    for suppressed in (lambda: NO_SUPPRESSIONS, lambda: erased(BOB)):
        with begin(tmp_path, get_suppression_list=suppressed) as extraction:
            extraction.write(page)
            extraction.finish(extracted_at=window.end, finished_at=window.end, lossy=False)
    assert erase_files(tmp_path, erased(BOB)).rows == 1
    assert BOB not in everything(tmp_path)


@pytest.mark.parametrize(
    "contact_id",
    [f"{BOB}@c.us", f"+{BOB}@c.us", f"{BOB}@C.US", f"{BOB}:12@s.whatsapp.net", f"{BOB}-1479621234@g.us", "1@lid"],
)
def test_a_contact_is_found_by_its_id_and_never_written_again(tmp_path, window, file_pages, begin, contact_id):
    theirs = {"id": contact_id, "name": "Bob", "type": "user"} | (
        {"phoneNumber": f"{BOB}@c.us"} if "lid" in contact_id else {}
    )
    body = json.dumps([theirs, {"id": f"{EVE}@c.us", "name": "Eve", "type": "user"}]).encode()
    options = {"source": "green_api", "window": None, "day": window.start.date()}
    pages = list(parse_snapshot(body).pages(window.end))
    file_pages(tmp_path, *pages, **options)

    assert erase_files(tmp_path, erased(BOB)).rows == 1
    file_pages(tmp_path, *pages, **options, get_suppression_list=lambda: erased(BOB))
    assert [found.record.contact_id for found in read_contacts(tmp_path)] == [f"{EVE}@c.us"] * 2


@pytest.mark.parametrize("name", ["turn/main/2022-09-12/id/notes.txt", "other/main/2022-09-12/id/part-00000.jsonl.gz"])
def test_files_of_other_programs_are_not_touched(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    later = datetime.now(UTC) + timedelta(days=99)
    assert erase_files(tmp_path, erased(BOB), lambda: later) == ErasedFiles()
    assert path.read_bytes() == b"theirs"


def test_a_file_that_does_not_match_its_manifest_is_not_touched(tmp_path, people, file_pages):
    file_pages(tmp_path, people(BOB))
    (part,) = tmp_path.rglob("part-*")
    part.write_bytes(b"broken")
    with pytest.raises(LandingError, match="does not match its manifest"):
        erase_files(tmp_path, erased(BOB))
    assert part.read_bytes() == b"broken"
