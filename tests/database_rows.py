"""One row of every table that has a rule, for the tests that break the rules one by one."""

import uuid
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model

from audit.checkpoints import make_checkpoint
from audit.models import AuditEntry, Checkpoint, SealedHead
from billing.charges import Charge, charge_office
from billing.models import (
    BillingCycle,
    BillingRun,
    ChargeReason,
    Correction,
    CreditNote,
    Discrepancy,
    Dispute,
    DroppedLine,
    EventReplay,
    IdempotentAnswer,
    Invoice,
    MonthClose,
    OfficeApiKey,
    OutboxMessage,
    ParkedOffice,
    Payment,
    PlatformApiKey,
    PlatformKeyOffice,
    ReconciliationRun,
    Refund,
    StripeEvent,
    StripeMoneyCopy,
)
from billing.models.incident import Incident
from billing.models.office_profile import OfficeProfile, ProfileRejection
from billing.models.staff import EmergencyOpening, StaffDevice
from offices.models import OfficeStripeAccount, PlanPrice, PriceOverride
from patients.identity import Identity, PatientIdentity
from patients.models import ActivityPeriod, Patient
from patients.reveal_grant import RevealGrant
from tests.billing.scenes import CLOSED_AT, OPENED_AT, close_month
from tests.builders import ACTOR
from tests.staff import give_device

NOW = CLOSED_AT


def again(row: Model, **changes: Any) -> None:
    """Insert the row a second time, with changes."""
    key = row._meta.pk
    copy = type(row)(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
    fresh = uuid.uuid4() if key.get_internal_type() == "UUIDField" and key.remote_field is None else None
    if key.attname not in changes:
        setattr(copy, key.attname, fresh)
    for name, value in changes.items():
        setattr(copy, name, value)
    copy.save(force_insert=True)


def change(row: Model, **changes: Any) -> None:
    """Update the row past every check in Python."""
    assert type(row)._base_manager.filter(pk=row.pk).update(**changes) == 1


class Rows:
    """An office with a closed month, an open one, and everything around them; made when asked for."""

    @cached_property
    def closed(self) -> Invoice:
        return close_month()

    @cached_property
    def open(self) -> Invoice:
        return Invoice.objects.get(office=self.office, closed_at__isnull=True)

    @property
    def office(self) -> Any:
        return self.closed.office

    @property
    def closed_cycle(self) -> BillingCycle:
        return self.closed.cycle

    @property
    def open_cycle(self) -> BillingCycle:
        return self.open.cycle

    @property
    def closed_line(self) -> Any:
        return self.closed.line_items.order_by("item_type").first()

    @property
    def open_line(self) -> Any:
        return self.open.line_items.order_by("pk").first()

    @cached_property
    def setup_fee(self) -> Invoice:
        charge = Charge(ChargeReason.SETUP_FEE, amount_cents=100)
        return charge_office(office_id=self.office.pk, charge=charge, actor=ACTOR, now=NOW)

    @property
    def invoice_message(self) -> OutboxMessage:
        return OutboxMessage.objects.get(invoice=self.closed)

    @property
    def customer_message(self) -> OutboxMessage:
        return OutboxMessage.objects.get(office=self.office, kind="customer")

    @cached_property
    def step(self) -> Any:
        return self.invoice_message.steps.create(position=0, operation="create_invoice")

    @cached_property
    def done_step(self) -> Any:
        values = {"operation": "create_customer", "first_sent_at": NOW, "done_at": NOW}
        return self.customer_message.steps.create(position=0, customer_id="cus_1", **values)

    @cached_property
    def request(self) -> Any:
        values = {"operation": "x", "method": "GET", "path": "/v1/x", "digest": "", "policy_version": "1"}
        return self.invoice_message.requests.create(sent_at=NOW, **values)

    @cached_property
    def payment(self) -> Payment:
        amounts = {"amount_requested_cents": 400, "amount_paid_cents": 0}
        values = {"stripe_payment_id": "inpay_1", "status": "open", "currency": "USD", "recorded_at": NOW}
        return Payment.objects.create(invoice=self.closed, **values, **amounts)

    @cached_property
    def offline_payment(self) -> Payment:
        amounts = {"amount_requested_cents": 400, "amount_paid_cents": 400}
        values = {"channel": "out_of_band", "status": "paid", "currency": "USD", "recorded_at": NOW}
        return Payment.objects.create(invoice=self.closed, **values, **amounts)

    @cached_property
    def refund(self) -> Refund:
        values = {"stripe_refund_id": "re_1", "status": "succeeded", "amount_cents": 200, "currency": "USD"}
        return Refund.objects.create(invoice=self.closed, refunded_at=NOW, recorded_at=NOW, **values)

    @cached_property
    def dispute(self) -> Dispute:
        values = {"stripe_dispute_id": "du_1", "status": "lost", "amount_cents": 200, "currency": "USD"}
        return Dispute.objects.create(invoice=self.closed, opened_at=NOW, recorded_at=NOW, **values)

    @cached_property
    def credit_note(self) -> CreditNote:
        amounts = {"amount_cents": 200, "before_payment_cents": 0, "out_of_band_cents": 0}
        values = {"stripe_credit_note_id": "cn_1", "status": "issued", "currency": "USD"}
        return CreditNote.objects.create(
            id=uuid.uuid4(), invoice=self.closed, issued_at=NOW, recorded_at=NOW, **values, **amounts
        )

    @cached_property
    def correction(self) -> Correction:
        values = {"kind": "credit", "reason": "goodwill", "amount_cents": 100, "invoice_version": 1}
        times = {"requested_at": NOW, "expires_at": NOW + timedelta(days=7)}
        return Correction.objects.create(invoice=self.closed, requested_by="ann", **values, **times)

    @cached_property
    def dropped_line(self) -> DroppedLine:
        return DroppedLine.objects.create(correction=self.correction, line_item=self.closed_line)

    @cached_property
    def month_close(self) -> MonthClose:
        values = {"first_signed_by": "ann", "first_signed_at": NOW, "signed": "{}"}
        return MonthClose.objects.create(key=self.closed_cycle.key, **values)

    @cached_property
    def reconciliation_run(self) -> ReconciliationRun:
        window = {"window_from": OPENED_AT, "window_until": NOW}
        return ReconciliationRun.objects.create(actor=ACTOR, started_at=NOW, **window)

    @cached_property
    def money_copy(self) -> StripeMoneyCopy:
        values = {"stripe_id": "re_1", "kind": "refund", "amount_cents": 100, "seen_at": NOW}
        return StripeMoneyCopy.objects.create(run=self.reconciliation_run, **values)

    @cached_property
    def discrepancy(self) -> Discrepancy:
        times = {"found_at": NOW, "last_seen_at": NOW}
        values = {"kind": "total", "subject": "invoice:1", "repair": "look"}
        return Discrepancy.objects.create(run=self.reconciliation_run, **times, **values)

    @cached_property
    def replay(self) -> EventReplay:
        window = {"window_from": OPENED_AT, "window_until": NOW}
        return EventReplay.objects.create(actor=ACTOR, started_at=NOW, **window)

    @cached_property
    def event(self) -> StripeEvent:
        values = {"event_type": "x.y", "object_id": "in_1", "api_version": "", "livemode": False, "digest": ""}
        times = dict.fromkeys(("created", "received_at", "next_attempt_at"), NOW)
        return StripeEvent.objects.create(event_id="evt_1", **values, **times)

    @cached_property
    def run(self) -> BillingRun:
        return BillingRun.objects.create(as_of=NOW, actor=ACTOR, started_at=NOW)

    @cached_property
    def parking(self) -> ParkedOffice:
        return ParkedOffice.objects.create(office=self.office, code="unexpected_error", parked_at=NOW)

    @cached_property
    def profile(self) -> OfficeProfile:
        return OfficeProfile.objects.create(office=self.office, name="North", approved_by=ACTOR, approved_at=NOW)

    @cached_property
    def rejection(self) -> ProfileRejection:
        return ProfileRejection.objects.create(office=self.office, reason="x", rejected_by=ACTOR, rejected_at=NOW)

    @cached_property
    def incident(self) -> Incident:
        words = {"policy_version": "1", "reason": "x", "call_site": "x", "actor": ACTOR}
        return Incident.objects.create(id=uuid.uuid4(), at=NOW, **words)

    @cached_property
    def api_key(self) -> OfficeApiKey:
        return OfficeApiKey.objects.create_key(name="portal", office=self.office, scopes="invoices:read")[0]

    @cached_property
    def platform_key(self) -> PlatformApiKey:
        return PlatformApiKey.objects.create_key(name="platform", scopes="invoices:read")[0]

    @cached_property
    def key_office(self) -> PlatformKeyOffice:
        return PlatformKeyOffice.objects.create(platform_key=self.platform_key, office=self.office)

    @cached_property
    def answer(self) -> IdempotentAnswer:
        words = {"credential": "api-key:x", "key_digest": "k", "request_digest": "r", "body": "{}"}
        return IdempotentAnswer.objects.create(status_code=201, created_at=NOW, **words)

    @cached_property
    def override(self) -> PriceOverride:
        days = {"starts_on": OPENED_AT.date(), "ends_on": NOW.date()}
        return self.office.price_overrides.create(unit_price_cents=100, reason="pilot", created_at=NOW, **days)

    @cached_property
    def price(self) -> PlanPrice:
        return PlanPrice.objects.first()

    @cached_property
    def account(self) -> OfficeStripeAccount:
        indexes = {"customer_index": "c", "customer_index_key": "k", "subscription_index": "s"}
        return OfficeStripeAccount.objects.create(office=self.office, customer_id="cus_1", created_at=NOW, **indexes)

    @cached_property
    def patient(self) -> Patient:
        return Patient.objects.create(office=self.office, created_at=NOW)

    @cached_property
    def period(self) -> ActivityPeriod:
        """Ended, an hour long."""
        times = {"activated_at": OPENED_AT, "deactivated_at": OPENED_AT + timedelta(hours=1)}
        return ActivityPeriod.objects.create(patient=self.patient, office=self.office, **times)

    @cached_property
    def open_period(self) -> ActivityPeriod:
        after = self.period.deactivated_at
        return ActivityPeriod.objects.create(patient=self.patient, office=self.office, activated_at=after)

    @cached_property
    def identity(self) -> PatientIdentity:
        who = Identity("MRN-1", "Ada", "Lovelace", None, "", "")
        row = PatientIdentity.seal(patient_id=self.patient.pk, office_id=self.office.pk, identity=who)
        row.save()
        return row

    @cached_property
    def grant(self) -> RevealGrant:
        times = {"granted_at": NOW, "expires_at": NOW + timedelta(minutes=15)}
        return RevealGrant.objects.create(patient=self.patient, actor=ACTOR, reason="a call", **times)

    @property
    def entry(self) -> AuditEntry:
        assert self.closed
        return AuditEntry.objects.order_by("pk").first()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        assert self.closed
        return make_checkpoint(now=NOW).checkpoint

    @cached_property
    def sealed_head(self) -> SealedHead:
        return self.checkpoint.heads.first()

    @cached_property
    def device(self) -> StaffDevice:
        return give_device(User.objects.create_user("jo"))

    @cached_property
    def opening(self) -> EmergencyOpening:
        return EmergencyOpening.objects.create(
            person="jo", reason="ill", opened_at=NOW, ends_at=NOW + timedelta(hours=1)
        )
