"""Read what left from the evidence, and tell what was changed by hand: rows whose digest is not that of their text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from django.db.models import ExpressionWrapper, F, TextField

from billing.models import OutboundRequest
from billing.stripe_gateway.evidence import request_digest
from billing.stripe_gateway.operation import Operation
from offices.encryption import CiphertextUnreadable, field_keys

_TEXTS = ("path", "query", "body")
_PROFILE_CARRIERS = (Operation.CREATE_CUSTOMER, Operation.UPDATE_CUSTOMER)
PROFILE_FIELDS = ("name", "email")


@dataclass(slots=True)
class EgressEvidence:
    """The distinct texts that ever left; `profile_values` are (office, field, value); `altered` counts rows."""

    descriptions: set[str] = field(default_factory=set)
    profile_values: set[tuple[str, str, str]] = field(default_factory=set)
    altered: int = 0


def egress_evidence(until: datetime) -> EgressEvidence:
    """Gather what left before `until`; a request that is not as it was written down is counted as altered only."""
    found = EgressEvidence()
    for operation, office, form in _sent_forms(until):
        if form is None:
            found.altered += 1
            continue
        found.descriptions |= {value for name, value in form if _last_part(name) == "description"}
        if operation in _PROFILE_CARRIERS:
            values = dict(form)
            # What the form says of itself, for a new customer; the message for one that changes.
            whose = values.get("metadata[office_id]", office)
            found.profile_values |= {(whose, name, values[name]) for name in PROFILE_FIELDS if name in values}
    return found


def _sent_forms(until: datetime) -> Iterator[tuple[str, str, list[tuple[str, str]] | None]]:
    """Yield operation, office and parameters of each request."""
    # Undecrypted first: a text that no key reads is a finding here, not an error.
    stored: Any = {f"stored_{name}": ExpressionWrapper(F(name), output_field=TextField()) for name in _TEXTS}
    rows = OutboundRequest.objects.filter(sent_at__lt=until).annotate(**stored)
    columns = rows.values_list("operation", "method", "digest", "message__office_id", *stored)
    for operation, method, digest, office, *texts in columns.iterator():
        clear = _clear(texts)
        form = None
        if clear is not None and request_digest(method, *clear) == digest:
            form = [pair for text in clear[1:] for pair in parse_qsl(text, keep_blank_values=True)]
        yield operation, str(office), form


def _clear(texts: list[str]) -> list[str] | None:
    ring, label = field_keys(), OutboundRequest._meta.label_lower
    try:
        return [ring.decrypt(text, context=f"{label}.{name}") for name, text in zip(_TEXTS, texts, strict=True)]
    except CiphertextUnreadable:
        return None


def _last_part(name: str) -> str:
    return name.rpartition("[")[2].rstrip("]")
