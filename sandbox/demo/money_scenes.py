"""Scenes about charges, delivery and payment: what goes wrong between us and Stripe, and how it comes right."""

from billing.charges import Charge, OfficeTrialing, SetupFeeAlreadyCharged, charge_office
from billing.models import ChargeReason, Invoice, InvoiceStatus, ParkedOffice, ParkingCode
from billing.staff_notes import NoteLooksLikePatientData
from billing.unparking import unpark_office
from offices.models import CollectionMethod
from sandbox.demo.patient_scenes import STAFF
from sandbox.demo.stage import Stage
from sandbox.stripe_standin import Fault, WebhookFault

DECLINED_OFFICE, PARKED_OFFICE = "clinic-016", "clinic-003"


def setup_fees(stage: Stage) -> None:
    """Two clinics are set up; each fee exists once, and none in a trial."""
    for reference in ("clinic-006", "clinic-023"):
        _charge(stage, reference, Charge(ChargeReason.SETUP_FEE))
    refused = 0
    for reference, reason in (("clinic-006", SetupFeeAlreadyCharged), ("clinic-015", OfficeTrialing)):
        try:
            _charge(stage, reference, Charge(ChargeReason.SETUP_FEE))
        except reason:
            refused += 1
    stage.tell("clinic-006 and clinic-023: setup fee 250.00 each; a second one, and one in a trial, are refused.")
    stage.expect("a second setup fee and one in a trial are refused", holds=refused == 2)


def one_off_with_a_note(stage: Stage) -> None:
    """Staff charge a training and write down for whom: a note that must stay here."""
    person = stage.people[0]
    note = f"For {person.first_name} {person.last_name}, born {person.date_of_birth}, {person.email}"
    refused = False
    try:
        _charge(stage, "clinic-009", Charge(ChargeReason.TRAINING, 12_500, note))
    except NoteLooksLikePatientData:
        refused = True
    why = "also works at the front desk"
    _charge(stage, "clinic-009", Charge(ChargeReason.TRAINING, 12_500, note, override_reason=why))
    stage.expect("a note that names a patient is refused without a reason", holds=refused)
    stage.tell("clinic-009: training 125.00; its note names a patient, is refused, then kept for a reason, encrypted.")


def final_one_off(stage: Stage) -> None:
    """A canceled office takes its data along."""
    _charge(stage, "clinic-013", Charge(ChargeReason.DATA_MIGRATION, 7_500))
    stage.tell("clinic-013: a final data export, 75.00.")


def total_differs(stage: Stage) -> None:
    """Stripe answers with another total than ours: nothing becomes payable, the office is parked."""
    stage.standin.script("GET /v1/invoices/{id}", [Fault.WRONG_TOTAL])
    stage.run(PARKED_OFFICE)
    stage.deliver()
    parked = ParkedOffice.objects.filter(office__reference=PARKED_OFFICE, code=ParkingCode.STRIPE_TOTAL_DIFFERS)
    payable = Invoice.objects.filter(office__reference=PARKED_OFFICE).exclude(status=InvoiceStatus.DRAFT)
    stage.tell(f"{PARKED_OFFICE}: Stripe names another total than ours; parked before it is payable (and in the log).")
    stage.expect(
        "a total that differs parks the office before the invoice is payable",
        holds=parked.exists() and not payable.exists(),
    )


def missed_month_is_caught_up(stage: Stage) -> None:
    """Somebody looked into it: the office goes on, with the months it missed."""
    office = stage.office(PARKED_OFFICE)
    unpark_office(office_id=office.pk, reason="Looked at both sides: equal", actor=STAFF, now=stage.now)
    caught_up = stage.run(PARKED_OFFICE).tally.counts["cycles_closed"]
    stage.deliver()
    stage.hear()
    closed = Invoice.objects.filter(office=office, closed_at__isnull=False).exclude(status=InvoiceStatus.DRAFT)
    stage.tell(f"{PARKED_OFFICE} is released: {caught_up} missed cycles are closed in order, 3 invoices sent.")
    stage.expect("missed months are caught up in order", holds=caught_up == 2 and closed.count() == 3)


def reply_is_lost(stage: Stage) -> None:
    """The connection breaks after Stripe has made the invoice: the next try looks before it sends."""
    stage.standin.script("POST /v1/invoices", [Fault.HANG_AFTER_COMMIT])
    stage.run()
    retries = stage.deliver().counts["retry_later"]
    stage.tell("A reply of Stripe is lost; the invoice is found by a look, not sent a second time.")
    stage.expect("a lost reply is tried again later", holds=retries == 1)


def card_breaks(stage: Stage) -> None:
    """The card on file of a clinic stops working."""
    stage.standin.dashboard.set_card("declined", stage.customer_of(DECLINED_OFFICE))
    stage.tell(f"{DECLINED_OFFICE}: its card will be declined from now on.")


def card_was_declined(stage: Stage) -> None:
    """Look at the clinic whose card was declined."""
    office = stage.office(DECLINED_OFFICE)
    failed = Invoice.objects.filter(office=office, status=InvoiceStatus.FAILED).count()
    stage.tell(f"{DECLINED_OFFICE}: card declined; the invoice is failed, the office past due.")
    stage.expect(
        "a declined card makes the invoice failed and the office past due",
        holds=failed == 1 and office.past_due_since is not None,
    )


def card_is_retried(stage: Stage) -> None:
    """A new card pays the invoice that had failed."""
    invoice = Invoice.objects.get(office__reference=DECLINED_OFFICE, status=InvoiceStatus.FAILED)
    stage.standin.dashboard.set_card("succeeds", stage.customer_of(DECLINED_OFFICE))
    stage.standin.dashboard.pay_invoice(str(invoice.stripe_invoice_id))
    stage.hear()
    invoice.refresh_from_db()
    stage.tell(f"{DECLINED_OFFICE}: paid with a new card; no longer past due.")
    stage.expect(
        "a retry that succeeds makes it paid and the office no longer past due",
        holds=invoice.status == InvoiceStatus.PAID and stage.office(DECLINED_OFFICE).past_due_since is None,
    )


def webhook_is_lost(stage: Stage) -> None:
    """A clinic pays, and Stripe's message about it never arrives."""
    stage.hear()
    sent = Invoice.objects.filter(status=InvoiceStatus.SENT, collection_method=CollectionMethod.SEND_INVOICE)
    stripe_id = str(sent.order_by("sent_at", "office__reference")[0].stripe_invoice_id)
    stage.standin.dashboard.pay_invoice(stripe_id)
    lost = stage.standin.courier.lose_waiting()
    stage.lost_invoices.add(stripe_id)
    stage.counts["webhooks_lost"] += lost
    stage.tell(f"An invoice is paid, and all {lost} webhooks about it are lost.")


def webhooks_out_of_order(stage: Stage) -> None:
    """Stripe delivers twice and in the wrong order, as it may."""
    stage.standin.script_webhooks("invoice.paid", [WebhookFault.DUPLICATED, WebhookFault.REORDERED])
    stage.standin.script_webhooks("invoice.updated", [WebhookFault.REORDERED, WebhookFault.DUPLICATED])
    stage.tell("Webhooks arrive twice and in the wrong order; the present state is fetched, so nothing changes.")


def invoice_is_voided(stage: Stage) -> None:
    """Staff void an invoice in Stripe's Dashboard: Stripe owns whether it is paid."""
    invoice = _charge(stage, "clinic-014", Charge(ChargeReason.CUSTOM_REPORT, 4_000))
    stage.deliver()
    invoice.refresh_from_db(fields=["stripe_invoice_id"])
    stage.standin.dashboard.void(str(invoice.stripe_invoice_id))
    stage.hear()
    invoice.refresh_from_db(fields=["status"])
    stage.tell("clinic-014: a one-off is voided in Stripe's Dashboard; it is canceled here.")
    stage.expect("an invoice voided at Stripe is canceled here", holds=invoice.status == InvoiceStatus.CANCELED)


def _charge(stage: Stage, reference: str, charge: Charge) -> Invoice:
    office = stage.office(reference)
    return charge_office(office_id=office.pk, charge=charge, actor=STAFF, now=stage.now)
