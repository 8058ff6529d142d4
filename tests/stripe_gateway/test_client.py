import hashlib
import json
import socket
import threading
import traceback
import uuid

import pytest
import requests

from billing.stripe_gateway import transport
from billing.stripe_gateway.client import StripeGateway
from billing.stripe_gateway.inbound import InvoiceState
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.rate_limit import RateLimitSaturated
from billing.stripe_gateway.refusal import OutboundRefused, RefusalReason
from billing.stripe_gateway.replies import (
    StripeRefused,
    StripeReplyUnusable,
    StripeResourceMissing,
    StripeUnavailable,
)
from tests.stripe_gateway.conftest import Answer, json_answer
from tests.stripe_gateway.samples import API_KEY, KEY, SAMPLES, Sample, sample

CARDHOLDER = "Jane Q. Cardholder"


def _call(gateway: StripeGateway, operation: Operation = Operation.RETRIEVE_CUSTOMER, key: uuid.UUID | None = None):
    one = sample(operation)
    write = one.request.encode().method == "POST"
    return gateway.call(one.request, expectation=one.expectation, idempotency_key=key or (KEY if write else None))


def _fails(gateway, kind, operation=Operation.RETRIEVE_CUSTOMER):
    with pytest.raises(kind) as caught:
        _call(gateway, operation)
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = f"{error!r} {error.args} {error.__dict__} {frames[2:]} {''.join(traceback.format_exception(error))}"
    assert CARDHOLDER not in text
    assert API_KEY not in text
    return error


def test_each_request_reaches_the_wire_and_its_reply_is_parsed(gateway, loopback, recorded):
    loopback.default = json_answer(recorded("response.Invoice.finalize_invoice.1"))
    for operation in (
        Operation.CREATE_INVOICE,
        Operation.RETRIEVE_INVOICE,
        Operation.FINALIZE_INVOICE,
        Operation.PAY_INVOICE,
        Operation.VOID_INVOICE,
    ):
        assert _call(gateway, operation).status is InvoiceState.OPEN
    loopback.default = json_answer(recorded("response.Invoice.list.3"))
    assert len(_call(gateway, Operation.LIST_INVOICES).items) == 1
    loopback.default = json_answer(recorded("response.Invoice.pay.1")["lines"])
    assert _call(gateway, Operation.LIST_INVOICE_LINES).items[0].quantity == 25
    loopback.default = json_answer(recorded("response.InvoiceItem.create.1"))
    assert _call(gateway, Operation.CREATE_INVOICE_ITEM).amount_cents == 100000
    loopback.default = json_answer(recorded("response.Customer.create.1"))
    assert _call(gateway, Operation.CREATE_CUSTOMER).has_email
    assert {seen.line.split(" ")[0] for seen in loopback.seen} == {"GET", "POST"}


def test_a_missing_expectation_is_refused_at_run_time(gateway, loopback):
    one = sample(Operation.RETRIEVE_CUSTOMER)
    with pytest.raises(OutboundRefused) as caught:
        gateway.call(one.request, expectation=None)
    assert caught.value.reason is RefusalReason.NO_EXPECTATION
    assert loopback.seen == []


@pytest.mark.parametrize("one", [s for s in SAMPLES if s.values], ids=lambda s: s.name)
def test_an_expectation_that_differs_stops_the_call(one: Sample, gateway, loopback, evidence):
    name = next(iter(one.values))
    wrong = type(one.expectation)(one.expectation.operation, {**one.values, name: "other"})
    key = KEY if one.request.encode().method == "POST" else None
    with pytest.raises(OutboundRefused) as caught:
        gateway.call(one.request, expectation=wrong, idempotency_key=key)
    assert caught.value.reason is RefusalReason.VALUE_NOT_EXPECTED
    assert caught.value.__context__ is None
    assert loopback.seen == []
    assert evidence == []


def test_a_write_without_a_key_and_a_read_with_one_are_refused(gateway, loopback):
    write, read = sample(Operation.PAY_INVOICE), sample(Operation.RETRIEVE_CUSTOMER)
    for one, key in ((write, None), (write, uuid.uuid1()), (read, KEY)):
        with pytest.raises(OutboundRefused) as caught:
            gateway.call(one.request, expectation=one.expectation, idempotency_key=key)
        assert caught.value.reason is RefusalReason.IDEMPOTENCY_KEY
    assert loopback.seen == []


def test_a_declined_card_is_a_code_and_never_the_cardholders_name(gateway, loopback):
    body = {
        "error": {
            "code": "card_declined",
            "decline_code": "generic_decline",
            "message": f"The card of {CARDHOLDER} was declined.",
            "type": "card_error",
            "param": CARDHOLDER,
            "payment_intent": {"id": "pi_1", "charges": [{"billing_details": {"name": CARDHOLDER}}]},
        }
    }
    loopback.answers = [json_answer(body, 402, Request_Id="req_1")]
    error = _fails(gateway, StripeRefused, Operation.PAY_INVOICE)
    assert (error.code, error.http_status) == ("card_declined", 402)


@pytest.mark.parametrize(
    ("status", "error", "kind", "code", "ambiguous"),
    [
        (400, {"type": "invalid_request_error", "code": "parameter_unknown"}, StripeRefused, "parameter_unknown", None),
        (400, {"type": "invalid_request_error"}, StripeRefused, "invalid_request_error", None),
        (400, {"type": "idempotency_error"}, StripeRefused, "idempotency_error", None),
        (400, {"type": "idempotency_error", "code": "other"}, StripeRefused, "idempotency_error", None),
        (400, {"code": CARDHOLDER}, StripeRefused, "unknown", None),
        (401, {"type": "invalid_request_error"}, StripeUnavailable, "not_authorized", False),
        (403, {"code": "platform_account_required"}, StripeUnavailable, "not_authorized", False),
        (404, {"code": "resource_missing"}, StripeResourceMissing, "resource_missing", None),
        (404, {"type": "invalid_request_error"}, StripeRefused, "invalid_request_error", None),
        (409, {"code": "idempotency_key_in_use"}, StripeUnavailable, "idempotency_key_in_use", True),
        (409, {}, StripeUnavailable, "conflict", True),
        (429, {"code": "rate_limit"}, StripeUnavailable, "rate_limited", False),
        (429, {"code": "lock_timeout"}, StripeUnavailable, "rate_limited", False),
        (400, {"code": "rate_limit"}, StripeUnavailable, "rate_limited", False),
        (500, {"type": "api_error"}, StripeUnavailable, "server_error", True),
        (503, {}, StripeUnavailable, "server_error", True),
        (304, {}, StripeReplyUnusable, "unexpected_status", True),
    ],
)
def test_each_failure_has_its_kind_and_code(status, error, kind, code, ambiguous, gateway, loopback):
    body = b"" if status == 304 else json.dumps({"error": {**error, "message": CARDHOLDER}}).encode()
    loopback.answers = [Answer(status, body)]
    found = _fails(gateway, kind, Operation.PAY_INVOICE)
    assert (type(found), found.code) == (kind, code)
    assert getattr(found, "ambiguous", None) is ambiguous


@pytest.mark.parametrize("status", [400, 402, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Jane Q. Cardholder</html>",
        b"[]",
        b"null",
        b'{"error": "x"}',
        b'{"error": []}',
        b"[" * 100_000,
        b"\xff",
    ],
    ids=range(8),
)
def test_an_error_reply_of_any_shape_still_becomes_one_of_ours(status, body, gateway, loopback):
    loopback.answers = [Answer(status, body)]
    _fails(gateway, (StripeRefused, StripeUnavailable), Operation.PAY_INVOICE)


def test_a_read_is_never_ambiguous(gateway, loopback):
    for answer in (Answer(500), Answer(409), Answer(hang_up=True)):
        loopback.answers = [answer]
        assert _fails(gateway, StripeUnavailable).ambiguous is False


def test_retry_after_is_passed_on_in_seconds(gateway, loopback):
    for header, seconds in (("7", 7), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 50, None)):
        loopback.answers = [Answer(429, b"{}", {"Retry-After": header, "Stripe-Should-Retry": "true"})]
        assert _fails(gateway, StripeUnavailable).retry_after == seconds
    assert len(loopback.seen) == 4  # and the SDK retried none of them


def test_a_connection_lost_after_sending_is_ambiguous_for_a_write(gateway, loopback, evidence):
    loopback.answers = [Answer(hang_up=True)]
    error = _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE)
    assert (error.code, error.ambiguous) == ("no_reply", True)
    assert (evidence[0].status, evidence[0].error_code) == (None, "no_reply")
    assert len(loopback.seen) == 1


def test_a_port_nobody_listens_on_is_not_ambiguous():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    gateway = StripeGateway(api_key=API_KEY, base_url=f"http://127.0.0.1:{port}", acquire=lambda: None)
    error = _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE)
    assert (error.code, error.ambiguous) == ("connect_failed", False)


def test_a_read_timeout_is_ambiguous(loopback, gateway, monkeypatch):
    monkeypatch.setattr(gateway._http._inner, "_timeout", (1, 0.1))
    loopback.answers = [Answer(delay=0.5)]
    assert _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE).ambiguous


def test_the_timeouts_are_five_and_thirty_seconds(gateway):
    assert gateway._http._inner._timeout == (5, 30)


def test_the_limiter_is_asked_before_each_request(loopback):
    order: list[str] = []
    gateway = StripeGateway(
        api_key=API_KEY,
        base_url=loopback.base,
        acquire=lambda: order.append("acquire"),
        on_request=lambda _: order.append("sent"),
    )
    _call(gateway)
    _call(gateway)
    assert order == ["acquire", "sent", "acquire", "sent"]


def test_a_full_schedule_is_unavailable_and_nothing_leaves(loopback):
    def saturated() -> None:
        raise RateLimitSaturated(30)

    gateway = StripeGateway(api_key=API_KEY, base_url=loopback.base, acquire=saturated)
    error = _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE)
    assert (error.code, error.ambiguous, error.retry_after) == ("rate_limited_here", False, 30)
    assert loopback.seen == []


def test_evidence_is_exactly_what_left(gateway, loopback, evidence):
    _call(gateway, Operation.CREATE_CUSTOMER)
    one, seen = evidence[0], loopback.seen[0]
    assert f"{one.method} {one.path} HTTP/1.1" == seen.line
    assert one.body.encode() == seen.body
    assert one.sha256 == hashlib.sha256(f"POST\n{one.path}\n{one.body}".encode()).hexdigest()
    assert (one.status, one.error_code, one.idempotency_key, one.replayed) == (200, None, KEY, False)
    loopback.answers = [json_answer({"object": "list", "data": [], "has_more": False}, Idempotent_Replayed="true")]
    _call(gateway, Operation.LIST_CUSTOMERS)
    assert loopback.seen[1].line == f"GET {evidence[1].path}?{evidence[1].query} HTTP/1.1"
    assert evidence[1].replayed
    assert len(evidence) == len(loopback.seen) == 2


def test_evidence_of_a_failure_holds_the_code(gateway, loopback, evidence):
    loopback.answers = [json_answer({"error": {"code": "card_declined", "message": CARDHOLDER}}, 402)]
    _fails(gateway, StripeRefused, Operation.PAY_INVOICE)
    assert (evidence[0].status, evidence[0].error_code) == (402, "card_declined")
    assert CARDHOLDER not in repr(evidence)


def test_fifty_threads_share_a_gateway_without_mixing_replies(gateway, loopback):
    errors: list[BaseException] = []

    def worker() -> None:
        try:
            for _ in range(10):
                assert _call(gateway).id.value == "cus_Q1"
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=worker) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(loopback.seen) == 500


def test_a_connect_timeout_never_reached_stripe():
    assert transport._never_connected(requests.exceptions.ConnectTimeout())
    assert not transport._never_connected(requests.exceptions.ReadTimeout())
    assert not transport._never_connected(requests.exceptions.ConnectionError("reset"))
