"""The measured process of `bench.reconciliation`: `seed INVOICES`, or `run` with STRIPE_API_BASE set to the lists."""

import json
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from bench.list_pages import CREATED, OFFICE_OF, QUANTITY, TOTAL, UNIT, own_id  # noqa: E402
from billing.customers import CUSTOMER_CONTEXT  # noqa: E402
from billing.documents import CustomerDocument, DocumentItem, InvoiceDocument, digest, to_text  # noqa: E402
from billing.models import (  # noqa: E402
    Discrepancy,
    Invoice,
    LineItem,
    MessageKind,
    MessageStatus,
    OutboxMessage,
    Payment,
    PaymentStatus,
)
from billing.reconciliation.run import reconcile  # noqa: E402
from offices.encryption import blind_index  # noqa: E402
from offices.models import Office, OfficeStripeAccount  # noqa: E402

AT = datetime.fromtimestamp(CREATED, UTC)
BATCH = 10_000


def main() -> None:
    if sys.argv[1] == "seed":
        call_command("migrate", verbosity=0)
        seed(int(sys.argv[2]))
        print("{}")
        return
    start = time.perf_counter()
    summary = reconcile(actor="bench", clock=lambda: AT + timedelta(days=10), repair=True)
    seconds = time.perf_counter() - start
    assert not summary.stopped, summary.stopped
    assert not Discrepancy.objects.exists(), "nothing differs here"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "invoices": summary.run.invoices_seen}))


def seed(invoices: int) -> None:
    """Write delivered and paid invoices, and the customers they were sent to."""
    for office in range(-(-invoices // OFFICE_OF)):
        _office(office)
    for start in range(0, invoices, BATCH):
        numbers = range(start, min(start + BATCH, invoices))
        Invoice.objects.bulk_create([_invoice(number) for number in numbers])
        for rows in (_line, _message, _payment):
            made = [rows(number) for number in numbers]
            type(made[0])._default_manager.bulk_create(made)
        # Lines are added to what is open only.
        closed = dict.fromkeys(("closed_at", "sent_at", "paid_at"), AT)
        Invoice.objects.filter(closed_at=None).update(status="paid", total_cents=TOTAL, **closed)


def _office(number: int) -> None:
    pk, customer_id = own_id(number, 2), f"cus_{number}"
    office = Office.objects.create(
        pk=pk, name="Clinic", billing_cycle_anchor_date=AT.date(), created_at=AT, opaque_name=f"Office {number}"
    )
    index = blind_index(customer_id, context=CUSTOMER_CONTEXT)
    OfficeStripeAccount.objects.create(
        office=office,
        customer_id=customer_id,
        customer_index=index.digest,
        customer_index_key=index.key_id,
        created_at=AT,
    )
    text = to_text(CustomerDocument(str(pk), f"Office {number}", "billing@vendor.example"))
    _sent(MessageKind.CUSTOMER, pk, text).save()


def _sent(kind: MessageKind, office: object, text: str, **more: object) -> OutboxMessage:
    times = {"next_attempt_at": AT, "created_at": AT, "done_at": AT}
    return OutboxMessage(
        kind=kind,
        office_id=office,
        payload=text,
        payload_digest=digest(text),
        status=MessageStatus.DONE,
        **times,
        **more,
    )


def _invoice(number: int) -> Invoice:
    return Invoice(
        pk=own_id(number, 1),
        office_id=own_id(number // OFFICE_OF, 2),
        invoice_type="one_off",
        currency="USD",
        collection_method="send_invoice",
        days_until_due=30,
        stripe_invoice_id=f"in_{number}",
        created_at=AT,
        updated_at=AT,
    )


def _line(number: int) -> LineItem:
    return LineItem(
        invoice_id=own_id(number, 1), item_type="one_off", quantity=QUANTITY, unit_price_cents=UNIT, created_at=AT
    )


def _message(number: int) -> OutboxMessage:
    office, pk = own_id(number // OFFICE_OF, 2), own_id(number, 1)
    items = (DocumentItem("one_off", UNIT, QUANTITY),)
    document = InvoiceDocument(
        str(pk), str(office), "one_off", None, "usd", "send_invoice", 30, items=items, total_cents=TOTAL
    )
    return _sent(MessageKind.INVOICE, office, to_text(document), invoice_id=pk)


def _payment(number: int) -> Payment:
    return Payment(
        invoice_id=own_id(number, 1),
        stripe_payment_id=f"inpay_{number}",
        payment_intent_id=f"pi_{number}",
        status=PaymentStatus.PAID,
        amount_requested_cents=TOTAL,
        amount_paid_cents=TOTAL,
        currency="USD",
        paid_at=AT,
        recorded_at=AT,
    )


if __name__ == "__main__":
    main()
