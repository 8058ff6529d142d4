"""Find a synthetic person in any bytes: plain, in capitals, reversed, in base64 at any alignment, URL- or \\u-escaped.

The text is decoded, not the needle encoded: whatever part of a marker is there is found, in any mixture of two
disguises. Every marker begins with the stem, so one needle stands for all of them; birthdays and phones have patterns.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote_plus

from tests.canary.people import PHONE_STEM, STEM

_STEM = STEM.lower()
_BORN = re.compile(r"19[0-2][0-9]-[01][0-9]-[0-3][0-9]")
_PHONE = re.compile(re.escape(PHONE_STEM.lstrip("+")) + r"[0-9]{5}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_ESCAPED = re.compile(r"\\+u00([0-9a-fA-F]{2})")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")

DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "capitals": str.upper,
    "reversed": lambda text: text[::-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b"x" + text.encode()).decode(),
    "base64 after two bytes": lambda text: base64.b64encode(b"xy" + text.encode()).decode(),
    "base64 in a URL": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "URL-escaped": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "URL-escaped twice": lambda text: quote("".join(f"%{byte:02X}" for byte in text.encode())),
    "\\u-escaped": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "hexadecimal": lambda text: text.encode().hex(),
}


def is_found(content: str | bytes) -> bool:
    """Tell whether anything of a synthetic person is in the content."""
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    return any(_in_plain(view) for view in _views(text))


def _in_plain(text: str) -> bool:
    lower = text.lower()
    return _STEM in lower or _STEM[::-1] in lower or any(_numbers(each) for each in (text, text[::-1]))


def _numbers(text: str) -> bool:
    return _BORN.search(text) is not None or _PHONE.search(text) is not None


def _views(text: str) -> Iterator[str]:
    yield text
    unquoted = unquote_plus(unquote_plus(text)) if "%" in text else text
    if unquoted != text:
        yield unquoted
    if "\\u" in unquoted:
        yield _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unquoted)
    # Separated by a space: two neighbours must not make a word together.
    for decode in (_from_base64, _from_hexadecimal):
        yield " ".join(decode(unquoted))


def _from_base64(text: str) -> Iterator[str]:
    for run in set(_BASE64.findall(text)):
        standard = run.replace("-", "+").replace("_", "/")
        for start in range(4):
            whole = standard[start:]
            whole = whole[: len(whole) - (len(whole) % 4 == 1)]
            try:
                yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")
            except binascii.Error:
                continue


def _from_hexadecimal(text: str) -> Iterator[str]:
    for run in set(_HEXADECIMAL.findall(text)):
        yield bytes.fromhex(run).decode("latin-1")
