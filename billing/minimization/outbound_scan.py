"""Judge candidate requests to Stripe with the very guard that judges real ones, against the ledger at hand.

Only reads. A request is allowed when it is one of ours: its ids belong to this office, its numbers are those of the
frozen invoice, its name and e-mail are the office's profile, its idempotency key is one that we stored. It stays
allowed after delivery (decisions.md 28).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from billing.minimization.scan_ledger import expectation_as_it_left, expectation_of
from billing.stripe_gateway.client import API_VERSION, USER_AGENT
from billing.stripe_gateway.evidence import request_digest
from billing.stripe_gateway.guard import Guard
from billing.stripe_gateway.refusal import Refusal
from billing.stripe_gateway.wire import encode_form

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DEEPEST = 8  # levels of nested parameters; ours have two

# What the HTTP library adds on its own, with the only values it ever has; not the guard's business.
_LIBRARY_HEADERS: Mapping[str, frozenset[str]] = {
    "accept-encoding": frozenset({"identity"}),
    "connection": frozenset({"keep-alive"}),
    "accept": frozenset({"*/*"}),
}


class ScanReason(StrEnum):
    """Reasons beside the guard's own codes; all are listed in docs/compliance."""

    ALLOWED = "allowed"
    MALFORMED = "request_malformed"
    NOT_OURS = "not_in_the_ledger"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard would do with a request."""

    allowed: bool
    reason: str


class _Malformed(Exception):
    """The candidate is not a request at all."""


def scanner() -> Guard:
    """Return a guard set up as the one in the transport."""
    return Guard(
        base_url=settings.STRIPE_API_BASE,
        api_version=API_VERSION,
        user_agent=USER_AGENT,
        api_key=settings.STRIPE_API_KEY,
    )


def judge_line(line: str, guard: Guard) -> Verdict:
    """Judge one line of JSON; what is no request is not allowed."""
    try:
        candidate = json.loads(line, object_pairs_hook=_without_equal_names)
    except (ValueError, RecursionError, _Malformed):
        return Verdict(allowed=False, reason=ScanReason.MALFORMED)
    return judge(candidate, guard)


def _without_equal_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object in which a name occurs twice: of the two values only one would be judged."""
    named = dict(pairs)
    if len(named) != len(pairs):
        raise _Malformed
    return named


def judge(candidate: object, guard: Guard) -> Verdict:
    """Judge `{"method", "path", "params", "headers", "idempotency_key"}`; parameters flat or nested."""
    try:
        method, url, headers, body = _encoded(candidate, guard)
    except _Malformed:
        return Verdict(allowed=False, reason=ScanReason.MALFORMED)
    parsed = guard.parse(method, url, headers, body)
    if isinstance(parsed, Refusal):
        return Verdict(allowed=False, reason=parsed.reason)
    expected = [expectation_of(parsed), expectation_as_it_left(parsed, _digest(method, url, body))]
    refusals = [guard.judge(method, url, headers, body, each) for each in expected if each is not None]
    if None in refusals:
        return Verdict(allowed=True, reason=ScanReason.ALLOWED)
    first = next(iter(refusals), None)
    return Verdict(allowed=False, reason=first.reason if first else ScanReason.NOT_OURS)


def _digest(method: str, url: str, body: bytes) -> str:
    path, _, query = url.removeprefix(settings.STRIPE_API_BASE).partition("?")
    return request_digest(method, path, query, body.decode("ascii"))


def _encoded(candidate: object, guard: Guard) -> tuple[str, str, dict[str, str], bytes]:
    """Encode a candidate as the transport would; raise _Malformed."""
    if not isinstance(candidate, dict):
        raise _Malformed
    method, path = candidate.get("method"), candidate.get("path")
    if not isinstance(method, str) or not isinstance(path, str):
        raise _Malformed
    form = _form(candidate.get("params") or {})
    has_body = method.upper() in _METHODS_WITH_BODY
    url = path if "://" in path else settings.STRIPE_API_BASE + path
    if form and not has_body:
        url += ("&" if "?" in url else "?") + form
    body = form.encode() if has_body else b""
    return method, url, _headers(candidate, method, body, guard), body


def _form(params: object) -> str:
    try:
        return encode_form(_pairs(params))
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can say it, no request can hold it
        raise _Malformed from None


def _headers(candidate: Mapping[str, object], method: str, body: bytes, guard: Guard) -> dict[str, str]:
    """Complete the given headers with those that every request of ours has; the guard judges all of them.

    A given one stays as it is spelled, so that the guard meets two spellings of one name, and a key beside another.
    """
    key, given = candidate.get("idempotency_key"), candidate.get("headers") or {}
    if not isinstance(given, dict) or not (key is None or isinstance(key, str)):
        raise _Malformed
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise _Malformed
        if not _added_by_the_library(name.lower(), value, body):
            headers[name] = value
    names = {name.lower(): name for name in headers}
    for ours, value in guard.headers_for(method, key).items():
        if ours not in names:
            headers[ours] = value
        elif ours == "idempotency-key" and headers[names[ours]] != value:
            raise _Malformed  # two keys: which of them would be sent?
    return headers


def _added_by_the_library(name: str, value: str, body: bytes) -> bool:
    if name == "host":
        return value == settings.STRIPE_API_BASE.partition("://")[2]
    if name == "content-length":
        return value == str(len(body))
    return value in _LIBRARY_HEADERS.get(name, frozenset())


def _pairs(params: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Flatten parameters to Stripe's form names; raise _Malformed for what no form can hold."""
    if depth > _DEEPEST or (not name and not isinstance(params, dict)):
        raise _Malformed
    if name and params in ({}, []):
        raise _Malformed  # a name without a value would be in no request, and so be judged by nobody
    if isinstance(params, dict):
        for key, value in params.items():
            if not isinstance(key, str):
                raise _Malformed
            yield from _pairs(value, f"{name}[{key}]" if name else key, depth + 1)
    elif isinstance(params, list):
        for value in params:
            yield from _pairs(value, name if name.endswith("[]") else f"{name}[]", depth + 1)
    else:
        yield name, _text(params)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value)
