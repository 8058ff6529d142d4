"""Every known way around the gateway, tried: the loopback server must see nothing at all."""

import asyncio
import io
import uuid

import pytest
import stripe

from billing.stripe_gateway.client import (
    RefusingClient,
    StripeGateway,
)
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.refusal import OutboundRefused, RefusalReason
from billing.stripe_gateway.transport import CURRENT_EXCHANGE, Exchange
from tests.stripe_gateway.samples import KEY, sample

MARKER = "Zzyzx-Marker-1970"


@pytest.fixture(autouse=True)
def _installed(gateway):
    """The gateway fixture installs the process-wide guards."""


def _refused(action) -> RefusalReason:
    with pytest.raises(OutboundRefused) as caught:
        action()
    return caught.value.reason


_MODULE_LEVEL = {
    "create": lambda: stripe.Customer.create(api_key="sk_x", name=MARKER),
    "modify": lambda: stripe.Customer.modify("cus_1", api_key="sk_x", name=MARKER),
    "retrieve": lambda: stripe.Invoice.retrieve("in_1", api_key="sk_x"),
    "list": lambda: stripe.Invoice.list(api_key="sk_x"),
    "search": lambda: stripe.Customer.search(api_key="sk_x", query=f"name:'{MARKER}'"),
    "delete": lambda: stripe.Customer.delete("cus_1", api_key="sk_x"),
    "file": lambda: stripe.File.create(api_key="sk_x", purpose="dispute_evidence", file=io.BytesIO(MARKER.encode())),
    "oauth": lambda: stripe.OAuth.token(api_key="sk_x", grant_type="authorization_code", code=MARKER),
    "deauthorize": lambda: stripe.OAuth.deauthorize(api_key="sk_x", client_id="ca_1", stripe_user_id=MARKER),
    "quote pdf": lambda: stripe.Quote.pdf("qt_1", api_key="sk_x"),
    "own client": lambda: stripe.StripeClient("sk_x").v1.customers.create({"name": MARKER}),
    "own raw": lambda: stripe.StripeClient("sk_x").raw_request("post", "/v1/customers", name=MARKER),
    "meter event": lambda: stripe.billing.MeterEvent.create(api_key="sk_x", event_name=MARKER, payload={}),
    "meter event stream": lambda: stripe.StripeClient("sk_x").v2.billing.meter_event_stream.create({"events": []}),
    "meter events": lambda: stripe.StripeClient("sk_x").v2.billing.meter_event_session.create({}),
}


@pytest.mark.parametrize("name", _MODULE_LEVEL)
def test_the_module_level_api_is_closed(name, loopback, monkeypatch):
    monkeypatch.setattr(stripe, "api_base", loopback.base)
    assert _refused(_MODULE_LEVEL[name]) in {RefusalReason.NO_EXPECTATION, RefusalReason.CHANNEL_CLOSED}
    assert loopback.seen == []


def test_without_a_key_the_module_level_api_does_not_even_start():
    assert stripe.api_key is None
    with pytest.raises(stripe.AuthenticationError):
        stripe.Customer.create(name=MARKER)


def test_no_path_leads_to_another_host(gateway, loopback):
    for path in (f"https://{MARKER}.example/v1/customers", f"//{MARKER}.example/v1", f"@{MARKER}.example/v1"):
        with pytest.raises((ValueError, OutboundRefused)):
            gateway._client.raw_request("post", path, name=MARKER)
    assert loopback.seen == []


def test_objects_from_webhooks_cannot_call_home(loopback, monkeypatch):
    monkeypatch.setattr(stripe, "api_base", loopback.base)
    body = '{"id":"evt_1","object":"event","data":{"object":{"id":"in_1","object":"invoice"}}}'
    header = stripe.WebhookSignature.generate_signature_header(body, "whsec_1")
    event = stripe.Webhook.construct_event(body, header, "whsec_1", api_key="sk_x")
    assert _refused(event.refresh) is RefusalReason.NO_EXPECTATION
    assert _refused(event.data.object.pay) is RefusalReason.NO_EXPECTATION
    assert loopback.seen == []


_INSIDE = {
    "services": lambda c: c.v1.customers.create({"name": MARKER}),
    "reads": lambda c: c.v1.invoices.retrieve("in_1"),
    "raw": lambda c: c.raw_request("post", "/v1/customers", name=MARKER),
    "raw get": lambda c: c.raw_request("get", "/v1/invoices"),
    "raw delete": lambda c: c.raw_request("delete", "/v1/customers/cus_1"),
    "raw v2": lambda c: c.raw_request("post", "/v2/core/events", note=MARKER),
    "files": lambda c: c.v1.files.create({"purpose": "dispute_evidence", "file": io.BytesIO(b"x")}),
    "oauth": lambda c: c.oauth.token({"grant_type": "authorization_code", "code": MARKER}),
    "connect base": lambda c: c.raw_request("post", "/oauth/token", base="connect", code=MARKER),
    "files base": lambda c: c.raw_request("post", "/v1/files", base="files", purpose=MARKER),
    "stream": lambda c: c.v1.quotes.pdf("qt_1"),
    "search": lambda c: c.v1.customers.search({"query": f"name:'{MARKER}'"}),
    "event": lambda c: c.construct_event(
        '{"object":"event","data":{"object":{"id":"in_1","object":"invoice"}}}',
        stripe.WebhookSignature.generate_signature_header(
            '{"object":"event","data":{"object":{"id":"in_1","object":"invoice"}}}', "whsec_1"
        ),
        "whsec_1",
    ).data.object.pay(),
}


@pytest.mark.parametrize("name", _INSIDE)
def test_the_gateways_own_sdk_client_refuses_without_a_call(name, gateway, loopback):
    assert _refused(lambda: _INSIDE[name](gateway._client)) in {
        RefusalReason.NO_EXPECTATION,
        RefusalReason.CHANNEL_CLOSED,
    }
    assert loopback.seen == []


def _under_expectation(one, action):
    token = CURRENT_EXCHANGE.set(Exchange(one.expectation))
    try:
        return _refused(action)
    finally:
        CURRENT_EXCHANGE.reset(token)


_WITH_EXPECTATION = {
    "other key": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", api_key="sk_other"),
    "connected account": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", stripe_account="acct_1"),
    "context": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", stripe_context="acct_1"),
    "version": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", stripe_version="2020-08-27"),
    "headers": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", headers={"X-Note": MARKER}),
    "same header twice": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", headers={"authorization": "Bearer x"}),
    "key on a read": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", idempotency_key=str(KEY)),
    "parameter": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", expand=["subscriptions"]),
    "other customer": lambda c: c.raw_request("get", "/v1/customers/cus_Q2"),
    "other method": lambda c: c.raw_request("post", "/v1/customers/cus_Q1", name=MARKER),
    "query in path": lambda c: c.raw_request("get", f"/v1/customers/cus_Q1?note={MARKER}"),
    "other base": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", base="connect"),
    "non-ascii": lambda c: c.raw_request("get", "/v1/customers/cus_Q1", note="é"),
}


@pytest.mark.parametrize("name", _WITH_EXPECTATION)
def test_even_under_an_expectation_nothing_else_passes(name, gateway, loopback):
    one = sample(Operation.RETRIEVE_CUSTOMER)
    _under_expectation(one, lambda: _WITH_EXPECTATION[name](gateway._client))
    assert loopback.seen == []


def test_a_multipart_upload_is_refused_under_an_expectation(gateway, loopback):
    one = sample(Operation.CREATE_CUSTOMER)
    reason = _under_expectation(
        one,
        lambda: gateway._client.raw_request(
            "post", "/v1/customers", content_type="multipart/form-data", idempotency_key=str(KEY), name="x"
        ),
    )
    assert reason is RefusalReason.HEADER_NOT_ALLOWED
    assert loopback.seen == []


def test_a_key_that_the_sdk_invents_is_refused(gateway, loopback):
    one = sample(Operation.CREATE_CUSTOMER)
    params = dict(one.request.encode().params)
    for _ in range(20):
        reason = _under_expectation(one, lambda: gateway._client.raw_request("post", "/v1/customers", **params))
        assert reason is RefusalReason.IDEMPOTENCY_KEY
    assert loopback.seen == []


def test_one_call_is_one_request(gateway, loopback):
    one = sample(Operation.RETRIEVE_CUSTOMER)
    token = CURRENT_EXCHANGE.set(Exchange(one.expectation))
    try:
        gateway._client.raw_request("get", "/v1/customers/cus_Q1")
        assert _refused(lambda: gateway._client.raw_request("get", "/v1/customers/cus_Q1"))
    finally:
        CURRENT_EXCHANGE.reset(token)
    assert len(loopback.seen) == 1


def test_what_was_inspected_and_sent_once_is_not_sent_again(gateway, loopback):
    """The last metre holds by itself: whoever repeats the prepared request below the SDK is refused too."""
    one = sample(Operation.CREATE_CUSTOMER)
    sent = []
    original = gateway._http._inner.request

    def twice(*request):
        sent.append(original(*request))
        sent.append(original(*request))
        return sent[-1]

    gateway._http._inner.request = twice
    with pytest.raises(OutboundRefused):
        gateway.call(one.request, expectation=one.expectation, idempotency_key=KEY)
    assert len(loopback.seen) == len(sent) == 1


def test_async_and_stream_channels_are_closed(gateway):
    for client in (gateway._http, RefusingClient()):
        for method in (client.request_async, client.request_stream_async):
            assert _refused(lambda m=method: asyncio.run(m("get", "u", {}))) is RefusalReason.CHANNEL_CLOSED
        assert _refused(lambda c=client: c.request_stream("get", "u", {})) is RefusalReason.CHANNEL_CLOSED
    with pytest.raises(OutboundRefused):
        asyncio.run(gateway._client.v1.customers.create_async({"name": MARKER}))
    with pytest.raises(OutboundRefused):
        asyncio.run(stripe.Customer.create_async(api_key="sk_x", name=MARKER))
    with pytest.raises(OutboundRefused):
        asyncio.run(gateway._client.raw_request_async("post", "/v1/customers", name=MARKER))


def test_the_session_itself_sends_nothing_that_was_not_inspected(gateway, loopback):
    for send in (
        lambda: gateway._http._session.get(f"{loopback.base}/v1/customers/cus_Q1"),
        lambda: gateway._http._session.post(f"{loopback.base}/v1/customers", data={"name": MARKER}),
        lambda: gateway._http._inner.request("get", f"{loopback.base}/v1/customers/cus_Q1", {}),
    ):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is, nothing may leave
            send()
    assert loopback.seen == []


def test_a_request_changed_after_inspection_is_not_sent(gateway, loopback, monkeypatch):
    one = sample(Operation.CREATE_CUSTOMER)
    original = gateway._http._inner.request
    monkeypatch.setattr(
        gateway._http._inner, "request", lambda m, u, h, b: original(m, u, h, b.replace(b"8F3K2Q", MARKER.encode()))
    )
    with pytest.raises(OutboundRefused) as caught:
        gateway.call(one.request, expectation=one.expectation, idempotency_key=KEY)
    assert caught.value.reason is RefusalReason.CHANGED_AFTER_INSPECTION
    assert loopback.seen == []


def _call(gateway, one=None):
    one = one or sample(Operation.RETRIEVE_CUSTOMER)
    write = one.request.encode().method == "POST"
    return gateway.call(one.request, expectation=one.expectation, idempotency_key=KEY if write else None)


def test_two_gateways_do_not_share_expectations(loopback):
    one = sample(Operation.RETRIEVE_CUSTOMER)
    other = StripeGateway(api_key="sk_other", base_url=loopback.base, acquire=lambda: None)
    other.call(one.request, expectation=one.expectation)
    assert dict(loopback.seen[0].headers)["authorization"] == "Bearer sk_other"
    assert CURRENT_EXCHANGE.get() is None
    other.close()


def test_a_random_key_is_enough_for_a_write(gateway, loopback):
    one = sample(Operation.CREATE_CUSTOMER)
    key = uuid.uuid4()
    gateway.call(one.request, expectation=one.expectation, idempotency_key=key)
    assert dict(loopback.seen[0].headers)["idempotency-key"] == str(key)
