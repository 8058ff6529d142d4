"""docs/reconciliation.md tells every kind, what is proposed and who may do it, and its example comes out."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from billing.models import (
    CreditNote,
    DiscrepancyKind,
    Invoice,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    RepairKind,
)
from billing.reconciliation.balance import balances
from billing.reconciliation.repair import CORRECTION_OF, needs_two_people
from tests.builders import make_office

PAGE = Path(__file__).parents[3] / "docs" / "reconciliation.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\| `.*$", TEXT, re.MULTILINE)]


def test_every_kind_is_told_once():
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(DiscrepancyKind)


def test_what_moves_or_forgives_money_needs_two_people():
    for kind, _means, _why, proposed, who in ROWS:
        moves = any(word in proposed.split()[0] for word in ("cancel", "replace", "credit"))
        assert (who == "two") == moves, kind
        assert ("nobody" in who) == proposed.startswith("pull"), kind
    assert {repair for repair in RepairKind if needs_two_people(repair)} == set(CORRECTION_OF)


@pytest.mark.django_db
def test_the_worked_example_comes_out():
    (block,) = re.findall(r"^```balance\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    *acts, result = block.strip().splitlines()
    at = datetime(2026, 3, 20, tzinfo=UTC)
    cents = {name: int(number) for name, number in (act.split() for act in acts)}
    invoice = Invoice.objects.create(
        office=make_office(), invoice_type="one_off", status="sent", currency="USD", total_cents=cents["billed"],
        created_at=at, updated_at=at, closed_at=at, sent_at=at,
    )  # fmt: skip
    Payment.objects.create(
        invoice=invoice, stripe_payment_id="inpay_1", status=PaymentStatus.PAID, amount_requested_cents=cents["paid"],
        amount_paid_cents=cents["paid"], currency="USD", paid_at=at, recorded_at=at,
    )  # fmt: skip
    Refund.objects.create(
        invoice=invoice, stripe_refund_id="re_1", status=RefundStatus.SUCCEEDED, amount_cents=cents["refunded"],
        currency="USD", refunded_at=at, recorded_at=at,
    )  # fmt: skip
    CreditNote.objects.create(
        id=uuid4(), invoice=invoice, stripe_credit_note_id="cn_1", status="issued", amount_cents=cents["credited"],
        before_payment_cents=cents["credited"], out_of_band_cents=0, currency="USD", issued_at=at, recorded_at=at,
    )  # fmt: skip

    (month,) = balances()

    told = {name.replace(" ", "_"): int(number) for name, number in re.findall(r"([a-z][a-z ]*) (\d+)", result)}
    mine = {name: getattr(month.ours, name) for name in told}
    assert (month.month, mine) == ("2026-03", told)
