"""
Parse phone numbers as people and spreadsheets write them: any dialable spelling to E.164, or a reason for refusal.

The numbering plans come from phonenumbers, Google's library. A number without a country code belongs to the region of
the sender. It does not check whether a number is on WhatsApp.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, ValidationResult

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, InvalidIdentifierError, Kind

__all__ = [
    "NO_COUNTRY_CODE",
    "REASONS",
    "infer_region",
    "read_international_number",
    "read_number",
    "read_sender",
    "validate_region",
    "written_text",
]

#: Longer text is never a number.
MAX_LENGTH = 250
#: Digits of a number in E.164.
MAX_DIGITS = 15
NO_COUNTRY_CODE = "no country code"
TWO_NUMBERS = "two numbers"
LETTERS = "letters"
NOT_A_NUMBER = "not a number"
TOO_LONG = "too long"
NOT_WHOLE = "not a whole number"
REPEATED = "one digit repeated"
DATE = "date"
NOT_PRINTABLE = "not printable"

PARSE_REASONS = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown country code",
    NumberParseException.NOT_A_NUMBER: NOT_A_NUMBER,
    NumberParseException.TOO_SHORT_AFTER_IDD: "too short",
    NumberParseException.TOO_SHORT_NSN: "too short",
    NumberParseException.TOO_LONG: TOO_LONG,
}
PLAN_REASONS = {
    ValidationResult.INVALID_COUNTRY_CODE: "unknown country code",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "no area code",
    ValidationResult.TOO_SHORT: "too short",
    ValidationResult.TOO_LONG: TOO_LONG,
    ValidationResult.INVALID_LENGTH: "wrong length for its country",
}
#: At least seven digits, grouped as people write them.
GROUPED = "[0-9](?:[ ()/-]*[0-9]){6,}"
YEAR, MONTH, DAY = "(?:19|20)[0-9]{2}", "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
#: Values that look like numbers, by the reason for refusal.
OTHER_VALUES = {
    "scientific notation": re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?e[+-]?[0-9]+"),
    DATE: re.compile(
        rf"(?:{YEAR}(?P<a>[-/.]){MONTH}(?P=a){DAY}|{DAY}(?P<b>[-/.]){MONTH}(?P=b){YEAR}|{MONTH}/{DAY}/{YEAR})"
        r"(?:[t ][0-9]{1,2}:[0-9]{2}.*)?"
    ),
    "IP address": re.compile(rf"(?:{OCTET}\.){{3}}{OCTET}(?::[0-9]{{1,5}})?"),
    NOT_WHOLE: re.compile(rf"[+(-]*{GROUPED}[.,](?:[0-9]{{1,2}}|0+)"),
}
#: Dates without a century, a day or separators. Some numbers look like them.
POSSIBLE_DATE = re.compile(
    rf"{YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2]){YEAR}"
    rf"|{YEAR}(?P<a>[-/. ]){MONTH}(?:(?P=a){DAY})?|{MONTH}[-/. ]{YEAR}"
    rf"|{DAY}(?P<b>[-/. ]){DAY}(?P=b)(?:[0-9]{{2}}|{YEAR})|[0-9]{{2}}(?P<c>[-/. ]){MONTH}(?P=c){DAY}"
)
#: All reasons why a value is not a number. They are stored with check results, so they must not change.
REASONS = frozenset(
    {
        *PARSE_REASONS.values(),
        *PLAN_REASONS.values(),
        *OTHER_VALUES,
        *(NO_COUNTRY_CODE, TWO_NUMBERS, LETTERS, NOT_A_NUMBER, TOO_LONG, NOT_WHOLE, REPEATED),
        "empty",
        "neither text nor a whole number",
    }
)

SCHEME = re.compile(r"(?:tel|callto|sms|whatsapp):(?://)?", re.IGNORECASE)
LINK = re.compile(
    r"(?:https?://)?(?:www\.)?(?:wa\.me/|api\.whatsapp\.com/send/?\?(?:.*&)?phone=|whatsapp://send/?\?(?:.*&)?phone=)"
    r"(?:\+|%2B)?(?P<digits>[0-9]+)(?:[/?&#].*)?",
    re.IGNORECASE,
)
#: Of RFC 3966.
PARAMETER = re.compile(r";(?P<name>[a-z-]+)=(?P<value>[^;]*)", re.IGNORECASE)
EXTENSION = re.compile(
    r"(?<=[0-9)])[ ,;]*(?:,,|(?:ext(?:ension|n)?|extensi[oó]n|anexo|int|доб|x|#)[.:=]?) *[0-9]{1,15}#?$",
    re.IGNORECASE,
)
INTEGRAL_FLOAT = re.compile(rf"^(\+?[0-9]+|[+(]*{GROUPED})[.,]0+$")
LINE_BREAKS = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
SEPARATORS = re.compile(r"[;,|&\n]")
#: The plus sign precedes all digits. A trailing plus sign indicates right-to-left text.
ALLOWED = re.compile(r"(?:[ ().\[\]~/\\-]*\+)?[0-9A-Za-z ().\[\]~/\\-]+")
VANITY = re.compile(r"[+(]*[0-9](?:.*?[A-Za-z]){3}.*")
#: The characters of a number. A sender with other characters is a name.
NUMBER_SIGNS = re.compile(r"(?=.*[0-9])[+0-9 ().\[\]~/;,|&-]+")
NOT_A_DECIMAL = Decimal("nan")
INVISIBLE = dict.fromkeys(
    [0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)]
)


def read_number(value: object, region: str | None) -> Identifier:
    """
    Read a number in any dialable spelling: E.164, international, national, RFC 3966, a link of WhatsApp.

    A number without a country code belongs to the region, or is dialed from there: ``6315551002`` in India becomes
    ``+916315551002``, and ``00`` before a country code is read as the plus sign. Extensions are removed.

    :param value: a string, an integer, or an integral float of a spreadsheet.
    :param region: two letters, upper case, for example ``IN``; ``None`` if unknown.
    :raises InvalidIdentifierError: the value is not a number of any numbering plan; the reason is one of
        :data:`REASONS`.
    """
    text = _dialed(written_text(value))
    _refuse_other_values(text)
    text = _single_number(text, region)
    number = _parse(text, region)
    _refuse_letters(text, number)
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != ValidationResult.IS_POSSIBLE:
        raise InvalidIdentifierError(PLAN_REASONS[possible])
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(e164) > MAX_DIGITS + 1:
        raise InvalidIdentifierError(TOO_LONG)
    if (doubt := _doubt(text, number)) and not phonenumbers.is_valid_number(number):
        raise InvalidIdentifierError(doubt)
    return Identifier(Kind.NUMBER, e164)


def read_international_number(value: object) -> Identifier:
    """
    Read a number with a country code, with or without plus sign, for example a registered sender.

    :raises InvalidIdentifierError: see :func:`read_number`.
    """
    text = _dialed(written_text(value))
    _refuse_other_values(text)
    if text.startswith("0") and not text.startswith("00"):
        raise InvalidIdentifierError(NO_COUNTRY_CODE)
    return read_number(f"+{text}" if text[:1].isdigit() and text[0] != "0" else text, None)


def read_sender(sender: str) -> str:
    """
    Return the canonical name of a sender: E.164 if it is a number in any spelling, otherwise the name unchanged.

    :raises InvalidIdentifierError: it has only characters of a number but is not one, is too long for a name, or is not
        printable.
    """
    sender = sender.strip()
    try:
        return read_international_number(sender).value
    except InvalidIdentifierError as error:
        if error.reason in OTHER_VALUES or NUMBER_SIGNS.fullmatch(SCHEME.sub("", _plain(sender), count=1)):
            raise
    if len(sender) > MAX_LENGTH or not sender.isprintable():
        raise InvalidIdentifierError(TOO_LONG if len(sender) > MAX_LENGTH else NOT_PRINTABLE)
    return sender


def infer_region(sender: str) -> str | None:
    """
    Return the region of a registered number.

    :param sender: number with its plus sign; other senders have no region.
    :returns: two letters, or ``None`` for a number without a region, for example ``+800…``. If several regions of a
        country code are possible, the main region.
    """
    try:
        number = phonenumbers.parse(sender, None)
    except NumberParseException:
        return None
    code = number.country_code or 0
    region = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(code)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def validate_region(region: str) -> str:
    """
    Check that phonenumbers knows a region.

    :param region: two letters of ISO 3166, in upper or lower case.
    :returns: the region in upper case.
    :raises ConfigError: the region is unknown.
    """
    normalized = region.strip().upper() if isinstance(region, str) else ""
    if normalized not in phonenumbers.SUPPORTED_REGIONS:
        shown = f"default_region {region!r}" if normalized.isalpha() else "default_region"
        raise ConfigError(f"{shown} is unknown. Set it to the two letters of a country, for example IN.")
    return normalized


def written_text(value: object) -> str:
    """
    Return a number as a string. Floats and strings with only zeros after the decimal point are read as integers.

    :raises InvalidIdentifierError: the value is neither a string nor a whole number.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise InvalidIdentifierError(TOO_LONG)
        return INTEGRAL_FLOAT.sub(r"\1", _plain(value))
    return _integral_text(value)


def _integral_text(value: object) -> str:
    is_number = isinstance(value, float | Decimal | int) and not isinstance(value, bool)
    number = Decimal(value) if is_number else NOT_A_DECIMAL  # type: ignore[arg-type]
    if not number.is_finite():
        raise InvalidIdentifierError("neither text nor a whole number")
    if number.adjusted() > MAX_DIGITS:
        raise InvalidIdentifierError(TOO_LONG)
    if number != number.to_integral_value():
        raise InvalidIdentifierError(NOT_WHOLE)
    if number < 0:
        raise InvalidIdentifierError(NOT_A_NUMBER)
    return f"{number:.0f}"


def _plain(text: str) -> str:
    """Convert digits, spaces, dashes and plus signs of all scripts to ASCII, and remove invisible characters."""
    text = LINE_BREAKS.sub("\n", text.strip("\0").strip())
    return "".join(_plain_characters(text)).strip()


def _plain_characters(text: str) -> Iterator[str]:
    for sign in text.translate(INVISIBLE):
        if sign.isascii():
            yield " " if sign.isspace() and sign != "\n" else sign
        elif (digit := unicodedata.decimal(sign, None)) is not None:
            yield str(digit)
        elif sign.isspace():
            yield " "
        elif unicodedata.category(sign) == "Pd" or sign == "\N{MINUS SIGN}":
            yield "-"
        else:
            folded = unicodedata.normalize("NFKC", sign)
            yield folded if folded in {*"+().[]/~"} else sign


def _dialed(text: str) -> str:
    """Return the dialed part: without scheme, link, quotes and extension."""
    text = text.removeprefix("'").strip('"').strip()
    if link := LINK.fullmatch(text):
        return f"+{link['digits']}"
    text = SCHEME.sub("", text, count=1)
    parameters = {name.lower(): value for name, value in PARAMETER.findall(text)}
    text = EXTENSION.sub("", PARAMETER.sub("", text).strip()).strip()
    context = parameters.get("phone-context", "")
    return context + text if context.startswith("+") and not text.startswith("+") else text


def _refuse_other_values(text: str) -> None:
    if not text:
        raise InvalidIdentifierError("empty")
    lower = text.lower()
    for reason, pattern in OTHER_VALUES.items():
        if pattern.fullmatch(lower):
            raise InvalidIdentifierError(reason)


def _single_number(text: str, region: str | None) -> str:
    """
    Return the text of a single number.

    :raises InvalidIdentifierError: the text has two numbers.
    """
    if text.count("+") > 1 or sum(any(map(str.isdigit, part)) for part in SEPARATORS.split(text)) > 1:
        raise InvalidIdentifierError(TWO_NUMBERS)
    first, slash, rest = text.partition("/")
    if slash and any(map(str.isdigit, rest)) and _is_valid(first, region):
        # German numbers have a slash after the area code.
        raise InvalidIdentifierError(TWO_NUMBERS)
    return text


def _is_valid(text: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except NumberParseException:
        return False


def _parse(text: str, region: str | None) -> PhoneNumber:
    if region is None and text.startswith("00"):
        text = f"+{text[2:]}"
    if not ALLOWED.fullmatch(text):
        has_letters = any(map(str.isalpha, text)) and any(map(str.isdigit, text))
        raise InvalidIdentifierError(LETTERS if has_letters else NOT_A_NUMBER)
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException as error:
        reason = PARSE_REASONS[error.error_type]
        if region is None and error.error_type == NumberParseException.INVALID_COUNTRY_CODE and "+" not in text:
            reason = NO_COUNTRY_CODE
    if any(map(str.isdigit, text)) and any(map(str.isalpha, text)):
        reason = LETTERS
    raise InvalidIdentifierError(reason)


def _refuse_letters(text: str, number: PhoneNumber) -> None:
    """Refuse letters, unless they spell a valid number, for example +1 800 FLOWERS."""
    if any(map(str.isalpha, text)) and not (VANITY.fullmatch(text) and phonenumbers.is_valid_number(number)):
        raise InvalidIdentifierError(LETTERS)


def _doubt(text: str, number: PhoneNumber) -> str | None:
    """Return why a possible number is doubtful: it is refused, unless it is valid."""
    if POSSIBLE_DATE.fullmatch(text.removeprefix("+")):
        return DATE
    digits = {sign for sign in text if sign.isdigit()}
    repeats = len(digits) == 1 or len(set(phonenumbers.national_significant_number(number))) == 1
    return REPEATED if repeats else None
