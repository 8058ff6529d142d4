"""What leaks look like: identifiers of known people, in carriers of everyday language, in disguises. From a seed."""

import base64
import codecs
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple
from urllib.parse import quote

from patients.identity import Identity

LOOK_ALIKES = str.maketrans(
    "aeopcxyABEHKMOPTX",
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0410\u0412\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425",
)
GREEK = str.maketrans(
    "aoeABEHIKMNOTXZ",
    "\u03b1\u03bf\u03b5\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a4\u03a7\u0396",
)
LEET = str.maketrans("aeiostAEIOST", "431057431057")
ACCENTS = str.maketrans("aeiou", "\u00e1\u00e8\u00ef\u00f4\u00fc")

DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "upper": str.upper,
    "lower": str.lower,
    "no separators": lambda text: "".join(text.split()),
    "underscores": lambda text: "_".join(text.split()),
    "dots": lambda text: ".".join(text.split()),
    "spaced": " ".join,
    "dashed": "-".join,
    "zero-width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "direction": lambda text: f"\u202e{text}\u202c",
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "mathematical": lambda text: "".join(_mathematical(c) for c in text),
    "Cyrillic": lambda text: text.translate(LOOK_ALIKES),
    "Greek": lambda text: text.translate(GREEK),
    "leet": lambda text: text.translate(LEET),
    "accents": lambda text: text.translate(ACCENTS),
    "Arabic digits": lambda text: "".join(chr(0x660 + int(c)) if c in "0123456789" else c for c in text),
    "URL": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "Unicode escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000),
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "backwards": lambda text: text[::-1],
    "rot13": lambda text: codecs.encode(text, "rot13"),
    # Nobody has taught the detector these.
    "vowels left out": lambda text: "".join(c for c in text if c.lower() not in "aeiou"),
    "letters doubled": lambda text: "".join(c * 2 for c in text),
    "letters moved by one": lambda text: "".join(chr(ord(c) + 1) if c.isalnum() else c for c in text),
}
CARRIERS = (
    "{}",
    "re {}",
    "refund for {} approved",
    "see {} in the chart",
    "charge per {}, second visit",
    "{} (do not bill)",
    "ask {} about the report",
    "custom report for {}",
    "training, {} was there",
    "{}'s account",
    "hardware for {}",
    "x{}x",
)


class Leak(NamedTuple):
    """One attempt: what it is of, how it is disguised, the text."""

    what: str
    disguise: str
    text: str


def leaks_of(identity: Identity, random: Random) -> Iterator[Leak]:
    """Yield each identifier of a person in each disguise, in a carrier drawn for it."""
    for what, value in _identifiers(identity):
        for disguise, disguised in DISGUISES.items():
            carrier = CARRIERS[int(random.random() * (len(CARRIERS) - 1))]
            yield Leak(what, disguise, carrier.format(disguised(value)))


def _identifiers(identity: Identity) -> Iterator[tuple[str, str]]:
    yield "name", f"{identity.first_name} {identity.last_name}"
    yield "last name first", f"{identity.last_name}, {identity.first_name}"
    yield "record number", identity.external_id
    if identity.date_of_birth:
        yield "date of birth", f"{identity.date_of_birth:%m/%d/%Y}"
    if identity.email:
        yield "e-mail", identity.email
    if identity.phone:
        yield "phone", identity.phone


def _mathematical(sign: str) -> str:
    if "A" <= sign <= "Z":
        return chr(0x1D400 + ord(sign) - 65)
    if "a" <= sign <= "z":
        return chr(0x1D41A + ord(sign) - 97)
    return chr(0x1D7CE + int(sign)) if sign in "0123456789" else sign
