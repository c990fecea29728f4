"""Extractions of Turn.io's contacts, into directories and into a real S3 API."""

import json
import os
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer
from upath import UPath

from airflow_provider_wacontacts.files import ExtractionWriter
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import TurnPage, parse_page
from airflow_provider_wacontacts.records.windows import Window

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
BUCKET = "lake"
KEYS = {"key": "example-key", "secret": "example-pseudonym-secret"}


@pytest.fixture
def window():
    return Window(MONDAY, MONDAY + timedelta(days=1))


@pytest.fixture
def contact():
    """A contact as Turn.io sends it."""

    def make(uuid="contact-1", updated_at="2022-09-12T08:30:00.000Z", **details):
        return {"uuid": uuid, "number_id": 1, "updated_at": updated_at, "details": details}

    return make


@pytest.fixture
def page_of():
    """A page of contacts, parsed as a pull parses it."""

    def make(*contacts) -> TurnPage:
        return parse_page(json.dumps({"data": contacts}, separators=(",", ":")).encode())

    return make


@pytest.fixture
def begin(window):
    """Start an extraction whose task and window nobody cares about."""

    def make(root, **options) -> ExtractionWriter:
        facts = {"source": "turn", "account": "main", "window": window, "package_version": "0.0.1"}
        return ExtractionWriter(root, **{**facts, "task": TaskInstanceKey("dag", "run", "task"), **options})

    return make


@pytest.fixture
def file_pages(begin, window):
    """File pages in an extraction of their own, and return its manifest."""

    def make(root, *pages, extracted_at=window.end, lossy=False, number_id=None, **options):
        with begin(root, **options) as extraction:
            for page in pages:
                extraction.write(page, extracted_at)
            return extraction.finish(
                extracted_at=extracted_at, finished_at=extracted_at, lossy=lossy, number_id=number_id
            )

    return make


@pytest.fixture(scope="session")
def s3_endpoint():
    """A server that speaks S3, with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = os.environ.get("NO_PROXY")
    os.environ["NO_PROXY"] = host
    endpoint = f"http://{host}:{port}"
    client(endpoint).create_bucket(Bucket=BUCKET)
    yield endpoint
    server.stop()
    if before is None:
        del os.environ["NO_PROXY"]
    else:
        os.environ["NO_PROXY"] = before


def client(endpoint):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["key"],
        aws_secret_access_key=KEYS["secret"],
    )


@pytest.fixture
def s3(s3_endpoint):
    """A plain client of the S3 server: what others see of the bucket."""
    return client(s3_endpoint)


@pytest.fixture
def s3_root(s3_endpoint, request):
    """A path in the bucket that no other test uses."""
    return UPath(f"s3://{BUCKET}/{request.node.name}", endpoint_url=s3_endpoint, **KEYS)


@pytest.fixture
def airflow_s3_root(s3_endpoint, request, monkeypatch):
    """The same through Airflow: a path that takes its keys from a connection."""
    connection = {
        "conn_type": "aws",
        "login": KEYS["key"],
        "password": KEYS["secret"],
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_KEYS", json.dumps(connection))
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(f"s3://lake_keys@{BUCKET}/{request.node.name}")


@pytest.fixture
def airflow_local_root(tmp_path):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(f"file://{tmp_path}")


STORES = ["tmp_path", "airflow_local_root", "s3_root", "airflow_s3_root"]


@pytest.fixture(params=STORES)
def any_root(request):
    """A path of each kind, one after another."""
    return request.getfixturevalue(request.param)
