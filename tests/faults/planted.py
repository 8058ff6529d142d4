"""Bugs to plant: a harness that cannot fail proves nothing. Each is what somebody might write in good faith.

A bug is a text of a real module and what stands there instead, and where the database itself would refuse, the rule
that is dropped. A text that is not there any more fails the suite.
"""

from dataclasses import dataclass

from tests.mutants.operators import Change, changed

STEPS, DELIVERY = "billing.delivery_steps", "billing.delivery"
GUARD, CLIENT, TRANSPORT = (f"billing.stripe_gateway.{name}" for name in ("guard", "client", "transport"))
ACTIVATION, LINES, INVOICING = "billing.activation", "billing.line_items", "billing.invoicing"
EVENTS, CHECKPOINTS, OUTBOUND = "billing.stripe_events", "audit.checkpoints", "billing.stripe_gateway.outbound"

_LOCKED = "    try:\n        office = lock_office(office_id)\n    except OfficeBusy:\n        if _stands_active("
_KEY_OF_THE_STEP = "idempotency_key=step.idempotency_key, message=message"
_PATIENT = "__import__('patients.models').models.Patient.objects.order_by('pk').first().pk"


@dataclass(frozen=True)
class Bug:
    """One bug: its name, what it says, its changes of text, and the rules of the database that it drops."""

    name: str
    words: str
    changes: tuple[Change, ...]
    dropped: tuple[str, ...] = ()

    def sources(self) -> dict[str, str]:
        return changed(self.name, self.changes)


BUGS = (
    Bug(
        "no key",
        "requests carry no idempotency key",
        ((TRANSPORT, "        exchange.sent = True\n", '        exchange.sent = True\n        request.headers.pop("idempotency-key", None)\n'),),
    ),
    Bug("random key", "each try takes a key of its own", ((STEPS, _KEY_OF_THE_STEP, "idempotency_key=uuid.uuid4(), message=message"),)),
    Bug(
        "status before call",
        "the message is done before Stripe was called",
        (
            (DELIVERY, "    try:\n        _take(message, clock)\n", "    delivery_steps.release(message, status=MessageStatus.DONE, now=clock())\n    try:\n        _take(message, clock)\n"),
            (STEPS, "    if not ours.update(lease_expires_at=now + LEASE):", "    if False and ours:"),
        ),
    ),
    Bug(
        "no unique constraint",
        "once per cycle is left to the code, and an activation forgets the office lock",
        ((ACTIVATION, _LOCKED, _LOCKED.replace("lock_office(office_id)", "Office.objects.get(pk=office_id)")),),
        (
            "DROP INDEX line_item_patient_once_per_cycle",
            "DROP INDEX activity_period_one_open_per_patient",
            "ALTER TABLE patients_activityperiod DROP CONSTRAINT activity_period_starts_once",
            "ALTER TABLE patients_activityperiod DROP CONSTRAINT activity_period_never_overlaps",
        ),
    ),
    Bug(
        "no lease token",
        "whoever once had the lease may still write",
        (
            (STEPS, "filter(pk=message.pk, lease_token=message.lease_token).update(**changes)", "filter(pk=message.pk).update(**changes)"),
            (STEPS, "filter(pk=message.pk, lease_token=message.lease_token, status=MessageStatus.LEASED)", "filter(pk=message.pk)"),
            (STEPS, "    if not ours.update(lease_expires_at=now + LEASE):", "    if not ours.filter(status=MessageStatus.LEASED).update(lease_expires_at=now + LEASE) and False:"),
        ),
    ),
    Bug(
        "no freeze",
        "a closed invoice that was not sent yet still takes lines",
        (
            (LINES, "        & Q(invoices__closed_at__isnull=True)\n", ""),
            (ACTIVATION, "if cycle.closed_at is None and not cycle.is_backfilled:", "if not cycle.is_backfilled:"),
        ),
        tuple(f"DROP TRIGGER line_item_frozen_{event} ON billing_lineitem" for event in ("insert", "update", "delete")),
    ),
    Bug(
        "no look before resend",
        "what may have arrived is sent again without a look",
        ((STEPS, "    if step.first_sent_at is not None:\n        found = write.look(step)", "    if False:\n        found = write.look(step)"),),
    ),
    Bug(
        "lock order mixed",
        "an activation locks its audit stream first, then the office",
        (
            (
                ACTIVATION,
                _LOCKED,
                "    from audit.models import StreamHead\n"
                "    stream = office_stream(Office.objects.values_list('reference', flat=True).get(pk=office_id))\n"
                "    list(StreamHead.objects.select_for_update().filter(stream=stream))\n" + _LOCKED,
            ),
        ),
    ),
    Bug(
        "seal by last id",
        "a checkpoint seals the streams with entries above the last id it saw",
        (
            (
                CHECKPOINTS,
                "    return [(head, sealed.get(head.sealed)) for head in heads]",
                "    from audit.models import AuditEntry\n"
                "    digests = [row.digest for row in sealed.values()]\n"
                "    last = AuditEntry.objects.filter(digest__among=digests).order_by('-pk').values_list('pk', flat=True).first() or 0\n"
                "    fresh = set(AuditEntry.objects.filter(pk__gt=last).values_list('stream', flat=True))\n"
                "    for head in heads:\n"
                "        if head.stream not in fresh and head.sealed in sealed:\n"
                "            head.seq, head.digest = sealed[head.sealed].seq, sealed[head.sealed].digest\n"
                "    return [(head, sealed.get(head.sealed)) for head in heads if head.stream in fresh or head.sealed]",
            ),
        ),
    ),
    Bug(
        "event order by created",
        "an event that is not newer than the last one worked through is put away",
        (
            (
                EVENTS,
                "    return [event for event in claimed if event.livemode == live]",
                "    done = StripeEvent.objects.filter(status=EventStatus.DONE)\n"
                "    old = [e for e in claimed if done.filter(created__gte=e.created).exists()]\n"
                "    settle(old, EventStatus.DONE, now, summary)\n"
                "    return [event for event in claimed if event.livemode == live and event not in old]",
            ),
        ),
    ),
    Bug(
        "deadline ignored",
        "nobody looks at when a lease ends: what a dead worker held stays held",
        ((STEPS, "abandoned = Q(status=MessageStatus.LEASED, lease_expires_at__lte=now)", "abandoned = Q(pk__isnull=True)"),),
    ),
    Bug(
        "guard off",
        "the guard lets everything out, and an item says whose it is",
        (
            (GUARD, "        if refusal is not None:\n", "        if False:\n"),
            (OUTBOUND, '("description", self.text.description),', f'("description", self.text.description + str({_PATIENT})),'),
        ),
    ),
    Bug(
        "outbox after the commit",
        "the message is queued once the close has committed",
        (
            (
                INVOICING,
                "    _queue([invoice for invoice in closed if invoice.total_cents], items, actor=actor, now=now)\n",
                "    from django.db import transaction\n"
                "    def queue() -> None:\n"
                "        with transaction.atomic():\n"
                "            _queue([invoice for invoice in closed if invoice.total_cents], items, actor=actor, now=now)\n"
                "    transaction.on_commit(queue)\n",
            ),
        ),
    ),
    Bug(
        "news settled before it is applied",
        "an event is done before the invoice was fetched",
        ((EVENTS, "    by_object: dict[str, list[StripeEvent]] = defaultdict(list)\n", "    settle(claimed, EventStatus.DONE, clock(), summary)\n    by_object: dict[str, list[StripeEvent]] = defaultdict(list)\n"),),
    ),
)  # fmt: skip
