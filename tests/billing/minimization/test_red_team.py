"""Some thousands of requests that carry a person go through `scan_outbound`, and none is allowed; our own all are."""

import json
import os
from collections import Counter
from datetime import date
from io import StringIO
from random import Random

import pytest
from django.core.management import call_command

from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.minimization.outbound_scan import judge, judge_line, scanner
from billing.minimization.profile_approval import approve_profile
from billing.models import ChargeReason, Invoice, OutboundRequest
from billing.stripe_gateway.operation import Operation
from offices.models import CollectionMethod, Office
from patients.identity import Identity
from patients.models import Patient
from patients.registration import register_patient
from sandbox.stripe_standin import Fault
from tests.billing.minimization.honest_strings import clinic_names
from tests.billing.minimization.leak_requests import ALL_DISGUISES, PLACES, as_numbers, leak_requests
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, drain, hear
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db

# What a delivery sends; corrections and reconciliation have tests of their own.
DELIVERED = {
    Operation.CREATE_CUSTOMER, Operation.UPDATE_CUSTOMER, Operation.LIST_CUSTOMERS, Operation.RETRIEVE_CUSTOMER,
    Operation.CREATE_INVOICE, Operation.LIST_INVOICES, Operation.RETRIEVE_INVOICE, Operation.LIST_INVOICE_LINES,
    Operation.CREATE_INVOICE_ITEM, Operation.FINALIZE_INVOICE,
}  # fmt: skip
SEED = int(os.environ.get("RED_TEAM_SEED", "7"))
PEOPLE = [
    Identity("MRN-004217", "Amelie", "Zweistein", date(1984, 3, 12), "amelie.z@mail.example", "+14425550117"),
    Identity("88120457", "José", "Núñez-O'Brien", date(1931, 7, 4), "jose@mail.example", "+14425550118"),
    Identity("A7", "Li", "Wu", date(2019, 11, 30), "", ""),
    Identity("0012/34", "Lakeside", "Dental", date(1960, 1, 1), "billing@lakeside.example", "+14425550119"),
]


@pytest.fixture
def own(stripe):
    """What two offices sent in a month with lost replies: every operation that a delivery knows, with its headers."""
    clock = SharedClock(CLOSED_AT, stripe)
    stripe.script("POST /v1/customers", [Fault.HANG_AFTER_COMMIT])
    stripe.script("POST /v1/invoices", [Fault.ERROR_AFTER_COMMIT])
    stripe.script("POST /v1/invoiceitems", [Fault.HANG_AFTER_COMMIT])
    stripe.script("POST /v1/customers/{id}", [Fault.HANG_AFTER_COMMIT])
    for number, method in enumerate(CollectionMethod):
        office = make_office(reference=f"red-{number}", collection_method=method)
        make_patient(office, (utc("2026-01-02"), None))
        make_patient(office, (utc("2026-02-20"), None))
        for person in PEOPLE:
            fields = {name: getattr(person, name) for name in Identity.__slots__}
            register_patient(office_id=office.pk, actor=ACTOR, now=OPENED_AT, **fields)
    for moment in (OPENED_AT, CLOSED_AT):
        run_due(as_of=moment, actor=ACTOR, now=moment)
    for charge in (Charge(ChargeReason.SETUP_FEE, 5_00), Charge(ChargeReason.TRAINING, 99_00)):
        charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=CLOSED_AT)
    drain(clock)
    for office in Office.objects.all():
        values = {"name": "Lakeside Dental", "email": "billing@lakeside.example", "override_reason": "the owner's own"}
        approve_profile(office_id=office.pk, actor=ACTOR, now=CLOSED_AT, **values)
    drain(clock)
    hear(stripe, clock)
    return [request_of(raw) for raw in stripe.requests]


def request_of(raw) -> dict:
    """Return a recorded request as a candidate, with the headers that are ours to choose."""
    headers = {name: value for name, value in raw.headers if name.lower() not in {"content-length", "idempotency-key"}}
    key = raw.header("Idempotency-Key")
    return {
        "method": raw.method, "path": raw.path, "params": dict(raw.parameters()), "headers": headers,
        "idempotency_key": key,
    }  # fmt: skip


def test_the_corpus_is_as_wide_as_it_says():
    assert len(ALL_DISGUISES) >= 70
    assert len(PLACES) == 12


def test_every_request_of_ours_is_allowed_flat_or_nested_with_or_without_headers(own):
    guard = scanner()
    assert set(OutboundRequest.objects.values_list("operation", flat=True)) >= DELIVERED
    for request in own:
        for form in (request, {name: value for name, value in request.items() if name != "headers"}, nested(request)):
            assert judge(form, guard).reason == "allowed"
            assert judge_line(json.dumps(form), guard).reason == "allowed"


def nested(request: dict) -> dict:
    params = {name: value for name, value in request["params"].items() if not name.startswith("metadata[")}
    metadata = {name[9:-1]: value for name, value in request["params"].items() if name.startswith("metadata[")}
    if "expand[]" in params:
        params["expand"] = [params.pop("expand[]")]
    for name in ("days_until_due", "quantity_decimal", "unit_amount_decimal", "limit"):
        if name in params:
            params[name] = int(params[name])
    if "auto_advance" in params:
        params["auto_advance"] = params["auto_advance"] == "true"
    return request | {"params": params | ({"metadata": metadata} if metadata else {})}


def assert_none_is_allowed(attempts) -> int:
    guard, tried, let_out = scanner(), 0, []
    for attempt in attempts:
        tried += 1
        if judge_line(json.dumps(attempt.request), guard).allowed:
            let_out.append(attempt)
    assert let_out == [], f"seed {SEED}"
    return tried


def test_a_sample_of_the_leaks_is_refused(own):
    assert assert_none_is_allowed(leak_requests(own, PEOPLE, 600, Random(SEED))) > 500


@pytest.mark.full
def test_ten_thousand_leaks_are_refused(own):
    tried = assert_none_is_allowed(leak_requests(own, PEOPLE, 10_000, Random(SEED)))
    print(f"{tried} leaks in {len(ALL_DISGUISES)} disguises and {len(PLACES)} places: none allowed")  # noqa: T201


def numbers(own) -> list:
    once = {(each["method"], each["path"].count("/"), len(each["params"])): each for each in own}
    return list(as_numbers(list(once.values()), PEOPLE[0]))


def test_a_sample_of_other_numbers_and_types_is_refused(own):
    assert assert_none_is_allowed(Random(SEED).sample(numbers(own), 300)) == 300


@pytest.mark.full
def test_no_number_or_other_type_than_the_ledgers_is_allowed(own):
    assert assert_none_is_allowed(numbers(own)) > 1_000


def test_every_id_of_somebody_else_is_refused(own):
    """Patients, invoices that are not closed, other offices' customers and keys: all true ids, in every id's place."""
    ids = [str(pk) for pk in Patient.objects.values_list("pk", flat=True)]
    ids += [str(pk) for pk in Invoice.objects.filter(closed_at=None).values_list("pk", flat=True)]
    guard, tried = scanner(), 0
    customers = sorted({each["params"]["customer"] for each in own if "customer" in each["params"]})
    for request in own:
        # To ask for another office's invoices is a request of ours too.
        foreign = [] if request["method"] == "GET" else customers
        for name, value in request["params"].items():
            for other in [*ids, *(f"cus_{each.replace('-', '')}" for each in ids), *foreign]:
                if other != value and _is_an_id(value):
                    tried += 1
                    assert not judge(request | {"params": request["params"] | {name: other}}, guard).allowed
        for other in ids:
            assert not judge(request | {"idempotency_key": other}, guard).allowed
    assert tried > 100


def _is_an_id(value: str) -> bool:
    return value.startswith(("cus_", "in_")) or value.count("-") == 4


def test_a_key_belongs_to_its_own_step(own):
    """A stored key of one request on another is a repeat that Stripe would refuse; so does the guard."""
    guard = scanner()
    writes = [each for each in own if each["method"] == "POST"]
    for request in writes:
        for other in writes:
            if other["idempotency_key"] != request["idempotency_key"] and other["path"] != request["path"]:
                assert not judge(request | {"idempotency_key": other["idempotency_key"]}, guard).allowed


def test_a_name_is_allowed_where_it_was_approved_and_nowhere_else(own):
    guard = scanner()
    update = next(each for each in own if each["params"].get("name") == "Lakeside Dental")
    assert judge(update, guard).allowed
    other = make_office(reference="red-other")
    creation = next(each for each in own if "metadata[office_id]" in each["params"])
    for name in ("Lakeside Dental", other.name, other.reference, "Zweistein"):
        elsewhere = creation["params"] | {"name": name, "metadata[office_id]": str(other.pk)}
        assert not judge(creation | {"params": elsewhere}, guard).allowed
    for name in (
        "lakeside dental",
        "Lakeside  Dental",
        "Lakeside Dental ",
        "Lakeside Denta\u217c",
        "Zweistein",
        "Clinic 1",
    ):
        assert not judge(update | {"params": update["params"] | {"name": name}}, guard).allowed


def posted(params: str) -> str:
    return f'{{"method": "POST", "path": "/v1/customers", "params": {params}}}'


def got(rest: str) -> str:
    return f'{{"method": "GET", "path": "/v1/customers", {rest}}}'


ODD_LINES = [
    "", "   ", "nonsense", "[]", "1", "null", '"text"', "{}", '{"method": "POST"}', "\ufeff{}", "[" * 100_000,
    '{"a":' * 100_000, '{"method": null, "path": null}', '{"method": "G\\u0000T", "path": "/v1/\\ud800"}',
    '{"path": "/v1/customers", "path": "/x"}', '{"method": "POST", "path": "http://[::1", "params": {}}',
    '{"method": "POST", "path": "//x/v1/customers"}', '{"method": "GET", "path": "", "params": {"": ""}}',
    got('"params": []'), got('"params": 7'), got('"params": "a=b"'), got('"headers": []'), got('"headers": {"a": 1}'),
    got('"idempotency_key": 7'), got('"params": {"created[gte]": 1, "limit": 100, "limit": 1}'),
    posted('{"name": "\\ud800"}'), posted('{"a": NaN, "b": Infinity, "c": 1e999, "d": -0.0}'),
    posted('{"a": [[[[[[[[[[["x"]]]]]]]]]]]}'), posted('{"a":' * 50_000 + "1" + "}" * 50_000),
    posted(f'{{"name": "{"x" * 3_000_000}"}}'), posted(f'{{"n": {"9" * 5_000}}}'),
    posted("{" + ",".join(f'"a{n}": 1' for n in range(20_000)) + "}"),
]  # fmt: skip


def test_odd_lines_get_one_verdict_each_and_none_is_allowed(tmp_path, own):
    file = tmp_path / "candidates.jsonl"
    file.write_bytes("\n".join([*ODD_LINES, json.dumps(own[0])]).encode("utf-8", "surrogatepass") + b"\n\xff\xfe\x00\n")
    out = StringIO()

    call_command("scan_outbound", str(file), stdout=out)

    verdicts = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [verdict["allowed"] for verdict in verdicts] == [*([False] * len(ODD_LINES)), True, False]
    assert all(set(verdict) == {"allowed", "reason"} for verdict in verdicts)


def test_honest_words_of_a_clinic_are_refused_too_unless_they_are_approved(own):
    """The guard judges no words: what is not the approved profile of that office does not leave."""
    guard = scanner()
    update = next(each for each in own if each["params"].get("name") == "Lakeside Dental")
    reasons = Counter(
        judge(update | {"params": update["params"] | {"name": words}}, guard).allowed
        for words in clinic_names(SEED, 60)
    )
    assert reasons[True] == 0
