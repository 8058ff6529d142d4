import json
import traceback
import uuid

import pytest

from billing.stripe_gateway import transport
from billing.stripe_gateway.client import StripeGateway
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.replies import (
    StripeReplyUnusable,
    StripeUnavailable,
)
from tests.stripe_gateway.conftest import CUSTOMER, Answer, json_answer
from tests.stripe_gateway.samples import API_KEY, KEY, sample

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


def test_a_reply_that_breaks_off_is_ambiguous(gateway, loopback):
    for raw in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"nonsense\r\n\r\n",
    ):
        loopback.answers = [Answer(raw=raw)]
        assert _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE).ambiguous


def test_a_reply_that_drips_is_cut_off(loopback, gateway, monkeypatch):
    monkeypatch.setattr(transport, "_LONGEST_REPLY_SECONDS", -1.0)
    assert _fails(gateway, StripeUnavailable, Operation.PAY_INVOICE).ambiguous


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[" * 100_000, b"\xff\xfe", b'{"object": "customer"', b"\x00"], ids=range(6)
)
def test_a_reply_that_is_no_json_is_unusable(body, gateway, loopback):
    loopback.answers = [Answer(200, body)]
    assert _fails(gateway, StripeReplyUnusable, Operation.PAY_INVOICE).ambiguous


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b"{}", b'{"object": "customer"}', b'{"deleted": 1}'])
def test_a_reply_of_another_shape_is_unusable_and_names_the_field(body, gateway, loopback):
    loopback.answers = [Answer(200, body)]
    error = _fails(gateway, StripeReplyUnusable)
    assert (error.code, bool(error.field)) == ("malformed", True)


def test_a_malformed_field_is_named_and_not_quoted(gateway, loopback):
    loopback.answers = [json_answer({**CUSTOMER, "balance": CARDHOLDER})]
    assert _fails(gateway, StripeReplyUnusable).field == "balance"


def test_a_reply_beyond_two_mebibytes_is_unusable_and_not_read_to_its_end(gateway, loopback):
    body = json.dumps({**CUSTOMER, "note": "x" * (3 * 1024 * 1024)}).encode()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"100000\r\n" + b"x" * 0x100000 + b"\r\n" for _ in range(4)
    )
    for answer in (Answer(200, body), Answer(raw=chunked + b"0\r\n\r\n")):
        loopback.answers = [answer]
        assert _fails(gateway, StripeReplyUnusable).code == "too_large"
    _call(gateway)  # and the next call is not disturbed


def test_a_compressed_reply_is_not_unpacked(gateway, loopback):
    loopback.answers = [Answer(200, b"\x1f\x8b" + b"0" * 50, {"Content-Encoding": "gzip"})]
    assert _fails(gateway, StripeReplyUnusable).code == "not_json"


def test_a_reply_just_below_the_limit_is_read(gateway, loopback):
    loopback.answers = [json_answer({**CUSTOMER, "note": "x" * (2 * 1024 * 1024 - 300)})]
    assert _call(gateway).id.value == "cus_Q1"
