"""Reading: complete extractions, verified parts, and every contact as it was stored."""

import gzip
import json
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files import StoredContact, complete_prefixes, read_contacts
from airflow_provider_wacontacts.files.reader import read_rejects
from airflow_provider_wacontacts.records.record import Record, Reject, row_hash
from airflow_provider_wacontacts.records.windows import parse_time


def ids(root, **options):
    return [found.record.contact_id for found in read_contacts(root, **options)]


def part_in(root, name="part-00000.jsonl.gz"):
    (part,) = root.rglob(name)
    return part


def change_manifest(root, **members):
    path = part_in(root, "_manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}) + "\n")


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_a_contact_is_read_back_with_its_extraction(*, any_root, file_pages, page_of, contact, window, file_format):
    page = page_of(
        contact("a", "2022-09-12T08:30:00.123456Z", whatsapp_id="+44623456700", nothing=None, name="Zoë 🦓"),
        contact("b", name="\0"),
    )
    manifest = file_pages(any_root, page, account="a/b é", file_format=file_format)
    payloads = [
        '{"details":{"name":"Zoë 🦓","whatsapp_id":"+44623456700"},"number_id":1,'
        '"updated_at":"2022-09-12T08:30:00.123456Z","uuid":"a"}'.encode(),
        '{"details":{"name":"\ufffd"},"number_id":1,"updated_at":"2022-09-12T08:30:00.000Z","uuid":"b"}'.encode(),
    ]
    filed = "turn", "a/b é", manifest.extraction_id, window.end
    times = parse_time("2022-09-12T08:30:00.123456Z"), parse_time("2022-09-12T08:30:00Z")
    assert list(read_contacts(any_root)) == [
        StoredContact(*filed, Record("a", times[0], row_hash(payloads[0]), payloads[0], "44623456700")),
        StoredContact(*filed, Record("b", times[1], row_hash(payloads[1]), payloads[1], repaired=True)),
    ]


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_records_read_from_files_equal_those_of_the_page(tmp_path, file_pages, page_of, contact, file_format):
    numbers = [0.1, 1e300, 2**70, -0.0, 10**4_500]
    sys.set_int_max_str_digits(0)
    try:
        page = page_of(
            *[contact(str(n), value=number) for n, number in enumerate(numbers)], contact("s", value="\ud800")
        )
    finally:
        sys.set_int_max_str_digits(4_300)
    file_pages(tmp_path, page, file_format=file_format, part_rows=4)
    assert [found.record for found in read_contacts(tmp_path)] == page.records()[0]


def test_a_path_without_files_has_no_contacts(any_root):
    assert list(read_contacts(any_root / "nothing")) == []


def test_prefixes_are_sorted_by_source_account_day_and_id(any_root, file_pages, page_of, window):
    next_day = window.__class__(window.end, window.end + timedelta(days=1))
    for account, day, extraction_id in [
        ("b", window, "2"),
        ("b", window, "1"),
        ("a", next_day, "9"),
        ("a", window, "0"),
    ]:
        file_pages(any_root, page_of(), account=account, window=day, extraction_id=extraction_id)
    found = [(one.manifest.account, one.manifest.extraction_id, one.uri) for one in complete_prefixes(any_root)]
    assert [one[:2] for one in found] == [("a", "0"), ("a", "9"), ("b", "1"), ("b", "2")]
    assert found[1][2].endswith("/turn/a/2022-09-13/9")


@pytest.mark.parametrize("account", ["plain", "a/b", "..%2F", "*", "a b", "é", "%41", "[ab]"])
def test_an_account_may_have_any_name(any_root, file_pages, page_of, contact, account):
    file_pages(any_root, page_of(contact("its")), account=account)
    file_pages(any_root, page_of(contact("another's")), account="A")
    assert ids(any_root, account=account) == ["its"]
    assert ids(any_root, source="turn", account="A") == ["another's"]
    assert ids(any_root, source="green_api") == []


def test_an_invalid_account_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="account"):
        list(read_contacts(tmp_path, account=""))


def test_extractions_of_other_accounts_are_not_even_opened(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")), account="mine", extraction_id="1")
    file_pages(tmp_path, page_of(contact("b")), account="yours")
    for manifest in tmp_path.glob("turn/yours/*/*/_manifest.json"):
        manifest.write_text("{}\n")
    assert ids(tmp_path, account="mine") == ["a"]


def test_accounts_differ_by_case_on_file_systems_that_ignore_it(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")), account="Main")
    (tmp_path / "turn/Main").rename(tmp_path / "turn/main")
    assert ids(tmp_path, account="main") == []


def test_an_extraction_finished_since_the_last_listing_is_seen(tmp_path, file_pages, page_of, contact):
    """Clients of object stores keep what they listed."""

    class Remembering(LocalFileSystem):
        listed = None

        def find(self, path, **options):
            self.listed = self.listed or super().find(path, **options)
            return self.listed

        def invalidate_cache(self, path=None):
            self.listed = None

    class Remembered(type(Path())):
        fs = Remembering(skip_instance_cache=True)
        path = property(str)

    file_pages(tmp_path, page_of(contact("a")), account="first")
    assert ids(Remembered(tmp_path)) == ["a"]
    file_pages(tmp_path, page_of(contact("b")), account="second")
    assert ids(Remembered(tmp_path)) == ["a", "b"]


def test_other_files_below_the_path_are_skipped(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    for name in ["_manifest.json", "turn/_manifest.json", "a/b/c/d/e/_manifest.json", "turn/main/2022-09-12/x/part"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    assert ids(tmp_path) == ["a"]


@pytest.mark.parametrize("left", [b"", b'{"format_version": 1,', b'{"format_version": 1, "parts": [{}'])
def test_a_truncated_manifest_is_skipped(tmp_path, file_pages, page_of, contact, left):
    file_pages(tmp_path, page_of(contact("a")))
    part_in(tmp_path, "_manifest.json").write_bytes(left)
    assert ids(tmp_path) == []


@pytest.mark.parametrize("text", ["{}\n", '{"format_version": "1"}\n', '[{"format_version": 1}\n', '{"é": "\udce9"}\n'])
def test_an_invalid_manifest_stops_the_reader(tmp_path, file_pages, page_of, contact, text):
    file_pages(tmp_path, page_of(contact("a")))
    part_in(tmp_path, "_manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LandingError, match="not written by this package"):
        ids(tmp_path)


def test_a_manifest_of_a_newer_version_stops_the_reader(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    change_manifest(tmp_path, format_version=2, parts="somewhere else")
    with pytest.raises(LandingError, match="newer"):
        ids(tmp_path)


def test_unknown_fields_of_a_manifest_are_ignored(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    change_manifest(tmp_path, colour="blue")
    assert ids(tmp_path) == ["a"]


def test_an_unknown_source_stops_the_reader(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")), source="pigeons")
    with pytest.raises(LandingError, match="'pigeons'"):
        ids(tmp_path)


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "add"])
def test_a_damaged_part_stops_the_reader_before_its_first_contact(
    *, tmp_path, file_pages, page_of, contact, file_format, damage
):
    file_pages(tmp_path, page_of(contact("a"), contact("b")), file_format=file_format)
    part = part_in(tmp_path, f"part-00000.{file_format}")
    data = part.read_bytes()
    half = len(data) // 2
    flipped = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
    part.write_bytes({"cut": data[:-1], "flip": flipped, "empty": b"", "add": data + b"\n"}[damage])
    with pytest.raises(LandingError, match=rf"^part-00000.{file_format} does not match its manifest"):
        next(read_contacts(tmp_path))


def test_a_missing_part_stops_the_reader(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    part_in(tmp_path).unlink()
    with pytest.raises(LandingError, match=r"^part-00000.jsonl.gz could not be read \(FileNotFoundError"):
        ids(tmp_path)


def test_a_wrong_row_count_stops_the_reader(tmp_path, file_pages, page_of, contact):
    manifest = file_pages(tmp_path, page_of(contact("a")))
    (part,) = manifest.parts
    change_manifest(tmp_path, parts=[{"name": part.name, "rows": 2, "bytes": part.bytes, "sha256": part.sha256}])
    with pytest.raises(LandingError, match="it has 1 rows, not 2"):
        ids(tmp_path)


def test_an_unverified_part_may_differ_from_its_manifest(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    part = part_in(tmp_path)
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()) * 2))
    assert ids(tmp_path, verify=False) == ["a", "a"]


def test_an_unverified_part_that_is_not_gzip_is_an_error(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")))
    part_in(tmp_path).write_bytes(b"no gzip")
    with pytest.raises(LandingError, match=r"^part-00000.jsonl.gz cannot be read"):
        ids(tmp_path, verify=False)


@pytest.mark.parametrize("writer", ["isal", "zlib"])
@pytest.mark.parametrize("reader", ["isal", "zlib"])
def test_isal_and_zlib_read_what_either_wrote(*, tmp_path, file_pages, page_of, contact, monkeypatch, writer, reader):
    pages = [page_of(*[contact(f"{n}.{row}", name="x" * row) for row in range(300)]) for n in range(3)]
    with monkeypatch.context() as patched:
        if writer == "zlib":
            patched.setitem(sys.modules, "isal", None)
        file_pages(tmp_path, *pages)
    if reader == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
        monkeypatch.setitem(sys.modules, "isal.igzip", None)
    assert [found.record for found in read_contacts(tmp_path)] == [
        record for page in pages for record in page.records()[0]
    ]


def test_texts_without_a_canonical_form_are_passed_to_on_reject(tmp_path, file_pages, page_of, contact):
    odd = page_of(contact("a"), contact("b", value="VALUE"))
    odd.texts[1] = bytes(odd.texts[1]).replace(b'"VALUE"', b"1e999999")
    records, rejects = odd.records()
    file_pages(tmp_path, odd)
    found: list[Reject] = []
    assert [one.record for one in read_contacts(tmp_path, on_reject=found.append)] == records
    assert found == rejects != []


def test_texts_without_a_canonical_form_are_counted_in_the_log(tmp_path, file_pages, page_of, contact, caplog):
    odd = page_of(contact("a", value="VALUE"))
    odd.texts[0] = bytes(odd.texts[0]).replace(b'"VALUE"', b"1e999999")
    file_pages(tmp_path, odd)
    assert ids(tmp_path) == []
    assert caplog.messages == ["part-00000.jsonl.gz: skipped 1 texts that have no canonical form"]


@pytest.mark.parametrize("line", [b"", b"null", b'{"reason":"no id"}', b'{"reason":"no id","body_base64":"?"}', b"{"])
def test_an_invalid_file_of_rejects_is_named_and_not_quoted(tmp_path, file_pages, page_of, contact, line):
    file_pages(tmp_path, page_of(contact("a")))
    data = gzip.compress(line + b"\n")
    (tmp_path / part_in(tmp_path).parent / "_rejects.jsonl.gz").write_bytes(data)
    listed = {"name": "_rejects.jsonl.gz", "rows": 1, "bytes": len(data), "sha256": sha256(data).hexdigest()}
    change_manifest(tmp_path, rejects=listed)

    (prefix,) = complete_prefixes(tmp_path)
    with pytest.raises(LandingError, match=r"^_rejects.jsonl.gz cannot be read \(\w+\)$"):
        list(read_rejects(prefix))
