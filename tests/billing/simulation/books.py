"""Our money and Stripe's, read side by side: nothing of the product's own comparison is used here."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Sum

from billing.models import CreditNote, Dispute, Invoice, Payment, Refund
from billing.payment_state import money_of
from sandbox.stripe_standin import StripeStandIn

STATUS_OF = {"draft": "draft", "paid": "paid", "void": "canceled", "uncollectible": "failed"}


def differences(stripe: StripeStandIn) -> list[str]:
    """Say where our books are not Stripe's."""
    ours = {str(invoice.pk): invoice for invoice in Invoice.objects.filter(closed_at__isnull=False, total_cents__gt=0)}
    theirs = {row["metadata"]["invoice_id"]: row for row in stripe.objects("invoice")}
    if ours.keys() != theirs.keys():
        return [f"we closed {sorted(ours)}, Stripe holds {sorted(theirs)}"]
    money = money_of(ours.values())
    found = []
    for key, row in theirs.items():
        here, there = _here(ours[key], money[ours[key].pk]), _there(stripe, row)
        found += [
            f"{row['id']} {name}: {here[name]} here, {there[name]} there" for name in here if here[name] != there[name]
        ]
    return found


def _here(invoice: Invoice, money: Any) -> dict[str, Any]:
    payments = Payment.objects.filter(invoice=invoice)
    return {
        "status": invoice.status,
        "attempts": invoice.attempt_count,
        "paid": payments.filter(status="paid").aggregate(sum=Sum("amount_paid_cents"))["sum"] or 0,
        "overpaid": invoice.overpaid_cents,
        "credited": money.credited,
        "written off": money.written_off,
        "processing": payments.filter(processing=True).exists(),
        "payments": set(
            payments.filter(channel="stripe").values_list("stripe_payment_id", "status", "amount_paid_cents")
        ),
        "refunds": set(
            Refund.objects.filter(invoice=invoice).values_list("stripe_refund_id", "status", "amount_cents")
        ),
        "disputes": set(
            Dispute.objects.filter(invoice=invoice).values_list("stripe_dispute_id", "status", "amount_cents")
        ),
        "credit notes": set(
            CreditNote.objects.filter(invoice=invoice).values_list("stripe_credit_note_id", "status", "amount_cents")
        ),
    }


def _there(stripe: StripeStandIn, row: dict[str, Any]) -> dict[str, Any]:
    payments = [each for each in stripe.objects("invoice_payment") if each["invoice"] == row["id"]]
    intents = {each["payment"]["payment_intent"] for each in payments}
    open_status = "failed" if row["attempt_count"] else "sent"
    waits = {each["id"] for each in stripe.objects("payment_intent") if each["status"] == "processing"}
    return {
        "status": STATUS_OF.get(row["status"], open_status),
        "attempts": row["attempt_count"],
        "paid": row["amount_paid"],
        "overpaid": row["amount_overpaid"],
        "credited": row["pre_payment_credit_notes_amount"],
        "written off": row["status"] == "uncollectible",
        "processing": any(each["status"] == "open" and each["payment"]["payment_intent"] in waits for each in payments),
        "payments": {(each["id"], each["status"], each["amount_paid"] or 0) for each in payments},
        "refunds": set(_of(stripe, "refund", intents)),
        "disputes": set(_of(stripe, "dispute", intents)),
        "credit notes": {
            (each["id"], each["status"], each["amount"])
            for each in stripe.objects("credit_note")
            if each["invoice"] == row["id"]
        },
    }


def _of(stripe: StripeStandIn, kind: str, intents: set[str]) -> Iterator[tuple[str, str, int]]:
    for each in stripe.objects(kind):
        if each["payment_intent"] in intents:
            yield each["id"], each["status"], each["amount"]
