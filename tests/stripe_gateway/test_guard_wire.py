import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.stripe_gateway.guard import Expectation, Guard, GuardMisconfigured
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.refusal import RefusalReason
from billing.stripe_gateway.wire import WireMalformed, encode_form, parse_form
from tests.stripe_gateway.samples import KEY, Wire, guard, sample, wire

R = RefusalReason
GUARD = guard()


def _judge(w: Wire, expectation: Expectation | None) -> RefusalReason | None:
    refusal = GUARD.judge(w.method, w.url, w.headers, w.body, expectation)
    return None if refusal is None else refusal.reason


def _bent(operation: Operation, **changes: object) -> RefusalReason | None:
    one = sample(operation)
    return _judge(dataclasses.replace(wire(one), **changes), one.expectation)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.stripe.com@evil.example/v1/invoices/in_1Pq/pay",
        "https://api.stripe.com.evil.example/v1/invoices/in_1Pq/pay",
        "https://user:pass@api.stripe.com/v1/invoices/in_1Pq/pay",
        "http://api.stripe.com/v1/invoices/in_1Pq/pay",
        "https://api.stripe.com:8443/v1/invoices/in_1Pq/pay",
        "https://API.STRIPE.COM/v1/invoices/in_1Pq/pay",
        "https://files.stripe.com/v1/files",
        "https://connect.stripe.com/oauth/token",
        "//api.stripe.com/v1/invoices/in_1Pq/pay",
        "/v1/invoices/in_1Pq/pay",
        "",
    ],
)
def test_other_destinations_are_refused(url):
    assert _bent(Operation.PAY_INVOICE, url=url) is R.UNKNOWN_DESTINATION


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/invoices/search?query=metadata"),
        ("GET", "/v1/customers/search?query=email"),
        ("DELETE", "/v1/customers/cus_Q1"),
        ("POST", "/v1/files"),
        ("POST", "/v2/core/events"),
        ("POST", "/v1/invoices/in_1Pq/send"),
        ("POST", "/v1/invoices/in_1Pq/pay/"),
        ("POST", "//v1/invoices/in_1Pq/pay"),
        ("POST", "/v1/./invoices/in_1Pq/pay"),
        ("POST", "/v1/invoices/in_%31Pq/pay"),
        ("POST", "/v1/invoices/in_1Pq/pay#Jane-Roe"),
        ("POST", "/v1/invoices/in_1Pq/pay;p=1"),
        ("POST", "/v1/invoices/cus_1/pay"),
        ("post", "/v1/invoices/in_1Pq/pay"),
        ("PATCH", "/v1/invoices/in_1Pq/pay"),
    ],
)
def test_other_methods_and_paths_are_refused(method, path):
    url = "https://api.stripe.com" + path
    assert _bent(Operation.PAY_INVOICE, method=method, url=url) is R.UNKNOWN_OPERATION


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (b"auto_advance=true&auto_advance=true", R.PARAMETER_DUPLICATE),
        (b"auto_advance=tru%65", R.ENCODING_NOT_CANONICAL),
        (b"auto%5fadvance=true", R.BODY_MALFORMED),
        (b"auto_advance=%20true", R.ENCODING_NOT_CANONICAL),
        (b"auto_advance=%e2%80%8b", R.BODY_MALFORMED),
        (b"auto_advance=%E2%80%8B", R.NOT_PRINTABLE_ASCII),
        (b"auto_advance=true%00", R.NOT_PRINTABLE_ASCII),
        (b"auto_advance=true\xe2\x80\x8b", R.NOT_PRINTABLE_ASCII),
        (b"auto_advance=true\n", R.NOT_PRINTABLE_ASCII),
        (b"auto_advance=true=", R.BODY_MALFORMED),
        (b"auto_advance=true;x=1", R.BODY_MALFORMED),
        (b"auto_advance=true&", R.BODY_MALFORMED),
        (b"&auto_advance=true", R.BODY_MALFORMED),
        (b"auto_advance", R.BODY_MALFORMED),
        (b"=true", R.BODY_MALFORMED),
        (b"auto_advance=%", R.BODY_MALFORMED),
        (b"auto_advance=false", R.VALUE_NOT_ALLOWED),
        (b"", R.PARAMETER_MISSING),
        (b"Auto_advance=true", R.PARAMETER_UNKNOWN),
        (b"auto_advance[]=true", R.BODY_MALFORMED),
        (b'{"auto_advance": true}', R.BODY_MALFORMED),
        (b"auto_advance=true&" + b"a" * 9000, R.BODY_MALFORMED),
    ],
)
def test_a_form_that_is_not_the_one_canonical_spelling_is_refused(form, reason):
    assert _bent(Operation.FINALIZE_INVOICE, body=form) is reason


def test_files_and_streams_as_a_body_are_refused():
    for body in (iter([b"auto_advance=true"]), {"auto_advance": "true"}, [("auto_advance", "true")], object()):
        assert _bent(Operation.FINALIZE_INVOICE, body=body) is R.BODY_MALFORMED


def test_parameters_stand_where_the_method_says():
    assert _bent(Operation.RETRIEVE_INVOICE, body=b"note=1") is R.BODY_NOT_ALLOWED
    url = "https://api.stripe.com/v1/invoices/in_1Pq/finalize?note=1"
    assert _bent(Operation.FINALIZE_INVOICE, url=url) is R.QUERY_NOT_ALLOWED
    assert _bent(Operation.FINALIZE_INVOICE, url=url.partition("?")[0] + "?") is R.URL_MALFORMED


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Stripe-Account": "acct_1"}, R.HEADER_UNKNOWN),
        ({"Stripe-Context": "acct_1"}, R.HEADER_UNKNOWN),
        ({"X-Stripe-Client-User-Agent": "{}"}, R.HEADER_UNKNOWN),
        ({"X-Stripe-Client-Telemetry": "{}"}, R.HEADER_UNKNOWN),
        ({"Cookie": "a=b"}, R.HEADER_UNKNOWN),
        ({"Authorization": "Bearer sk_test_other"}, R.HEADER_NOT_ALLOWED),
        ({"Authorization": "Basic c2s6"}, R.HEADER_NOT_ALLOWED),
        ({"authorization": "Bearer sk_test_stand_in"}, R.HEADER_DUPLICATE),
        ({"User-Agent": "Stripe/v1 PythonBindings/16.1.0"}, R.HEADER_NOT_ALLOWED),
        ({"Stripe-Version": "2025-11-17.clover"}, R.HEADER_NOT_ALLOWED),
        ({"Content-Type": "multipart/form-data; boundary=x"}, R.HEADER_NOT_ALLOWED),
        ({"Content-Type": "application/json"}, R.HEADER_NOT_ALLOWED),
        ({"Idempotency-Key": "Jane Roe"}, R.IDEMPOTENCY_KEY),
        ({"Idempotency-Key": str(KEY).upper()}, R.IDEMPOTENCY_KEY),
        ({"Idempotency-Key": KEY.hex}, R.IDEMPOTENCY_KEY),
        ({"Idempotency-Key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, R.IDEMPOTENCY_KEY),
        ({"Idempotency-Key": "11111111-1111-4111-8111-111111111111"}, R.IDEMPOTENCY_KEY),
    ],
)
def test_headers_outside_the_allow_list_are_refused(headers, reason):
    merged = {**wire(sample(Operation.PAY_INVOICE)).headers, **headers}
    assert _bent(Operation.PAY_INVOICE, headers=merged) is reason


def test_a_write_needs_its_key_and_a_read_takes_none():
    headers = wire(sample(Operation.PAY_INVOICE)).headers
    less = {name: value for name, value in headers.items() if name != "Idempotency-Key"}
    assert _bent(Operation.PAY_INVOICE, headers=less) is R.IDEMPOTENCY_KEY
    read = {**wire(sample(Operation.LIST_INVOICES)).headers, "Idempotency-Key": str(KEY)}
    assert _bent(Operation.LIST_INVOICES, headers=read) is R.IDEMPOTENCY_KEY


def test_each_required_header_must_be_there():
    headers = wire(sample(Operation.PAY_INVOICE)).headers
    for name in headers:
        less = {other: value for other, value in headers.items() if other != name}
        assert _bent(Operation.PAY_INVOICE, headers=less) in {R.HEADER_MISSING, R.IDEMPOTENCY_KEY}


@pytest.mark.parametrize(
    "base",
    [
        "https://api.stripe.com/",
        "http://api.stripe.com",
        "https://evil.example",
        "http://10.0.0.1:80",
        "http://127.0.0.1.evil.example",
        "https://api.stripe.com:443",
        "http://127.0.0.1:99999999",
        "",
    ],
)
def test_the_guard_accepts_only_stripe_or_a_loopback_address(base):
    with pytest.raises(GuardMisconfigured):
        guard(base)


@pytest.mark.parametrize(
    "base", ["https://api.stripe.com", "http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:9"]
)
def test_the_guard_serves_stripe_and_the_stand_in(base):
    one = sample(Operation.PAY_INVOICE)
    w = wire(one, base)
    assert guard(base).judge(w.method, w.url, w.headers, w.body, one.expectation) is None


@pytest.mark.parametrize("key", ["", "sk\nX: y", "sk_é", " sk", "sk "])
def test_an_unusable_key_is_refused_at_the_start(key):
    with pytest.raises(GuardMisconfigured):
        Guard(base_url="https://api.stripe.com", api_version="1", user_agent="a", api_key=key)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
            st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        )
    )
)
@settings(max_examples=300, deadline=None)
def test_reading_a_form_undoes_writing_it(pairs):
    text = encode_form(pairs)
    if len(text) <= 8192:
        assert list(parse_form(text, R.BODY_MALFORMED)) == pairs


@given(st.text(st.sampled_from("ab=&%+ []2D4é\x00"), max_size=12))
@settings(max_examples=1000, deadline=None)
def test_whatever_is_read_has_only_that_one_spelling(text):
    try:
        pairs = parse_form(text, R.BODY_MALFORMED)
    except WireMalformed:
        return
    assert encode_form(pairs) == text


@pytest.mark.parametrize("url", ["https://api.stripe.com/v1/customers/é", "https://api.stripe.com/v1/\x00", "é"])
def test_an_address_that_is_no_printable_ascii_says_so(url):
    assert _bent(Operation.RETRIEVE_CUSTOMER, url=url) is R.NOT_PRINTABLE_ASCII
