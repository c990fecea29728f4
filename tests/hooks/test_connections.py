"""Fields and extras of connections, and errors of invalid ones."""

import pytest
from airflow.providers.common.compat.sdk import Connection, redact

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import (
    Endpoint,
    parse_endpoint,
    read_connection,
    read_extras,
    read_token,
)
from airflow_provider_wacontacts.hooks.turn import TurnHook


def connection(*, extra=None, **fields):
    return Connection(conn_id="my_turn", conn_type="turn", extra=extra, **({"host": "whatsapp.turn.io"} | fields))


def test_only_the_host_is_required():
    assert parse_endpoint(connection()) == Endpoint(
        account="my_turn",
        base_url="https://whatsapp.turn.io",
        timeout=(60.0, 60.0),
        verify=True,
        cert=None,
        proxies={},
        trust_env=True,
        file_mode=0o600,
        label="connection 'my_turn' (whatsapp.turn.io:443)",
    )


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "https://turn.example.org/"}, "https://turn.example.org"),
        ({"host": " turn.example.org "}, "https://turn.example.org"),
        ({"host": "turn.example.org", "port": 8443}, "https://turn.example.org:8443"),
        ({"host": "turn.example.org:9443", "port": 8443}, "https://turn.example.org:9443"),
        ({"host": "https://turn.example.org/behind/a/gateway/"}, "https://turn.example.org/behind/a/gateway"),
        ({"host": "turn.example.org", "schema": "https"}, "https://turn.example.org"),
        ({"host": "https://turn.example.org", "schema": "http"}, "https://turn.example.org"),
        ({"host": "localhost", "schema": "http", "port": 8080}, "http://localhost:8080"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "http://127.8.8.8"}, "http://127.8.8.8"),
        ({"host": "::1", "schema": "http", "port": 8080}, "http://[::1]:8080"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "http://turn.example.org", "extra": '{"allow_http": true}'}, "http://turn.example.org"),
        ({"host": "http://turn.example.org", "extra": '{"allow_http": "true"}'}, "http://turn.example.org"),
    ],
)
def test_the_base_url_of_a_connection(fields, base_url):
    assert parse_endpoint(connection(**fields)).base_url == base_url


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": None}, "Connection 'my_turn': host is empty"),
        ({"host": "  "}, "Connection 'my_turn': host is empty"),
        ({"host": "https://"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "https://[turn"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "turn.example.org:port"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "somebody:example-token@turn.example.org"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "turn.example.org?token=example-token"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "turn.example.org/a b"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "turn.example.org\r\nx: y"}, "Connection 'my_turn': host is not a host name"),
        ({"host": "ftp://turn.example.org"}, "Connection 'my_turn': schema is neither https nor http"),
        ({"schema": "postgres"}, "Connection 'my_turn': schema is neither https nor http"),
        ({"extra": '{"timeout": 0}'}, "Connection 'my_turn': extra 'timeout' is not a number of seconds above 0"),
        ({"extra": '{"timeout": "soon"}'}, "Connection 'my_turn': extra 'timeout' is not a number of seconds above 0"),
        ({"extra": '{"timeout": [1, 2, 3]}'}, "Connection 'my_turn': extra 'timeout' is not a number of seconds"),
        ({"extra": '{"timeout": "inf"}'}, "Connection 'my_turn': extra 'timeout' is not a number of seconds above 0"),
        ({"extra": '{"allow_http": "perhaps"}'}, "Connection 'my_turn': extra 'allow_http' is neither true nor false"),
        ({"extra": '{"verify": 7}'}, "Connection 'my_turn': extra 'verify' is neither true nor false"),
        ({"extra": '{"cert": 7}'}, "Connection 'my_turn': extra 'cert' is neither the path of a file nor"),
        ({"extra": '{"proxies": 7}'}, "Connection 'my_turn': extra 'proxies' is neither a URL nor an object"),
        ({"extra": "{"}, "Connection 'my_turn': extra is not a JSON object"),
        ({"extra": "[1]"}, "Connection 'my_turn': extra is not a JSON object"),
    ],
)
def test_invalid_fields_are_refused_by_name(fields, told):
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(connection(**fields))

    assert str(caught.value).startswith(told)
    assert "example-token" not in str(caught.value)


@pytest.mark.parametrize("host", ["http://turn.example.org", "http://10.0.0.1", "http://localhost.example.org"])
@pytest.mark.parametrize("extra", [None, '{"allow_http": false}', '{"allow_http": ""}'])
def test_http_is_only_allowed_to_the_loopback_interface_by_default(host, extra):
    with pytest.raises(ConfigError, match="'my_turn': host would get the token over unencrypted http://"):
        parse_endpoint(connection(host=host, extra=extra))


@pytest.mark.parametrize(
    ("extra", "name", "value"),
    [
        ('{"account": " line 1 "}', "account", "line 1"),
        ('{"account": ""}', "account", "my_turn"),
        ('{"account": 7}', "account", "7"),
        ('{"timeout": 5}', "timeout", (5.0, 5.0)),
        ('{"timeout": "2.5"}', "timeout", (2.5, 2.5)),
        ('{"timeout": [3, 90]}', "timeout", (3.0, 90.0)),
        ('{"timeout": null}', "timeout", (60.0, 60.0)),
        ('{"verify": false}', "verify", False),
        ('{"verify": "False"}', "verify", False),
        ('{"verify_ssl": false}', "verify", False),
        ('{"verify": ""}', "verify", True),
        ('{"verify": "true"}', "verify", True),
        ('{"verify": "/etc/ssl/own.pem"}', "verify", "/etc/ssl/own.pem"),
        ('{"cert": "/etc/ssl/me.pem"}', "cert", "/etc/ssl/me.pem"),
        ('{"cert": ["/etc/ssl/me.pem", "/etc/ssl/key.pem"]}', "cert", ("/etc/ssl/me.pem", "/etc/ssl/key.pem")),
        ('{"proxies": {"https": "http://proxy:3128"}}', "proxies", {"https": "http://proxy:3128"}),
        ('{"proxy": "http://proxy:3128"}', "proxies", {"http": "http://proxy:3128", "https": "http://proxy:3128"}),
        ('{"trust_env": false}', "trust_env", False),
    ],
)
def test_the_values_of_extras(extra, name, value):
    assert getattr(parse_endpoint(connection(extra=extra)), name) == value


def test_proxies_are_not_used_for_the_loopback_interface():
    assert parse_endpoint(connection(host="http://127.0.0.1:8080")).proxies == {"no_proxy": "127.0.0.1"}


def test_the_repr_of_an_endpoint_hides_the_proxys_login():
    endpoint = parse_endpoint(connection(extra='{"proxies": {"https": "http://somebody:example-token@proxy:3128"}}'))

    assert "example-token" not in repr(endpoint)


def test_missing_extras_are_an_empty_dict():
    assert [read_extras(connection(extra=extra)) for extra in (None, "", "{}")] == [{}, {}, {}]


def test_a_token_is_the_stripped_password_and_is_masked_in_logs():
    assert read_token(connection(password=" sample-5ec2e7-of-a-token\n")) == "sample-5ec2e7-of-a-token"
    assert redact("Bearer sample-5ec2e7-of-a-token") == "Bearer ***"


@pytest.mark.parametrize("password", [None, "", "  "])
def test_a_missing_token_is_named(password):
    with pytest.raises(ConfigError, match=r"^Connection 'my_turn': password is empty. Set it to the API token.$"):
        read_token(connection(password=password))


@pytest.mark.parametrize("password", ["example token", "example\ntoken", "exämple-token", "example-token\x7f1"])
def test_the_error_does_not_show_an_invalid_token(password):
    with pytest.raises(ConfigError, match=r"^Connection 'my_turn': password has spaces or characters") as caught:
        read_token(connection(password=password))
    assert password not in str(caught.value)


@pytest.mark.parametrize("conn_type", ["http", "green_api", ""])
def test_a_connection_of_another_type_is_refused_before_its_password_is_sent(connect, conn_type):
    connect("other", conn_type=conn_type, host="turn.example.org", password="example-token")

    with pytest.raises(ConfigError, match=r"'other' (is of type|has no type).*turn_conn_id needs a connection of type"):
        TurnHook("other").validate_connection()


def test_an_unknown_extra_is_logged_with_the_most_similar_name(connect, caplog):
    extra = {"acount": "helpline", "verify_ssl": "true", "proxies": {}, "zzz": 1}
    connect("turn_default", conn_type="turn", host="turn.example.org", password="example-token", extra=extra)

    TurnHook().validate_connection()

    assert {record.getMessage() for record in caplog.records if "extra" in record.getMessage()} == {
        "Connection 'turn_default': extra 'acount' is unknown. Did you mean 'account'?",
        "Connection 'turn_default': extra 'zzz' is unknown.",
    }


def test_an_undefined_connection_is_named():
    with pytest.raises(ConfigError, match=r"^Connection 'nowhere' is not defined\. Create it") as caught:
        read_connection("nowhere")
    assert caught.value.__context__ is None
