"""The comparison decides on plain values: a difference is its own kind, and what explains another one is told alone."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import DiscrepancyKind as Kind
from billing.models import InvoiceStatus, RepairKind
from billing.reconciliation.compare import compare
from billing.reconciliation.compare_lines import what_differs
from billing.reconciliation.compare_money import target_of
from billing.reconciliation.sides import Line, Money, Ours, Theirs

ID, OFFICE = UUID(int=1, version=4), UUID(int=2, version=4)
LINES = (Line("active_patient", 200, 3, 600), Line("patient_activation", 200, 1, 200))
OURS = Ours(
    id=ID, office_id=OFFICE, month="2026-03", cycle_key="2026-03", kind="monthly", status="sent", total_cents=800,
    currency="USD", stripe_id="in_1", customer_index="c1", lines=LINES,
)  # fmt: skip
THEIRS = Theirs(
    id="in_1", own_invoice_id=ID, own_cycle_key="2026-03", own_kind="monthly", customer_index="c1", status="open",
    currency="USD", total_cents=800, paid_cents=0, overpaid_cents=0, attempt_count=0, lines=LINES,
)  # fmt: skip
PAID_HERE = replace(OURS, status="paid", money=Money(payments={"inpay_1": 800}))
PAID_THERE = replace(THEIRS, status="paid", paid_cents=800, money=Money(payments={"inpay_1": 800}))


def kinds(ours, theirs) -> list[str]:
    return [finding.kind for finding in compare(ours, theirs)]


def test_two_sides_that_say_the_same_do_not_differ():
    assert kinds(OURS, THEIRS) == []
    assert kinds(PAID_HERE, PAID_THERE) == []


@pytest.mark.parametrize(
    ("here", "there", "kind", "repair"),
    [
        ("draft", "open", Kind.SENT_THERE, RepairKind.PULL),
        ("draft", "paid", Kind.PAID_THERE, RepairKind.PULL),
        ("draft", "void", Kind.CANCELED_THERE, RepairKind.PULL),
        ("draft", "uncollectible", Kind.WRITTEN_OFF_THERE, RepairKind.PULL),
        ("draft", "draft", Kind.STUCK_DRAFT, RepairKind.SEND),
        ("sent", "paid", Kind.PAID_THERE, RepairKind.PULL),
        ("sent", "void", Kind.CANCELED_THERE, RepairKind.PULL),
        ("sent", "uncollectible", Kind.WRITTEN_OFF_THERE, RepairKind.PULL),
        ("sent", "draft", Kind.STUCK_DRAFT, RepairKind.SEND),
        ("failed", "open", Kind.SENT_THERE, RepairKind.PULL),
        ("failed", "paid", Kind.PAID_THERE, RepairKind.PULL),
        ("failed", "void", Kind.CANCELED_THERE, RepairKind.PULL),
        ("failed", "uncollectible", Kind.WRITTEN_OFF_THERE, RepairKind.PULL),
        ("paid", "open", Kind.PAID_HERE, RepairKind.LOOK),
        ("paid", "uncollectible", Kind.PAID_HERE, RepairKind.LOOK),
        ("paid", "void", Kind.CANCELED_THERE, RepairKind.LOOK),
        ("paid", "draft", Kind.STUCK_DRAFT, RepairKind.SEND),
        ("canceled", "open", Kind.CANCELED_HERE, RepairKind.CANCEL),
        ("canceled", "uncollectible", Kind.CANCELED_HERE, RepairKind.CANCEL),
        ("canceled", "draft", Kind.CANCELED_HERE, RepairKind.CANCEL),
        ("canceled", "paid", Kind.PAID_AFTER_CANCEL, RepairKind.CREDIT),
        ("canceled", "void", None, None),
        ("sent", "open", None, None),
        ("paid", "paid", None, None),
    ],
)
def test_every_pair_of_states_is_one_kind_or_none(here, there, kind, repair):
    theirs = replace(PAID_THERE if there == "paid" else THEIRS, status=there)
    found = compare(replace(PAID_HERE if here == "paid" else OURS, status=here), theirs)
    if here == "paid" and there in {"open", "uncollectible"}:
        found = found[:1]
    assert [(each.kind, each.repair) for each in found] == ([(kind, repair)] if kind else [])


def test_a_failed_attempt_there_is_told_unless_it_failed_here_too():
    failed = replace(THEIRS, attempt_count=1)
    assert kinds(OURS, failed) == [Kind.FAILED_THERE]
    assert kinds(replace(OURS, status="failed"), failed) == []


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (replace(THEIRS, own_invoice_id=None), Kind.METADATA_CHANGED),
        (replace(THEIRS, own_cycle_key="2026-02"), Kind.METADATA_CHANGED),
        (replace(THEIRS, foreign_fields=("metadata",)), Kind.METADATA_CHANGED),
        (replace(THEIRS, customer_index="c2"), Kind.CUSTOMER),
        (replace(THEIRS, foreign_fields=("description", "footer")), Kind.TEXT_CHANGED),
        (replace(THEIRS, currency="EUR", total_cents=1, lines=()), Kind.CURRENCY),
        (replace(THEIRS, unreadable_field="currency"), Kind.CURRENCY),
        (replace(THEIRS, unreadable_field="customer"), Kind.CUSTOMER),
        (replace(THEIRS, unreadable_field="attempted"), Kind.TEXT_CHANGED),
        (replace(THEIRS, total_cents=801), Kind.TOTAL),
        (replace(THEIRS, lines=LINES[:1], total_cents=600), Kind.LINE_COUNT),
        (replace(THEIRS, finalization_failed=True), Kind.FINALIZATION_FAILED),
        (replace(THEIRS, overpaid_cents=5), Kind.OVERPAID),
        (replace(THEIRS, paid_cents=100, money=Money(payments={"inpay_1": 100})), Kind.UNDERPAID),
        (replace(THEIRS, status="paid", paid_cents=800), Kind.OUT_OF_BAND_PAYMENT),
        (replace(PAID_THERE, money=Money({"inpay_1": 800}, {"re_1": ("succeeded", 800)})), Kind.REFUND),
        (replace(PAID_THERE, money=Money({"inpay_1": 800}, {"re_1": ("succeeded", 8)})), Kind.PARTIAL_REFUND),
        (replace(PAID_THERE, money=Money({"inpay_1": 800}, disputes={"dp_1": ("lost", 800)})), Kind.DISPUTE),
        (replace(THEIRS, status="paid", money=Money(credit_notes={"cn_1": ("issued", 800)})), Kind.CREDIT_NOTE),
    ],
)
def test_one_difference_is_told_once(theirs, kind):
    assert kinds(OURS, theirs) == [kind]


def test_a_total_that_differs_keeps_the_money_from_being_pulled():
    found = {each.kind: each.repair for each in compare(OURS, replace(PAID_THERE, total_cents=900))}
    assert found == {Kind.TOTAL: RepairKind.REPLACE, Kind.PAID_THERE: RepairKind.LOOK}


def test_late_news_explain_what_is_not_known_yet():
    assert kinds(replace(OURS, is_late=True), PAID_THERE) == [Kind.LATE_EVENT]


def test_what_is_being_delivered_is_left_alone():
    waiting = replace(OURS, status="draft", stripe_id=None, is_waiting=True)
    assert kinds(waiting, None) == []
    assert kinds(waiting, replace(THEIRS, status="draft", lines=(), total_cents=0, is_old=False)) == []
    assert kinds(waiting, replace(THEIRS, status="draft", is_old=True)) == [Kind.STUCK_DRAFT]


@pytest.mark.parametrize(
    ("mine", "yours", "repair"),
    [
        ({"re_1": ("succeeded", 8)}, {}, RepairKind.LOOK),
        ({"re_1": ("succeeded", 8)}, {"re_1": ("succeeded", 9)}, RepairKind.LOOK),
        ({"re_1": ("failed", 8)}, {"re_1": ("succeeded", 8)}, RepairKind.LOOK),
        ({"re_1": ("pending", 8)}, {"re_1": ("succeeded", 8)}, RepairKind.PULL),
        ({}, {"re_1": ("succeeded", 8)}, RepairKind.PULL),
    ],
)
def test_only_what_stripes_news_can_explain_is_pulled(mine, yours, repair):
    paid = {"inpay_1": 800}
    found = compare(replace(PAID_HERE, money=Money(paid, mine)), replace(PAID_THERE, money=Money(paid, yours)))
    assert [(each.kind, each.repair) for each in found] == [(Kind.PARTIAL_REFUND, repair)]


def test_a_payment_after_cancellation_that_went_back_is_no_difference():
    back = Money({"inpay_1": 800}, {"re_1": ("succeeded", 800)})
    assert kinds(replace(PAID_HERE, status="canceled", money=back), replace(PAID_THERE, money=back)) == []


def test_no_evidence_holds_a_text():
    for finding in compare(OURS, replace(THEIRS, foreign_fields=("footer",), foreign_codes=("known_patient",))):
        assert finding.theirs == {"fields": ["footer"], "codes": ["known_patient"]}


line = st.builds(
    lambda kind, price, number: Line(kind, price, number, price * number),
    st.sampled_from(["active_patient", "patient_activation", "adjustment"]),
    st.integers(-500, 500),
    st.integers(1, 500),
)


@given(st.lists(line, max_size=6), st.randoms())
def test_lines_are_the_same_in_any_order(lines, rng):
    shuffled = lines.copy()
    rng.shuffle(shuffled)
    assert what_differs(lines, shuffled) is None
    nameless = [replace(each, item_type=None) for each in shuffled]
    assert what_differs(lines, nameless) is None


@given(st.lists(line, min_size=1, max_size=6), st.integers(1, 50), st.data())
def test_a_line_that_differs_is_told_as_what_differs(lines, more, data):
    place = data.draw(st.integers(0, len(lines) - 1))
    mine = lines[place]
    for changed, kind in (
        (replace(mine, unit_price_cents=10_000 + more), Kind.LINE_PRICE),
        (replace(mine, quantity=10_000 + more), Kind.LINE_QUANTITY),
        (replace(mine, unit_price_cents=None), Kind.LINE_PRICE),
        (replace(mine, quantity=None), Kind.LINE_QUANTITY),
        (replace(mine, amount_cents=mine.amount_cents + more), Kind.LINE_PRICE),
    ):
        theirs = [*lines[:place], changed, *lines[place + 1 :]]
        assert what_differs(lines, theirs) == kind, changed
    assert what_differs(lines, [*lines, mine]) == Kind.LINE_COUNT
    assert what_differs(lines, [*lines[:place], *lines[place + 1 :]]) == Kind.LINE_COUNT


money = st.dictionaries(
    st.sampled_from(["re_1", "re_2"]), st.tuples(st.sampled_from(["succeeded", "failed"]), st.integers(1, 900))
)
theirs_of = st.builds(
    lambda status, paid, attempts, refunds, over: replace(
        THEIRS,
        status=status,
        paid_cents=paid,
        attempt_count=attempts,
        overpaid_cents=over,
        money=Money({"inpay_1": paid} if paid else {}, refunds),
    ),
    st.sampled_from(["draft", "open", "paid", "void", "uncollectible"]),
    st.integers(0, 800),
    st.integers(0, 3),
    money,
    st.integers(0, 50),
)


@given(st.sampled_from(list(InvoiceStatus)), theirs_of, money)
def test_of_the_money_at_most_one_difference_is_told(status, theirs, refunds):
    ours = replace(OURS, status=status, money=Money(refunds=refunds))
    found = compare(ours, theirs)
    assert len(found) <= 1
    assert all(each.subject == f"invoice:{ID}" and each.cycle_key == "2026-03" for each in found)


@given(theirs_of)
def test_what_was_taken_over_completely_does_not_differ_any_more(theirs):
    """The law of the second repair: books that equal Stripe's yield nothing that could be pulled."""
    target = target_of(theirs)
    if target is None:
        return
    ours = replace(
        OURS,
        status=target,
        is_written_off=theirs.status == "uncollectible",
        overpaid_cents=theirs.overpaid_cents,
        out_of_band_cents=theirs.out_of_band_cents,
        money=theirs.money,
    )
    assert compare(ours, theirs) == ()
