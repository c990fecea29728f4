"""An identifier of a person, a group or a contact: a kind and a value. Each kind has one strict reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Identifier", "InvalidIdentifierError", "Kind"]


class Kind(StrEnum):
    """
    What an identifier is, with an example of its value.

    A phone number and a WhatsApp ID have the same digits for most people, and stand for the same person then. Values of
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
    An identifier in its one spelling, as a reader returns it.

    :param value: see :class:`Kind`; or the pseudonym of such a value. It is personal data, and not shown.
    """

    kind: Kind
    value: str = field(repr=False)

    @property
    def key(self) -> str:
        """The value by which rows are joined: a number and a WhatsApp ID with the same digits have the same."""
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
    A value is no identifier of the expected kind. The message does not contain it.

    :param reason: a few stable words, for example ``too short``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
