"""Search every byte that reached Stripe for every identifier of every patient, plain and encoded.

First the random ids that are ours or Stripe's own are taken out, each by exact value. What is left is constants and
numbers, in which nothing looks like a person by chance; so even a surname such as "Ng" can be searched as a word.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote_plus

from sandbox.demo.identifiers import SHORTEST_JOINED, Kind, Needles, normal, tokens
from sandbox.demo.people import Person
from sandbox.stripe_standin import RawRequest

_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{5,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2}){5,}")
_SHORTEST_DECODED = 5  # letters and digits; decoding any word gives short accidents
_HINT = 6  # characters of a joined needle that are looked up before it is searched

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "URL-encoded": quote_plus,
    "URL-encoded twice": lambda text: quote_plus(quote_plus(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a URL": lambda text: quote_plus(base64.urlsafe_b64encode(text.encode()).decode()),
    "hexadecimal": lambda text: text.encode().hex(),
}
_DECODED = frozenset({"base64", "base64 in a URL", "hexadecimal"})


@dataclass(frozen=True, slots=True)
class ScanResult:
    """How much was searched, for how much, and how many identifiers of each kind were found. Never a value."""

    requests: int
    size: int
    needles: int
    found: Counter[Kind]


class Scanner:
    """Looks for the same needles in any number of requests."""

    def __init__(self, needles: Needles, own_ids: Iterable[str]) -> None:
        self._needles, self._own_ids = needles, frozenset(own_ids)
        self._longest = max(map(len, needles.by_tokens), default=0)
        self._hints = {joined[:_HINT] for joined in needles.joined}

    def scan(self, requests: Sequence[RawRequest]) -> ScanResult:
        """Search the request line, every header and the body of each request."""
        # Equal pieces, such as most headers, are searched once.
        parts = {part for request in requests for part in _parts(request)}
        hits = {hit for part in parts for hit in self._hits(part)}
        size = sum(len(request.raw()) for request in requests)
        return ScanResult(len(requests), size, len(self._needles), Counter(kind for _, kind in hits))

    def _hits(self, part: str) -> Iterator[tuple[str, Kind]]:
        views = (part, unquote_plus(part), unquote_plus(unquote_plus(part)), unquote_plus(part, "latin-1"))
        plain = {self._without_own_ids(view) for view in views}
        for view in plain:
            yield from self._hits_in(view, shortest=1)
        for view in {decoded for text in plain for decoded in _decoded(text)}:
            yield from self._hits_in(view, shortest=_SHORTEST_DECODED)

    def _without_own_ids(self, text: str) -> str:
        return _OWN_ID.sub(lambda found: " " if found[0] in self._own_ids else found[0], text)

    def _hits_in(self, view: str, *, shortest: int) -> Iterator[tuple[str, Kind]]:
        words = tokens(view)
        for length in range(1, min(self._longest, len(words)) + 1):
            for start in range(len(words) - length + 1):
                candidate = words[start : start + length]
                kind = self._needles.by_tokens.get(candidate)
                if kind and sum(map(len, candidate)) >= shortest:
                    yield " ".join(candidate), kind
        joined = "".join(words)
        if any(joined[start : start + _HINT] in self._hints for start in range(len(joined) - SHORTEST_JOINED + 1)):
            yield from ((needle, kind) for needle, kind in self._needles.joined.items() if needle in joined)


def _parts(request: RawRequest) -> Iterator[str]:
    yield f"{request.method} {request.target}"
    yield from (f"{name}: {value}" for name, value in request.headers)
    yield request.body.decode("utf-8", "replace")


def _decoded(text: str) -> Iterator[str]:
    """Yield what the text may hold in base64, at any of its four alignments, or in hexadecimal."""
    for run in _BASE64.findall(text):
        standard = run.replace("-", "+").replace("_", "/")
        for start in range(4):
            whole = standard[start:]
            whole = whole[: len(whole) - (len(whole) % 4 == 1)]
            try:
                yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("utf-8", "replace")
            except binascii.Error:
                continue
    for run in _HEXADECIMAL.findall(text):
        yield bytes.fromhex(run).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Proof:
    """How many planted identifiers there were, and how many of them the scanner found."""

    planted: int
    found: int


def prove(scanner: Scanner, sample: Sequence[Person], request: RawRequest) -> Proof:
    """Plant identifiers in copies of a real request, in every encoding, and count how many are found."""
    planted = found = 0
    for person in sample:
        for text in _plants(person):
            for name, encode in ENCODINGS.items():
                if name in _DECODED and len(normal(text)) < SHORTEST_JOINED:
                    continue
                planted += 1
                body = request.body + f"&description={encode(text)}".encode()
                found += bool(scanner.scan([RawRequest(request.method, request.target, (), body)]).found)
    return Proof(planted, found)


def _plants(person: Person) -> Iterator[str]:
    yield f"{person.first_name} {person.last_name}"
    yield f"{person.last_name}, {person.first_name}"
    yield person.date_of_birth.isoformat()
    yield f"{person.date_of_birth:%m/%d/%Y}"
    yield person.external_id
    yield from filter(None, (person.email, person.phone))
