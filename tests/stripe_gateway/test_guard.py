import dataclasses
import hashlib
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.policy import POLICY_VERSION, RULES, VOCABULARY, rule_for
from billing.stripe_gateway.refusal import OutboundRefused, Refusal, RefusalReason
from billing.stripe_gateway.wire import encode_form
from tests.stripe_gateway.samples import KEY, SAMPLES, Sample, Wire, guard, sample, wire

R = RefusalReason
GUARD = guard()


def _judge(w: Wire, expectation: Expectation | None) -> RefusalReason | None:
    refusal = GUARD.judge(w.method, w.url, w.headers, w.body, expectation)
    return None if refusal is None else refusal.reason


def _bent(operation: Operation, **changes: object) -> RefusalReason | None:
    one = sample(operation)
    return _judge(dataclasses.replace(wire(one), **changes), one.expectation)


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_an_honest_request_passes_with_the_right_expectation(one):
    assert _judge(wire(one), one.expectation) is None


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_every_call_without_an_expectation_is_refused_reads_too(one):
    assert _judge(wire(one), None) is R.NO_EXPECTATION


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_every_variable_must_be_covered_and_equal_and_nothing_may_be_left_over(one):
    w, good = wire(one), one.expectation
    assert set(good.values) <= rule_for(good.operation).variables
    for name in good.values:
        less = {key: value for key, value in good.values.items() if key != name}
        assert _judge(w, dataclasses.replace(good, values=less)) is R.PARAMETER_NOT_COVERED
        value = good.values[name]
        for other in {f"{value}0", value[:-1], value[1:], value.swapcase(), value[::-1], ""} - {value}:
            changed = dataclasses.replace(good, values={**good.values, name: other})
            assert _judge(w, changed) is R.VALUE_NOT_EXPECTED
    more = {**good.values, "metadata[patient]": "x"}
    assert _judge(w, dataclasses.replace(good, values=more)) is R.EXPECTED_PARAMETER_ABSENT


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.operation)
def test_the_policy_knows_no_name_that_the_encoder_does_not_send(rule):
    sent = {
        name
        for one in SAMPLES
        if one.expectation.operation is rule.operation
        for name, _ in one.request.encode().params
    }
    assert sent <= set(rule.parameters) <= sent | {"starting_after"}


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_an_expectation_of_another_operation_does_not_count(one):
    for operation in set(Operation) - {one.expectation.operation}:
        assert _judge(wire(one), dataclasses.replace(one.expectation, operation=operation)) is R.WRONG_OPERATION


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_each_parameter_on_its_own_cannot_be_dropped_doubled_or_added(one):
    encoded, w = one.request.encode(), wire(one)

    def with_params(params: list[tuple[str, str]]) -> RefusalReason | None:
        form = encode_form(params)
        if w.method == "POST":
            return _judge(dataclasses.replace(w, body=form.encode()), one.expectation)
        url = w.url.partition("?")[0] + (f"?{form}" if form else "")
        return _judge(dataclasses.replace(w, url=url), one.expectation)

    params = list(encoded.params)
    for index, pair in enumerate(params):
        assert with_params(params[:index] + params[index + 1 :]) is not None
        assert with_params([*params, pair]) is R.PARAMETER_DUPLICATE
        assert with_params([*params[:index], (pair[0], "Jane Roe 1970-01-01"), *params[index + 1 :]]) is not None
    for name in ("metadata[patient]", "footer", "custom_fields[0][value]", "statement_descriptor", "Jane Roe", "phone"):
        assert with_params([*params, (name, "1")]) is R.PARAMETER_UNKNOWN


def _place(one: Sample, data: st.DataObject) -> Wire:
    """Change one byte of the URL, the body or a header value: replace, insert or delete it."""
    w = wire(one)
    places = ["url", *(["body"] if w.body else []), *w.headers]
    place = data.draw(st.sampled_from(places))
    source = w.url.encode() if place == "url" else w.body if place == "body" else w.headers[place].encode()
    index = data.draw(st.integers(0, len(source) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    kind = data.draw(st.sampled_from(["replace", "insert", "delete"]))
    middle = {"replace": byte, "insert": byte + source[index : index + 1], "delete": b""}[kind]
    changed = source[:index] + middle + source[index + 1 :]
    if place == "body":
        return dataclasses.replace(w, body=changed)
    text = changed.decode("latin-1")
    if place == "url":
        return dataclasses.replace(w, url=text)
    return dataclasses.replace(w, headers={**w.headers, place: text})


@given(data=st.data())
@settings(max_examples=1500, deadline=None)
def test_a_change_of_any_single_byte_is_refused(data):
    one = data.draw(st.sampled_from(SAMPLES))
    changed = _place(one, data)
    if changed != wire(one):
        assert _judge(changed, one.expectation) is not None


@given(name=st.text(max_size=30), value=st.text(max_size=30), operation=st.sampled_from(Operation))
@settings(max_examples=300, deadline=None)
def test_any_further_header_is_refused(name, value, operation):
    one = sample(operation)
    w = wire(one)
    if name.lower() not in {known.lower() for known in w.headers}:
        assert _judge(dataclasses.replace(w, headers={**w.headers, name: value}), one.expectation) is not None


@given(value=st.text(max_size=80), rule=st.sampled_from(RULES), data=st.data())
@settings(max_examples=500, deadline=None)
def test_free_text_in_any_parameter_is_refused_even_before_the_ledger_is_asked(value, rule, data):
    names = sorted(set(rule.parameters) - {"name"})
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    assert rule.parameters[name].pattern.fullmatch(f"Jane {value} Roe") is None or not rule.parameters[name].variable


def test_values_that_contradict_each_other_are_refused_whatever_the_ledger_says():
    one = sample(Operation.CREATE_INVOICE)
    base = dict(one.request.encode().params)
    for change in (
        {"description": "Account setup"},
        {"metadata[kind]": "one_off"},
        {"collection_method": "charge_automatically"},
        {"description": "Additional services", "metadata[kind]": "one_off"},  # and still a month
    ):
        params = {**base, **change}
        values = {name: params[name] for name in one.values}
        w = dataclasses.replace(wire(one), body=encode_form(params.items()).encode())
        assert _judge(w, Expectation(Operation.CREATE_INVOICE, values, str(KEY))) is R.VALUES_DISAGREE
    item = sample(Operation.CREATE_INVOICE_ITEM)
    params = {**dict(item.request.encode().params), "unit_amount_decimal": "-200"}
    w = dataclasses.replace(wire(item), body=encode_form(params.items()).encode())
    expectation = Expectation(Operation.CREATE_INVOICE_ITEM, {**item.values, "unit_amount_decimal": "-200"}, str(KEY))
    assert _judge(w, expectation) is R.VALUES_DISAGREE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantity_decimal", "042"),
        ("quantity_decimal", "4.2"),
        ("quantity_decimal", "0"),
        ("quantity_decimal", "1000001"),
        ("quantity_decimal", "1e3"),
        ("unit_amount_decimal", "19700101123"),
        ("unit_amount_decimal", "+200"),
        ("unit_amount_decimal", "-0"),
        ("unit_amount_decimal", "200.00"),
    ],
)
def test_numbers_have_one_bounded_spelling(name, value):
    one = sample(Operation.CREATE_INVOICE_ITEM)
    params = {**dict(one.request.encode().params), name: value}
    w = dataclasses.replace(wire(one), body=encode_form(params.items()).encode())
    expectation = dataclasses.replace(one.expectation, values={**one.values, name: value})
    assert _judge(w, expectation) is R.VALUE_NOT_ALLOWED


MARKER = "Zzyzx-Marker-1970"


def test_a_refusal_carries_nothing_of_the_request():
    one = sample(Operation.CREATE_CUSTOMER)
    w = wire(one)
    bent = [
        dataclasses.replace(w, body=w.body + f"&{MARKER}=1".encode()),
        dataclasses.replace(w, body=w.body + f"&phone={MARKER}".encode()),
        dataclasses.replace(w, body=w.body.replace(b"8F3K2Q", MARKER.encode())),
        dataclasses.replace(w, url=w.url + "/" + MARKER),
        dataclasses.replace(w, url=f"https://{MARKER}.example/"),
        dataclasses.replace(w, headers={**w.headers, MARKER: "1"}),
        dataclasses.replace(w, headers={**w.headers, "Idempotency-Key": MARKER}),
        dataclasses.replace(w, method=MARKER),
    ]
    for request in bent:
        with pytest.raises(OutboundRefused) as caught:
            GUARD.inspect(request.method, request.url, request.headers, request.body, one.expectation)
        error = caught.value
        assert MARKER not in f"{error} {error!r} {error.__dict__} {error.args}"
        assert error.__context__ is None
        assert error.__cause__ is None
        frames = list(traceback.walk_tb(error.__traceback__))[1:]  # the first frame is this test's own
        assert MARKER not in repr([frame.f_locals for frame, _ in frames])
        assert error.refusal.parameter is None or error.refusal.parameter in VOCABULARY | {"idempotency-key"}


def test_a_refusal_names_its_template_and_known_parameter():
    one = sample(Operation.CREATE_INVOICE_ITEM)
    params = {**dict(one.request.encode().params), "quantity_decimal": "43"}
    w = dataclasses.replace(wire(one), body=encode_form(params.items()).encode())
    refusal = GUARD.judge(w.method, w.url, w.headers, w.body, one.expectation)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path_template, refusal.parameter) == (
        R.VALUE_NOT_EXPECTED,
        "/v1/invoiceitems",
        "quantity_decimal",
    )
    assert refusal.incident.version == 4


def test_an_expected_name_is_mentioned_only_when_it_is_in_the_vocabulary():
    one = sample(Operation.PAY_INVOICE)
    w = wire(one)
    for name, mentioned in ((MARKER, None), ("metadata[cycle]", "metadata[cycle]")):
        more = dataclasses.replace(one.expectation, values={**one.values, name: "1"})
        assert GUARD.judge(w.method, w.url, w.headers, w.body, more).parameter == mentioned


def test_a_refusal_is_no_connection_error_and_so_is_never_retried():
    assert OutboundRefused.__mro__[1] is Exception


def test_a_scanner_can_parse_first_and_ask_the_ledger_for_these_ids():
    one = sample(Operation.CREATE_INVOICE_ITEM)
    w = wire(one)
    parsed = GUARD.parse(w.method, w.url, GUARD.headers_for("POST", str(KEY)), w.body)
    assert not isinstance(parsed, Refusal)
    assert parsed.variables == one.values
    assert GUARD.compare(parsed, one.expectation) is None


def test_a_change_of_the_policy_is_a_change_of_its_version():
    """Widening what may leave takes a decision here too: say the new version and the new digest of the table."""

    def told(name, each):
        # The catalogue is a set: its texts have no order.
        return name, sorted(each.pattern.pattern.split("|")), each.variable, each.required

    table = [
        (rule.operation.value, rule.method, rule.template, sorted(told(*each) for each in rule.parameters.items()))
        for rule in RULES
    ]
    digest = hashlib.sha256(repr(table).encode()).hexdigest()
    assert (POLICY_VERSION, digest) == ("3", "dd1c937445484de26ae513cb002e521125ec7a1d912e6f7827abff8bc9ab37d8")
