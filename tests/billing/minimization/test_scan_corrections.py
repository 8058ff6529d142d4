"""`scan_outbound` knows corrections: the very requests pass, before and after delivery, and no variant does."""

from uuid import uuid4

import pytest

from billing.minimization.outbound_scan import judge, scanner
from billing.models import Correction, CorrectionKind, CorrectionStatus, OutboundRequest, OutboxStep
from tests.billing.correction_scenes import States, ask, corrected, paid_back, wish
from tests.billing.minimization.test_scan_outbound import candidate
from tests.billing.scenes import CLOSED_AT, SharedClock
from tests.tampering import lift_rules

pytestmark = pytest.mark.django_db

K = CorrectionKind
WRITES = {
    K.CANCEL: "/void",
    K.REPLACE: "/void",
    K.CREDIT: "/v1/credit_notes",
    K.WRITE_OFF: "/mark_uncollectible",
    K.OFFLINE_PAYMENT: "/pay",
    K.RETRY: "/pay",
}


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def states(stripe, clock):
    return States(stripe, clock)


def write_of(stripe, kind):
    return next(raw for raw in stripe.requests if raw.method == "POST" and raw.target.endswith(WRITES[kind]))


def reason(request) -> str:
    return judge(request, scanner()).reason


@pytest.mark.parametrize("kind", K)
def test_every_request_of_a_correction_is_allowed_and_stays_allowed(stripe, states, clock, kind):
    invoice = states.failed() if kind == K.RETRY else states.sent()
    stripe.forget_requests()
    corrected(invoice, kind, clock)

    assert write_of(stripe, kind)
    assert {reason(candidate(raw)) for raw in stripe.requests} == {"allowed"}


@pytest.mark.parametrize("kind", K)
def test_the_same_write_on_an_invoice_nobody_decided_about_is_refused(stripe, states, clock, kind):
    other = states.sent()
    invoice = states.failed() if kind == K.RETRY else states.sent()
    corrected(invoice, kind, clock)
    honest = candidate(write_of(stripe, kind))
    forged = honest | {"path": honest["path"].replace(invoice.stripe_invoice_id, other.stripe_invoice_id)}
    if kind == K.CREDIT:
        forged = candidate(write_of(stripe, kind), params={"invoice": other.stripe_invoice_id})
    assert reason(honest) == "allowed"
    assert reason(forged) in {"not_in_the_ledger", "value_not_expected"}


@pytest.mark.parametrize("kind", [kind for kind in K if kind != K.RETRY])
def test_a_correction_that_only_one_person_wants_may_not_leave(stripe, states, clock, kind):
    """Approved, the same bytes are allowed; their key is stored, so that only the decision makes the difference."""
    invoice = states.sent()
    corrected(invoice, kind, clock)
    honest = candidate(write_of(stripe, kind))
    # What has left once is allowed again byte for byte: as if it had not left yet.
    lift_rules("billing_outboundrequest")
    OutboundRequest.objects.all().delete()
    for undecided in (CorrectionStatus.REQUESTED, CorrectionStatus.REJECTED, CorrectionStatus.EXPIRED):
        Correction.objects.filter(invoice=invoice).update(status=undecided)
        assert reason(honest) == "not_in_the_ledger"
    Correction.objects.filter(invoice=invoice).update(status=CorrectionStatus.APPROVED)
    assert reason(honest) == "allowed"


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "151", "refund_amount": "151"},
        {"amount": "400", "refund_amount": "400"},
        {"refund_amount": "149"},
        {"out_of_band_amount": "150"},
        {"reason": "fraudulent"},
        {"metadata[credit_note_id]": str(uuid4())},
        {"invoice": "in_ofSomebodyElse"},
        {"memo": "for Ann Lee"},
        {"credit_amount": "150"},
    ],
)
def test_a_variant_of_a_credit_note_is_refused(stripe, states, clock, change):
    corrected(states.paid(), paid_back(amount=150), clock)
    raw = write_of(stripe, K.CREDIT)
    assert reason(candidate(raw)) == "allowed"
    assert reason(candidate(raw, params=change)) != "allowed"


def test_the_money_of_one_way_does_not_go_the_other(stripe, states, clock):
    """A payment out of band is none by the method on file, and the other way round."""
    corrected(states.sent(), wish(K.OFFLINE_PAYMENT), clock)
    raw = write_of(stripe, K.OFFLINE_PAYMENT)
    honest = candidate(raw)
    assert reason(honest | {"params": {}, "headers": {}}) == "not_in_the_ledger"


def test_a_key_of_another_write_is_refused(stripe, states, clock):
    corrected(states.sent(), wish(K.CANCEL), clock)
    honest = candidate(write_of(stripe, K.CANCEL))
    other = str(OutboxStep.objects.exclude(operation="void_invoice").first().idempotency_key)
    for key in (other, str(uuid4())):
        headers = {name: value for name, value in honest["headers"].items() if name.lower() != "idempotency-key"}
        assert reason(honest | {"headers": headers, "idempotency_key": key}) == "idempotency_key"


def test_a_request_of_a_correction_that_was_never_approved_is_unknown(stripe, states, clock):
    invoice = states.sent()
    ask(invoice, K.CANCEL, now=clock.at)
    request = {"method": "POST", "path": f"/v1/invoices/{invoice.stripe_invoice_id}/void", "params": {}}
    assert reason(request | {"idempotency_key": str(uuid4())}) == "not_in_the_ledger"


@pytest.mark.parametrize("kind", [K.WRITE_OFF, K.OFFLINE_PAYMENT])
def test_another_correction_is_no_credit_note(stripe, states, clock, kind):
    invoice = states.sent()
    corrected(invoice, kind, clock)
    params = {
        "invoice": invoice.stripe_invoice_id,
        "amount": "150",
        "reason": "duplicate",
        "metadata[credit_note_id]": str(invoice.corrections.get().pk),
    }
    request = {"method": "POST", "path": "/v1/credit_notes", "params": params, "idempotency_key": str(uuid4())}
    assert reason(request) == "not_in_the_ledger"
