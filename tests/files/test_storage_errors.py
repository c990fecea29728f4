"""An error of the storage names the cause and the remedy, quotes nothing, and is final if a retry cannot help."""

import errno
import os

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from s3fs.errors import translate_boto_error
from upath import UPath

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.errors import storage_errors
from tests.files.conftest import KEYS

SECRET = "https://somebody:example-pseudonym-secret@host/44623456700"


def of_s3(code):
    error = ClientError({"Error": {"Code": code, "Message": SECRET}}, "PutObject")
    translated = translate_boto_error(error)
    translated.__cause__ = error
    return translated


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (of_s3("NoSuchBucket"), ConfigError, "The bucket does not exist"),
        (of_s3("AccessDenied"), ConfigError, "A permission is missing"),
        (of_s3("InvalidAccessKeyId"), ConfigError, "does not accept the credentials"),
        (of_s3("SignatureDoesNotMatch"), ConfigError, "does not accept the credentials"),
        (of_s3("ExpiredToken"), LandingError, "have expired"),
        (of_s3("SlowDown"), LandingError, "OSError: Device or resource busy"),
        (NoCredentialsError(), ConfigError, "There are no credentials"),
        (EndpointConnectionError(endpoint_url=SECRET), LandingError, "cannot be reached"),
        (PermissionError(errno.EACCES, SECRET), ConfigError, "A permission is missing"),
        (OSError(errno.EROFS, SECRET), ConfigError, "read-only"),
        (OSError(errno.ENOSPC, SECRET), LandingError, "The disk is full"),
        (ValueError(SECRET), LandingError, "ValueError"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:40],
)
def test_an_error_names_its_cause_and_nothing_personal(error, raised, words):
    with pytest.raises(raised) as caught, storage_errors("part-00000.jsonl.gz could not be written"):
        raise error
    message = str(caught.value)
    assert message.startswith("part-00000.jsonl.gz could not be written")
    assert words in message
    assert "44623456700" not in message
    assert "secret" not in message
    assert caught.value.__suppress_context__


def test_a_real_servers_error_of_a_missing_bucket_is_recognized(s3_endpoint):
    path = UPath("s3://no-such-bucket/contacts/part", endpoint_url=s3_endpoint, **KEYS)
    with pytest.raises(ConfigError, match="The bucket does not exist"), storage_errors("part could not be written"):
        path.write_bytes(b"{}")


def test_an_unreachable_server_is_a_retryable_error(monkeypatch):
    monkeypatch.setitem(os.environ, "NO_PROXY", "127.0.0.1")
    retries = {"config_kwargs": {"retries": {"max_attempts": 0}}}
    path = UPath("s3://lake/contacts/part", endpoint_url="http://127.0.0.1:9", **KEYS, **retries)
    with pytest.raises(LandingError, match="cannot be reached"), storage_errors("part could not be written"):
        path.write_bytes(b"{}")
