"""Requests to a real S3 API, and what is visible in the bucket."""

import hashlib

import pytest
from upath import UPath

from airflow_provider_wacontacts.files import read_contacts


@pytest.fixture(params=["s3_root", "airflow_s3_root"])
def root(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def objects(s3, request):
    """The objects of this test, key below its prefix to size."""

    def listing():
        prefix = f"{request.node.name}/"
        found = s3.list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", [])
        return {one["Key"].removeprefix(prefix): one["Size"] for one in found}

    return listing


def test_an_extraction_creates_only_its_files(root, objects, file_pages, page_of, contact):
    manifest = file_pages(root, page_of(contact("a"), {"uuid": "x"}), account="a/b é", extraction_id="1")
    below = "turn/a%2Fb%20%C3%A9/2022-09-12/1/"
    sizes = objects()
    assert sizes == {
        f"{below}_manifest.json": sizes[f"{below}_manifest.json"],
        f"{below}_rejects.jsonl.gz": manifest.rejects.bytes,
        f"{below}part-00000.jsonl.gz": manifest.parts[0].bytes,
    }


def test_a_part_is_uploaded_in_blocks_while_it_is_written(*, s3_root, objects, s3, begin, page_of, contact, window):
    """Once it is more than the client buffers the upload has begun, and nothing can be seen of it."""
    noise = [page_of(contact(name=hashlib.shake_128(bytes([n])).hexdigest(1_000_000))) for n in range(7)]
    root = UPath(s3_root, default_block_size=5 * 2**20)
    with begin(root, extraction_id="1") as extraction:
        for page in noise:
            extraction.write(page)
        uploads = s3.list_multipart_uploads(Bucket="lake")["Uploads"]
        assert [one["Key"].rpartition("/")[2] for one in uploads] == ["part-00000.jsonl.gz"]
        assert objects() == {}
        manifest = extraction.finish(extracted_at=window.end, finished_at=window.end, lossy=False)
    assert [part.rows for part in manifest.parts] == [7]
    assert [len(found.record.payload) > 2_000_000 for found in read_contacts(root)] == [True] * 7
