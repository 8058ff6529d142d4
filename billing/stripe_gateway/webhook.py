"""Judge a webhook: time bounds and signature header before the signature, the shape of the event after it.

Of the event we keep ids, type and times; the body (it holds e-mail, address, a payable link) goes no further, and no
exception quotes it. The signature arithmetic itself is the SDK's, passed in by `client.verify_webhook`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

# Stripe's own tolerance for the past; a minute of clock difference for the future (facts: the SDK has no upper bound).
_OLDEST_SECONDS, _NEWEST_SECONDS = 300, 60
# The view answers 413 earlier; this is the bound for every other caller.
_LARGEST_PAYLOAD = 1024 * 1024
_HEADER = re.compile(r"[!-~]{1,4000}")
_TIME = re.compile(r"[0-9]{1,12}")
# None longer than the inbox's columns (80, 80, 80 and 40): a value that only the database refuses would be a 503, which
# Stripe repeats for days. Its own ids and types are well below.
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,76}")
_TYPE = re.compile(r"(?=.{1,80}\Z)[a-z0-9_]{1,60}(?:\.[a-z0-9_]{1,60}){1,5}")
_OBJECT_TYPE = re.compile(r"[a-z0-9_]{1,60}(?:\.[a-z0-9_]{1,60}){0,3}")
_OBJECT_ID = re.compile(r"(?=.{1,80}\Z)[a-z]{2,20}_[A-Za-z0-9_]{1,76}")
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:\.[a-z]{1,29})?")
_LATEST = 253_402_300_800  # Unix seconds of the year 10000: no calendar of ours goes that far

SignatureCheck = Callable[[str, str, str], bool]


class WebhookReason(StrEnum):
    """Why a webhook was refused; all of them are answered with 400."""

    TOO_LARGE = "too_large"
    HEADER = "header"
    TOO_OLD = "too_old"
    IN_THE_FUTURE = "in_the_future"
    SIGNATURE = "signature"
    NOT_JSON = "not_json"
    SHAPE = "shape"


class WebhookRefused(Exception):
    """A webhook that was not accepted; carries a reason code and, for a wrong shape, our name of the field."""

    def __init__(self, reason: WebhookReason, field: str | None = None) -> None:
        super().__init__(f"webhook refused: {reason.value}" + (f" ({field})" if field else ""))
        self.reason, self.field = reason, field


@dataclass(frozen=True, slots=True)
class EventEnvelope:
    """All we keep of an event. `created` is Unix seconds; `object_id` is None where Stripe gives none of its ids.

    `digest` is sha256 over id, type, created and object id: bodies may differ between deliveries, these must not.
    """

    event_id: str
    type: str
    object_type: str
    object_id: str | None
    created: int
    api_version: str | None
    livemode: bool
    digest: str


def judge_webhook(
    payload: bytes, signature_header: str, secrets: Sequence[str], now: int, *, signed_with: SignatureCheck
) -> EventEnvelope:
    """Return the envelope of a genuine, recent event. Raises `WebhookRefused`; `now` is Unix seconds."""
    if len(payload) > _LARGEST_PAYLOAD:
        _refuse(WebhookReason.TOO_LARGE)
    signed_at = _signed_at(signature_header)
    if signed_at < now - _OLDEST_SECONDS:
        _refuse(WebhookReason.TOO_OLD)
    if signed_at > now + _NEWEST_SECONDS:
        _refuse(WebhookReason.IN_THE_FUTURE)
    text = _text_of(payload)
    # Any of several secrets: both are valid while one is being rotated. An empty one never is.
    if not any(secret.strip() and signed_with(text, signature_header, secret) for secret in secrets):
        _refuse(WebhookReason.SIGNATURE)
    return envelope_of(_decode(text))


def _signed_at(header: str) -> int:
    """Read the one timestamp of the header; stricter than the SDK, which takes the first and more spellings."""
    if not isinstance(header, str) or not _HEADER.fullmatch(header):
        _refuse(WebhookReason.HEADER)
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or not all(equals for _, equals, _ in parts):
        _refuse(WebhookReason.HEADER)
    return int(times[0])


def _text_of(payload: bytes) -> str:
    # The exception of a failed decoding holds the body, so ours is raised outside of its handler.
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise WebhookRefused(WebhookReason.NOT_JSON)


def _decode(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    raise WebhookRefused(WebhookReason.NOT_JSON)


def _no_constant(_name: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are no JSON


def envelope_of(event: object) -> EventEnvelope:
    """Return what is kept of a decoded event. Raises `WebhookRefused` for a wrong shape."""
    if not isinstance(event, dict) or event.get("object") != "event":
        _refuse(WebhookReason.SHAPE, "object")
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        _refuse(WebhookReason.SHAPE, "data")
    created, livemode = event.get("created"), event.get("livemode")
    if type(created) is not int or not 0 <= created < _LATEST:
        _refuse(WebhookReason.SHAPE, "created")
    if type(livemode) is not bool:
        _refuse(WebhookReason.SHAPE, "livemode")
    event_id = _text(event, "id", _EVENT_ID)
    kind = _text(event, "type", _TYPE)
    version = None if event.get("api_version") is None else _text(event, "api_version", _VERSION)
    subject_id = subject.get("id")
    # Ids that people choose (coupons, products) could be anything: only Stripe's own form is kept.
    object_id = subject_id if isinstance(subject_id, str) and _OBJECT_ID.fullmatch(subject_id) else None
    digest = _digest(event_id, kind, str(created), object_id or "")
    return EventEnvelope(
        event_id, kind, _text(subject, "object", _OBJECT_TYPE), object_id, created, version, livemode, digest
    )


def _text(fields: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        _refuse(WebhookReason.SHAPE, name)
    return value


def _digest(*parts: str) -> str:
    # Lengths first, so that no two lists of parts render the same.
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def _refuse(reason: WebhookReason, field: str | None = None) -> NoReturn:
    raise WebhookRefused(reason, field)
