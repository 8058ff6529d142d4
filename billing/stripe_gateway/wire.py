"""A strict reader of form encoding, written apart from the encoder: what it cannot read in exactly one way is refused.

Canonical means: letters, digits and `_.-~` as they are, a space as `+`, every other printable ASCII character as `%XX`
with capital hexadecimal digits. So one list of pairs has one byte form, and a value can hide in no other.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote_plus

from billing.stripe_gateway.refusal import RefusalReason

Pairs = tuple[tuple[str, str], ...]

# Our largest request has 12 parameters of at most 254 characters; anything near this size is none of ours.
_LARGEST_FORM = 8_192
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))
_TOKEN = re.compile(r"(?:[A-Za-z0-9_.~+-]|%[0-9A-F]{2})*")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_NOTHING_TO_DECODE = re.compile(r"[A-Za-z0-9_.~-]*")


class WireMalformed(ValueError):
    """Bytes that are not one canonical form; carries the reason code only."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def encode_form(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode pairs in the canonical form (for callers that hold decoded candidates, such as `scan_outbound`)."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


def parse_form(text: str, malformed: RefusalReason) -> Pairs:
    """Decode a canonical form into pairs, in order. Raises `WireMalformed`, with `malformed` where no more is known."""
    if not text:
        return ()
    if len(text) > _LARGEST_FORM:
        raise WireMalformed(malformed)
    pairs = []
    for piece in text.split("&"):
        name, equals, value = piece.partition("=")
        if not name or not equals:
            raise WireMalformed(malformed)
        pairs.append((_decode(name, malformed), _decode(value, malformed)))
    return tuple(pairs)


def _decode(token: str, malformed: RefusalReason) -> str:
    if _NOTHING_TO_DECODE.fullmatch(token):
        return token
    if not _TOKEN.fullmatch(token):
        unprintable = not _PRINTABLE.issuperset(token)
        raise WireMalformed(RefusalReason.NOT_PRINTABLE_ASCII if unprintable else malformed)
    escaped = {chr(int(pair, 16)) for pair in _ESCAPE.findall(token)}
    if not _PRINTABLE.issuperset(escaped):
        raise WireMalformed(RefusalReason.NOT_PRINTABLE_ASCII)
    if not _PLAIN.isdisjoint(escaped) or " " in escaped:
        raise WireMalformed(RefusalReason.ENCODING_NOT_CANONICAL)
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), token.replace("+", " "))
