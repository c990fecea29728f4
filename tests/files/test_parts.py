"""The files of an extraction: parts of bounded size in standard formats."""

import gzip
import hashlib
import json
import subprocess
import zlib

import pyarrow.parquet
import pytest

from airflow_provider_wacontacts.files import FileEntry
from airflow_provider_wacontacts.records.turn import parse_record
from airflow_provider_wacontacts.records.windows import parse_time


def lines_of(path):
    return gzip.decompress(path.read_bytes()).splitlines()


def prefix_in(root):
    (manifest,) = root.rglob("_manifest.json")
    return manifest.parent


def test_a_part_is_one_gzip_stream(tmp_path, file_pages, page_of, contact):
    page = page_of(contact("a"))
    file_pages(tmp_path, page, page)
    packed = (prefix_in(tmp_path) / "part-00000.jsonl.gz").read_bytes()
    unpacked = subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout
    stream = zlib.decompressobj(31)
    assert unpacked == (bytes(page.texts[0]) + b"\n") * 2 == stream.decompress(packed)
    assert (stream.eof, stream.unused_data) == (True, b"")


def test_no_part_has_more_rows_than_allowed(tmp_path, file_pages, page_of, contact):
    manifest = file_pages(tmp_path, *[page_of(*[contact(str(n)) for n in range(5)])] * 3, part_rows=4)
    assert [(part.name, part.rows) for part in manifest.parts] == [
        ("part-00000.jsonl.gz", 4),
        ("part-00001.jsonl.gz", 4),
        ("part-00002.jsonl.gz", 4),
        ("part-00003.jsonl.gz", 3),
    ]


def test_splitting_pages_into_parts_keeps_every_contact_in_order(tmp_path, file_pages, page_of, contact):
    pages = [page_of(*[contact(f"{page}.{row}") for row in range(5)]) for page in range(3)]
    manifest = file_pages(tmp_path, *pages, part_rows=4)
    lines = [line for part in manifest.parts for line in lines_of(prefix_in(tmp_path) / part.name)]
    assert lines == [bytes(text) for page in pages for text in page.texts]


def test_a_part_is_closed_when_it_reaches_its_size(tmp_path, file_pages, page_of, contact):
    """Only the page, whole, that brings it there may go over; an empty page opens no part."""
    noise = [page_of(contact(name=hashlib.shake_128(bytes([n])).hexdigest(100_000))) for n in range(6)]
    manifest = file_pages(tmp_path, *noise, page_of(), part_bytes=150_000)
    assert [part.rows for part in manifest.parts] == [2, 2, 2]
    assert all(150_000 <= part.bytes < 300_000 for part in manifest.parts)


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_the_manifest_counts_and_checks_each_part_as_stored(tmp_path, file_pages, page_of, contact, file_format):
    manifest = file_pages(tmp_path, page_of(contact("a"), contact("b")), file_format=file_format)
    stored = (prefix_in(tmp_path) / f"part-00000.{file_format}").read_bytes()
    assert manifest.parts == [
        FileEntry(
            name=f"part-00000.{file_format}",
            rows=2,
            bytes=len(stored),
            sha256=hashlib.sha256(stored).hexdigest(),
        )
    ]


def test_repaired_rows_are_listed_by_their_index_in_the_part(tmp_path, file_pages, page_of, contact):
    page = page_of(contact("a", name="\0"), contact("b"), contact("c", name="\ud800"))
    manifest = file_pages(tmp_path, page, page, part_rows=4)
    assert [part.repaired for part in manifest.parts] == [[0, 2, 3], [1]]


def test_rejects_are_stored_next_to_the_parts_as_received(tmp_path, file_pages, page_of, contact):
    manifest = file_pages(tmp_path, page_of({"uuid": "x"}, contact("a")), page_of(), page_of("Zoë"))
    stored = (prefix_in(tmp_path) / "_rejects.jsonl.gz").read_bytes()
    assert [json.loads(line) for line in gzip.decompress(stored).splitlines()] == [
        {"reason": "updated_at is not a time", "body_base64": "eyJ1dWlkIjoieCJ9"},
        {"reason": "not an object", "body_base64": "IlpvXHUwMGViIg=="},
    ]
    assert manifest.rejects == FileEntry(
        name="_rejects.jsonl.gz", rows=2, bytes=len(stored), sha256=hashlib.sha256(stored).hexdigest()
    )


def test_a_parquet_file_has_one_row_per_contact(tmp_path, file_pages, page_of, contact):
    page = page_of(
        contact("a", "2022-09-12T10:30:00.123456+02:00", whatsapp_id="+44623456700"), contact("b", name="\0é")
    )
    manifest = file_pages(tmp_path, page, file_format="parquet")
    table = pyarrow.parquet.read_table(prefix_in(tmp_path) / "part-00000.parquet")
    shared = {"source": "turn", "account": "main", "state": "present", "lid": None, "user_id": None}
    shared |= {"extraction_id": manifest.extraction_id, "extracted_at": manifest.extracted_at}
    hashes = [parse_record(bytes(text)).row_hash for text in page.texts]
    assert table.to_pylist() == [
        {
            **shared,
            "contact_id": "a",
            "updated_at": parse_time("2022-09-12T08:30:00.123456Z"),
            "wa_id": "44623456700",
            "repaired": False,
            "row_hash": hashes[0],
            "payload": bytes(page.texts[0]).decode(),
        },
        {
            **shared,
            "contact_id": "b",
            "updated_at": parse_time("2022-09-12T08:30:00Z"),
            "wa_id": None,
            "repaired": True,
            "row_hash": hashes[1],
            "payload": bytes(page.texts[1]).decode(),
        },
    ]


def test_small_pages_share_a_row_group_and_large_ones_do_not(tmp_path, file_pages, page_of, contact, monkeypatch):
    monkeypatch.setattr("airflow_provider_wacontacts.files.parquet.GROUP_BYTES", 2_500)
    small, large = page_of(contact(name="x" * 1_000)), page_of(contact(name="x" * 3_000))
    file_pages(tmp_path, small, small, small, large, small, file_format="parquet")
    file = pyarrow.parquet.ParquetFile(prefix_in(tmp_path) / "part-00000.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 1, 1]


def test_parquet_parts_are_bounded_too(tmp_path, file_pages, page_of, contact, monkeypatch):
    monkeypatch.setattr("airflow_provider_wacontacts.files.parquet.GROUP_BYTES", 1)
    pages = [page_of(contact("a"), contact("b"), contact("c"))] * 2
    by_rows = file_pages(tmp_path, *pages, file_format="parquet", part_rows=2)
    by_size = file_pages(tmp_path, *pages, file_format="parquet", part_bytes=1)
    assert [part.rows for part in by_rows.parts] == [2, 2, 2]
    assert [part.rows for part in by_size.parts] == [3, 3]
