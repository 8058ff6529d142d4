"""Requests that carry a person: identifiers in some seventy disguises, in every place a request to Stripe has.

Each starts from a request of ours that really left, with its true ids and its stored key, so that the leak is the one
thing that is wrong. From a seed; the places know nothing of what the guard looks at.
"""

import base64
import binascii
import codecs
import datetime as dt
import hashlib
import json
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

from patients.identity import Identity
from tests.billing.minimization.leaks import DISGUISES, LEET

Request = dict[str, Any]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MORSE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_SOUNDS = dict(zip(_LETTERS + "0123456789", _MORSE.split(), strict=True))


def _number(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


def _base62(text: str) -> str:
    number, digits = _number(text), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits or "0"


def _as_uuid4(digest: bytes) -> str:
    """Return bytes of a person in the shape of a random id, version and variant included."""
    return str(uuid.UUID(bytes=digest[:16].ljust(16, b"\x00"), version=4))


def _digits(text: str) -> str:
    return "".join(str(ord(sign) % 10) for sign in text)


MORE_DISGUISES: Mapping[str, Callable[[str], str]] = {
    "title": str.title,
    "swapped case": str.swapcase,
    "words reversed": lambda text: " ".join(reversed(text.split())),
    "each word backwards": lambda text: " ".join(word[::-1] for word in text.split()),
    "initials": lambda text: "".join(word[0] for word in text.split()),
    "initials with dots": lambda text: ".".join(word[0] for word in text.split()) + ".",
    "first six": lambda text: text[:6],
    "every other letter": lambda text: text[::2],
    "camel case": lambda text: "".join(word.title() for word in text.split()),
    "plus signs": lambda text: "+".join(text.split()),
    "tabs": lambda text: "\t".join(text.split()),
    "lines": lambda text: "\n".join(text.split()),
    "slashes": lambda text: "/".join(text.split()),
    "pipes": lambda text: "|".join(text.split()),
    "quotes": lambda text: f'"{text}"',
    "brackets": lambda text: f"[{text}]",
    "JSON": lambda text: json.dumps({"n": text}),
    "JSON twice": lambda text: json.dumps(json.dumps([text])),
    "hexadecimal capitals": lambda text: text.encode().hex().upper(),
    "hexadecimal with colons": lambda text: text.encode().hex(":"),
    "bytes of C": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "decimal codes": lambda text: "".join(f"{ord(sign):03}" for sign in text),
    "octal": lambda text: "".join(f"{byte:03o}" for byte in text.encode()),
    "base62": _base62,
    "base64 without padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "compressed": lambda text: base64.b64encode(zlib.compress(text.encode())).decode(),
    "quoted-printable": lambda text: binascii.b2a_qp(text.encode(), quotetabs=True).decode(),
    "UTF-7": lambda text: text.encode("utf-7").decode(),
    "punycode": lambda text: text.encode("punycode").decode(),
    "UTF-16": lambda text: text.encode("utf-16-be").hex(),
    "overlong": lambda text: "".join(f"%C1%{0x80 | (ord(sign) & 0x3F):02X}" for sign in text),
    "plus and percent": lambda text: quote(text, safe=""),
    "rot13 backwards": lambda text: codecs.encode(text, "rot13")[::-1],
    "atbash": lambda text: text.lower().translate(str.maketrans(_LETTERS, _LETTERS[::-1])),
    "leet capitals": lambda text: text.upper().translate(LEET),
    "Morse": lambda text: " ".join(_SOUNDS.get(sign, "") for sign in text.lower()),
    "letters as numbers": lambda text: "-".join(str(_LETTERS.find(sign) + 1) for sign in text.lower()),
    "one number": lambda text: str(_number(text)),
    "eight digits": lambda text: str(_number(text) % 10**8),
    "a count": lambda text: str(_number(text) % 10**6 + 1),
    "digits": _digits,
    "negative": lambda text: f"-{_number(text) % 10**8}",
    "scientific": lambda text: f"{_number(text) % 10**6}e0",
    "leading zeros": lambda text: f"00{_number(text) % 10**6}",
    "decimal places": lambda text: f"200.{_number(text) % 10**12:012}",
    "a month": lambda text: f"20{_number(text) % 100:02}-{_number(text) % 12 + 1:02}",
    "an instant": lambda text: str(1_700_000_000 + _number(text) % 10**8),
    "md5": lambda text: hashlib.md5(text.encode()).hexdigest(),
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "crc": lambda text: str(zlib.crc32(text.encode())),
    "uuid5": lambda text: str(uuid.uuid5(uuid.NAMESPACE_OID, text)),
    "uuid of bytes": lambda text: _as_uuid4(text.encode()),
    "uuid of a hash": lambda text: _as_uuid4(hashlib.sha256(text.encode()).digest()),
    "an invoice's id": lambda text: f"in_{_base62(text)[:64]}",
    "a customer's id": lambda text: f"cus_{_base62(text)[:64]}",
    "a line's id": lambda text: f"il_{''.join(filter(str.isalnum, text))[:60] or 'x'}",
    "a mailbox": lambda text: f"{''.join(filter(str.isalnum, text)).lower()[:40] or 'x'}@clinic.example",
    "beside a catalogue text": lambda text: f"Active patient accounts {text}",
    "a catalogue text after it": lambda text: f"{text} Setup fee",
    "trailing space": lambda text: f"Active patient accounts{' ' * (len(text) % 7 + 1)}",
    "case of a catalogue text": lambda text: "".join(
        sign.upper() if _number(text) >> place & 1 else sign for place, sign in enumerate("active patient accounts")
    ),
}  # fmt: skip
ALL_DISGUISES = {**DISGUISES, **MORE_DISGUISES}


class LeakRequest(NamedTuple):
    """One attempt: what it is of, how it is disguised, where it stands, and the request."""

    what: str
    disguise: str
    place: str
    request: Request


def in_parameter(own: Request, text: str, random: Random) -> Request:
    name = random.choice(sorted(own["params"]) or ["description"])
    return own | {"params": own["params"] | {name: text}}


def in_new_parameter(own: Request, text: str, random: Random) -> Request:
    names = ("note", "footer", "statement_descriptor", "custom_fields[0][value]", "shipping[name]", "address[line1]",
             "phone", "number", "receipt_email", "preferred_locales[]", "tax_id_data[0][value]")  # fmt: skip
    return own | {"params": own["params"] | {random.choice(names): text}}


def in_description(own: Request, text: str, _random: Random) -> Request:
    return own | {"params": own["params"] | {"description": text}}


def in_metadata(own: Request, text: str, random: Random) -> Request:
    name = random.choice(("patient", "note", "invoice_id", "office_id", "cycle", "kind", "mrn", "x"))
    return own | {"params": own["params"] | {f"metadata[{name}]": text}}


def in_metadata_name(own: Request, text: str, _random: Random) -> Request:
    return own | {"params": own["params"] | {f"metadata[{text}]": "1"}}


def in_parameter_name(own: Request, text: str, _random: Random) -> Request:
    return own | {"params": own["params"] | {text: "1"}}


def nested(own: Request, text: str, random: Random) -> Request:
    deep = random.choice(({"metadata": {"a": {"b": text}}}, {"lines": [{"description": text}]}, {"expand": [text]}))
    flat = {name: value for name, value in own["params"].items() if not name.startswith("metadata")}
    return own | {"params": flat | deep}


def in_path(own: Request, text: str, random: Random) -> Request:
    path = random.choice(
        (f"{own['path']}/{quote(text)}", f"/v1/customers/{text}", f"/v1/invoices/{text}", f"/v1/{text}")
    )
    return own | {"path": path}


def in_query(own: Request, text: str, random: Random) -> Request:
    return own | {"path": f"{own['path']}{random.choice('?&#;')}{random.choice(('note', 'q'))}={quote(text)}"}


def in_key(own: Request, text: str, _random: Random) -> Request:
    return own | {"idempotency_key": text}


def in_header(own: Request, text: str, random: Random) -> Request:
    names = ("User-Agent", "Stripe-Account", "Stripe-Version", "X-Note", "Idempotency-Key", "Cookie", "Referer", "Host",
             "Authorization", "Accept", "Content-Type", "Stripe-Context", text)  # fmt: skip
    return own | {"headers": {random.choice(names): text}}


def elsewhere(own: Request, text: str, random: Random) -> Request:
    hosts = (
        "https://api.stripe.com.example",
        "https://files.stripe.com",
        "https://api.stripe.com@x.example",
        "http://x",
    )
    methods = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "get")
    path = random.choice(
        (f"{random.choice(hosts)}{own['path']}", "/v1/customers/search", "/v1/files", "/v2/core/events")
    )
    return own | {"method": random.choice(methods), "path": path, "params": {"query": text}}


PLACES: tuple[Callable[[Request, str, Random], Request], ...] = (
    in_parameter, in_new_parameter, in_description, in_metadata, in_metadata_name, in_parameter_name, nested, in_path,
    in_query, in_key, in_header, elsewhere,
)  # fmt: skip


def leak_requests(own: list[Request], identities: list[Identity], number: int, random: Random) -> Iterator[LeakRequest]:
    """Yield that many attempts; every disguise and every place comes equally often."""
    disguises = list(ALL_DISGUISES.items())
    for attempt in range(number):
        disguise, change = disguises[attempt % len(disguises)]
        place = PLACES[attempt // len(disguises) % len(PLACES)]
        what, value = random.choice(list(_identifiers(random.choice(identities))))
        request = place(random.choice(own), change(value), random)
        if request not in own:
            yield LeakRequest(what, disguise, place.__name__, request)


def as_numbers(own: list[Request], identity: Identity) -> Iterator[LeakRequest]:
    """Yield what a number can hold: a birthday as an amount, a record number as a quantity, a time of Unix."""
    born = identity.date_of_birth or dt.date(1950, 1, 1)
    moment = int(dt.datetime(born.year, born.month, born.day, tzinfo=dt.UTC).timestamp())
    numbers = {
        "birthday": f"{born:%Y%m%d}", "short birthday": f"{born:%m%d%y}", "days": str(born.toordinal()),
        "birth as time": str(abs(moment)), "record number": _digits(identity.external_id), "year": str(born.year),
        "phone": "".join(filter(str.isdigit, identity.phone))[-8:] or "1", "age": "76", "one": "1",
    }  # fmt: skip
    for what, number in numbers.items():
        for request in own:
            for name, value in request["params"].items():
                for written in (number, int(number), float(number), [number], {"0": number}, True, None):
                    if _shown(written) != value:
                        place = f"{name} as {type(written).__name__}"
                        yield LeakRequest(
                            what, "number", place, request | {"params": request["params"] | {name: written}}
                        )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _identifiers(identity: Identity) -> Iterator[tuple[str, str]]:
    yield "name", f"{identity.first_name} {identity.last_name}"
    yield "last name", identity.last_name
    yield "record number", identity.external_id
    if identity.date_of_birth:
        yield "date of birth", identity.date_of_birth.isoformat()
        yield "birthday in words", f"{identity.date_of_birth:%d %B %Y}"
    if identity.email:
        yield "e-mail", identity.email
    if identity.phone:
        yield "phone", identity.phone
