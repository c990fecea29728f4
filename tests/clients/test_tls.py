"""TLS certificates: trusted CAs, and errors of untrusted ones."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import RetryLoop
from airflow_provider_wacontacts.exceptions import ConfigError
from tests.clients.wire import Wire


def certificate(path, *, address):
    """Write a self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, pkcs8, plain))
    return str(path)


def served_with(path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Wire(tls=context)


def ask(wire, clock, verify):
    def flow():
        return (yield Request("turn.contacts.page", "GET", "/v1/secret-cursor"))

    with requests.Session() as session:
        session.verify = verify
        return Driver(session, wire.url, RetryLoop(clock=clock), timeout=(5, 5)).run(flow())


def test_a_private_ca_can_be_trusted(tmp_path, clock):
    path = certificate(tmp_path / "pem", address="127.0.0.1")

    with served_with(path) as wire:
        assert ask(wire, clock, verify=path).status == 200


def test_an_unknown_ca_is_refused_immediately_and_named(tmp_path, clock):
    with served_with(certificate(tmp_path / "pem", address="127.0.0.1")) as wire:
        with pytest.raises(ConfigError, match=r"certificate is not trusted.* extra 'verify'"):
            ask(wire, clock, verify=True)
        assert (wire.asked, clock.sleeps) == ([], [])


def test_a_certificate_of_another_host_is_refused_immediately(tmp_path, clock):
    path = certificate(tmp_path / "pem", address="192.0.2.1")

    with served_with(path) as wire:
        with pytest.raises(ConfigError, match="certificate is for another host name"):
            ask(wire, clock, verify=path)
        assert (wire.asked, clock.sleeps) == ([], [])
