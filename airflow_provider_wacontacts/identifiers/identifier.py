"""Identifiers of persons, groups and contacts: a kind and a value. Each kind has one strict parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Identifier", "InvalidIdentifierError", "Kind"]


class Kind(StrEnum):
    """
    The kinds of identifiers, each with an example.

    For most people, phone number and WhatsApp ID have the same digits: then they identify the same person. Values of
    other kinds are never compared across kinds.
    """

    NUMBER = "number"
    """Phone number in E.164: ``+11001234567``."""
    WA_ID = "wa_id"
    """WhatsApp ID, 7 to 15 digits: ``11001234567``."""
    LID = "lid"
    """Linked ID, which hides the phone number: ``120650379300963@lid``."""
    USER_ID = "user_id"
    """Business-scoped user ID: ``US.13491208655302741918``."""
    GROUP = "group"
    """Group chat: ``120363043968294520@g.us``, or ``79001234569-1479621234@g.us`` in its old form."""
    CONTACT = "contact"
    """A system's own ID of a contact, any text."""


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """
    An identifier in its canonical spelling.

    :param value: see :class:`Kind`; or its pseudonym. It is personal data, so ``repr`` does not show it.
    """

    kind: Kind
    value: str = field(repr=False)

    @property
    def key(self) -> str:
        """The join key. A number and a WhatsApp ID with the same digits have the same key."""
        return self.value.removeprefix("+") if self.kind is Kind.NUMBER else self.value

    def as_wa_id(self) -> Identifier:
        """Return a number as the WhatsApp ID with its digits, and any other identifier unchanged."""
        return Identifier(Kind.WA_ID, self.key) if self.kind is Kind.NUMBER else self

    @property
    def local_part(self) -> str:
        """The value without its domain: the part before the ``@``."""
        return self.value.partition("@")[0]


class InvalidIdentifierError(ValueError):
    """
    A value is not an identifier of the expected kind. The message does not contain it.

    :param reason: a short stable text, for example ``too short``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
