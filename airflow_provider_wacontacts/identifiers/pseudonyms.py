"""
Pseudonyms: HMAC-SHA256 with a secret.

The same identifier has the same pseudonym everywhere, so rows of different feeds can be joined. Pseudonyms of other
values depend on their field, so a chosen value of another field does not help to find an identifier.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind

__all__ = [
    "PSEUDONYM_PATTERN",
    "VERSION",
    "is_pseudonym",
    "join_keys",
    "pseudonymize",
    "pseudonymize_field",
    "pseudonymizer",
    "secret_id",
    "validate_secret",
]

#: Version of the algorithm; every pseudonym begins with it.
VERSION = "1"
PSEUDONYM_PATTERN = f"(?-i:p{VERSION}_[0-9a-f]{{64}})"
PSEUDONYM = re.compile(rf"{PSEUDONYM_PATTERN}(?:@(?:lid|user_id|g\.us))?")
MIN_SECRET_BYTES = 16
#: Domains that distinguish the kinds of pseudonyms, like those of the original values.
DOMAINS = {Kind.LID: "@lid", Kind.USER_ID: "@user_id", Kind.GROUP: "@g.us"}


def validate_secret(secret: bytes) -> bytes:
    """
    Check the length of a secret, and return it.

    :raises ConfigError: it is shorter than 16 bytes.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"The pseudonym secret is shorter than {MIN_SECRET_BYTES} bytes, and could be guessed. Create one with"
            " `python -c 'import secrets; print(secrets.token_hex(32))'`."
        )
    return secret


def secret_id(secret: bytes) -> str:
    """Return 32 hexadecimal digits that differ between secrets and versions, and do not reveal the secret."""
    return blake2b(secret, digest_size=16, person=b"wacontacts secre").hexdigest() + f".{VERSION}"


def pseudonymize(identifier: Identifier, secret: bytes) -> str:
    """
    Return the pseudonym of an identifier: ``p1_``, 64 hexadecimal digits, and a domain that shows its kind.

    A number has the same pseudonym as the WhatsApp ID with its digits. A pseudonym is returned unchanged.
    """
    return pseudonymizer(identifier.kind, secret)(identifier.key)


def pseudonymizer(kind: Kind, secret: bytes) -> Callable[[str], str]:
    """Return :func:`pseudonymize` for the keys of identifiers of a kind."""
    kind = Kind.WA_ID if kind is Kind.NUMBER else kind
    domain = DOMAINS.get(kind, "")
    # Copying the keyed hash takes half the time of creating it again.
    begun = hmac.new(secret, _message(kind, b""), "sha256")

    def of(key: str) -> str:
        if key.startswith("p") and is_pseudonym(key):
            return key
        digest = begun.copy()
        digest.update(key.removesuffix(domain).encode())
        return f"p{VERSION}_{digest.hexdigest()}{domain}"

    return of


def join_keys(values: Mapping[Kind, str | None], secret: bytes | None) -> dict[Kind, str | None]:
    """Return the join keys by kind: an identifier's key, or its pseudonym if there is a secret."""
    return {kind: _join_key(Identifier(kind, value), secret) if value else None for kind, value in values.items()}


def _join_key(identifier: Identifier, secret: bytes | None) -> str:
    return pseudonymize(identifier, secret) if secret else identifier.key


def pseudonymize_field(field: str, value: bytes, secret: bytes) -> str:
    """
    Return the pseudonym of a value that is not an identifier: ``f1_`` and 64 hexadecimal digits.

    :param field: name of the field. The same value has different pseudonyms in different fields.
    """
    return f"f{VERSION}_{hmac.digest(secret, _message(f'field {field}', value), 'sha256').hex()}"


def is_pseudonym(value: str) -> bool:
    """Return whether a value is the pseudonym of an identifier."""
    return PSEUDONYM.fullmatch(value) is not None


def _message(label: str, value: bytes) -> bytes:
    return b"\0".join((VERSION.encode(), label.encode(errors="surrogatepass"), value))
