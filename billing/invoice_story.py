"""What happened to an invoice, in one order: its own dates, money, corrections, messages, requests, events, the trail.

Each moment says what, when, by whom where a person or a process is on record, and which row tells more. Two questions
to the database, whatever the length: the rows of all kinds are read as one, and the office's trail.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import BigIntegerField, CharField, DateTimeField, F, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce

from audit.models import AuditEntry
from billing.models import (
    Correction,
    CreditNote,
    Discrepancy,
    Dispute,
    Invoice,
    OutboundRequest,
    OutboxMessage,
    Payment,
    Refund,
    StripeEvent,
)
from offices.audit_stream import office_stream

LONGEST = 300  # moments of the rows, and as many of the trail: the latest ones; the lists show all


class Part(StrEnum):
    """Where a moment is on record: the label of a model, so that a page can ask who may see it."""

    INVOICE = "billing.invoice"
    PAYMENT = "billing.payment"
    REFUND = "billing.refund"
    DISPUTE = "billing.dispute"
    CREDIT_NOTE = "billing.creditnote"
    CORRECTION = "billing.correction"
    DISCREPANCY = "billing.discrepancy"
    MESSAGE = "billing.outboxmessage"
    REQUEST = "billing.outboundrequest"
    EVENT = "billing.stripeevent"
    AUDIT = "audit.auditentry"


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened: codes and numbers, no text of anybody's. `key` is the row's, `cents` may be absent."""

    at: datetime
    part: Part
    what: str
    detail: str = ""
    who: str = ""
    key: str = ""
    cents: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """The moments, oldest first; `cut` when there were more than are told."""

    moments: tuple[Moment, ...]
    cut: bool


_DATES = {
    "created_at": "opened",
    "closed_at": "closed",
    "sent_at": "sent",
    "due_at": "due",
    "paid_at": "paid",
    "failed_at": "payment failed",
    "written_off_at": "written off",
    "canceled_at": "canceled",
}


def story_of(invoice: Invoice, parts: Collection[Part], *, now: datetime) -> Story:
    """Tell what happened to the invoice until now, from those parts that the reader may see."""
    rows = list(_rows(invoice, parts))
    trail = list(_trail(invoice)) if Part.AUDIT in parts else []
    moments = [*_dates(invoice, now), *rows[:LONGEST], *trail[:LONGEST]]
    order = list(Part)
    ordered = sorted(moments, key=lambda each: (each.at, order.index(each.part)))
    return Story(tuple(ordered), cut=len(rows) > LONGEST or len(trail) > LONGEST)


def _dates(invoice: Invoice, now: datetime) -> Iterator[Moment]:
    for name, what in _DATES.items():
        at: datetime | None = getattr(invoice, name)
        if at is not None and (name != "due_at" or at <= now):
            cents = invoice.total_cents if name == "closed_at" else None
            yield Moment(at, Part.INVOICE, what, key=str(invoice.pk), cents=cents)


def _rows(invoice: Invoice, parts: Collection[Part]) -> Iterator[Moment]:
    """Yield the latest moments of all rows, read by one statement."""
    told: list[QuerySet[Any, Any]] = [rows for part, rows in _sources(invoice) if part in parts]
    if not told:
        return
    together = told[0].union(*told[1:], all=True) if len(told) > 1 else told[0]
    for part, what, detail, who, key, cents, at in together.order_by("-moment")[: LONGEST + 1]:
        yield Moment(at, Part(part), what, detail, who, key, cents)


def _sources(invoice: Invoice) -> Iterable[tuple[Part, QuerySet[Any, Any]]]:
    mine: dict[str, Any] = {"invoice": invoice}
    payments = Payment.objects.filter(**mine)
    yield Part.PAYMENT, _told(payments, Part.PAYMENT, "payment", Coalesce("paid_at", "recorded_at"),
                              detail=F("status"), cents=F("amount_paid_cents"))  # fmt: skip
    refunds = Refund.objects.filter(**mine)
    yield Part.REFUND, _told(refunds, Part.REFUND, "refund", F("refunded_at"), detail=F("status"),
                             cents=F("amount_cents"))  # fmt: skip
    disputes = Dispute.objects.filter(**mine)
    yield Part.DISPUTE, _told(disputes, Part.DISPUTE, "dispute", F("opened_at"), detail=F("status"),
                              cents=F("amount_cents"))  # fmt: skip
    notes = CreditNote.objects.filter(**mine)
    yield Part.CREDIT_NOTE, _told(notes, Part.CREDIT_NOTE, "credit note", F("issued_at"), detail=F("status"),
                                  cents=F("amount_cents"))  # fmt: skip
    yield from _people(mine)
    yield from _machines(invoice, mine)


def _people(mine: dict[str, Any]) -> Iterable[tuple[Part, QuerySet[Any, Any]]]:
    """Yield what people did: each correction is asked for, decided and ended."""
    corrections = Correction.objects.filter(**mine)
    kind, part = F("kind"), Part.CORRECTION
    yield part, _told(corrections, part, "correction asked for", F("requested_at"), detail=kind,
                      who=F("requested_by"), cents=F("amount_cents"))  # fmt: skip
    decided = corrections.filter(decided_at__isnull=False)
    yield part, _told(decided, part, "correction decided", F("decided_at"), detail=kind, who=F("decided_by"))
    ended = corrections.filter(ended_at__isnull=False)
    yield part, _told(ended, part, "correction ended", F("ended_at"), detail=F("status"))
    differences = Discrepancy.objects.filter(**mine)
    part = Part.DISCREPANCY
    yield part, _told(differences, part, "difference found", F("found_at"), detail=F("kind"), cents=F("amount_cents"))
    over = differences.filter(ended_at__isnull=False)
    yield part, _told(over, part, "difference ended", F("ended_at"), detail=F("status"), who=F("ended_by"))


def _machines(invoice: Invoice, mine: dict[str, Any]) -> Iterable[tuple[Part, QuerySet[Any, Any]]]:
    """Yield what went to Stripe and came back."""
    messages = OutboxMessage.objects.filter(**mine)
    yield Part.MESSAGE, _told(messages, Part.MESSAGE, "message queued", F("created_at"), detail=F("kind"))
    done = messages.filter(done_at__isnull=False)
    yield Part.MESSAGE, _told(done, Part.MESSAGE, "message delivered", F("done_at"), detail=F("kind"))
    stuck = messages.filter(done_at__isnull=True).exclude(error_code="")
    yield Part.MESSAGE, _told(stuck, Part.MESSAGE, "message waits", F("next_attempt_at"), detail=F("error_code"))
    requests = OutboundRequest.objects.filter(message__invoice=invoice)
    yield Part.REQUEST, _told(requests, Part.REQUEST, "request left", F("sent_at"), detail=F("operation"))
    if invoice.stripe_invoice_id:
        events = StripeEvent.objects.filter(object_id=invoice.stripe_invoice_id)
        yield Part.EVENT, _told(events, Part.EVENT, "event received", F("received_at"), detail=F("event_type"))


def _told(
    rows: QuerySet[Any],
    part: Part,
    what: str,
    at: Any,
    *,
    detail: Any,
    who: Any = Value(""),  # noqa: B008 - an expression without state
    cents: Any = Value(None),  # noqa: B008
) -> QuerySet[Any, Any]:
    """Give rows of one kind the seven columns that all have."""
    told: QuerySet[Any, Any] = (
        rows.order_by()
        .annotate(
            part_of=Value(part.value, output_field=CharField()),
            what_was=Value(what, output_field=CharField()),
            detailed=Cast(detail, TextField()),
            whose=Cast(who, TextField()),
            row_key=Cast("pk", TextField()),
            sum_of=Cast(cents, BigIntegerField()),
            moment=Cast(at, DateTimeField()),
        )
        .values_list("part_of", "what_was", "detailed", "whose", "row_key", "sum_of", "moment")
    )
    return told


def _trail(invoice: Invoice) -> Iterator[Moment]:
    """Yield the latest entries of the office's trail that name the invoice."""
    entries = AuditEntry.objects.filter(stream=office_stream(invoice.office.reference))
    named = entries.filter(payload__contains=str(invoice.pk)).order_by("-seq")
    for entry in named[: LONGEST + 1]:
        yield Moment(entry.at, Part.AUDIT, entry.action, entry.payload, entry.actor, str(entry.pk))
