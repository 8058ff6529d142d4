"""`scan_outbound` judges with the real guard: our own requests pass, whatever else is tried does not."""

import json
from io import StringIO
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from django.core.management import call_command

from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.delivery import deliver_due
from billing.minimization.outbound_scan import judge, judge_line, scanner
from billing.minimization.profile_approval import approve_profile
from billing.models import ChargeReason, Incident, Invoice, OutboundRequest, OutboxStep
from offices.models import Office
from sandbox.stripe_standin import Fault
from tests.builders import ACTOR, Clock, make_office, make_patient, utc
from tests.tampering import lift_rules

pytestmark = pytest.mark.django_db


def candidate(raw, **changes):
    """A recorded request in the form the command reads, with every header that was on the wire."""
    path, _, query = raw.target.partition("?")
    form = parse_qsl(query or raw.body.decode(), keep_blank_values=True)
    headers = dict(raw.headers)
    key = next((value for name, value in headers.items() if name.lower() == "idempotency-key"), None)
    request = {"method": raw.method, "path": path, "params": dict(form), "headers": headers, "idempotency_key": key}
    if "params" in changes:
        request["headers"].pop("Content-Length", None)
        changes["params"] = request["params"] | changes["params"]
    return request | changes


@pytest.fixture
def sent(stripe):
    """What one office's month and a one-off sent, with a lost reply on the way so that looks are among it."""
    stripe.script("POST /v1/customers", [Fault.HANG_AFTER_COMMIT])
    stripe.script("POST /v1/invoices", [Fault.ERROR_AFTER_COMMIT])
    office = make_office()
    patient = make_patient(office, (utc("2026-01-02"), None))
    make_patient(office, (utc("2026-02-20"), None))
    for month in ("2026-03-01", "2026-03-20"):
        run_due(as_of=utc(month), actor=ACTOR, now=utc(month))
    charge_office(office_id=office.pk, charge=Charge(ChargeReason.TRAINING, 9900), actor=ACTOR, now=utc("2026-03-20"))
    clock = Clock(utc("2026-03-20"))
    for _ in range(6):
        deliver_due(clock=clock)
        clock.forward(hours=2)
    assert Invoice.objects.filter(status="sent").count() == 2
    return stripe.requests, patient


def test_every_request_that_was_sent_is_allowed_and_stays_allowed(sent):
    requests, _patient = sent
    guard = scanner()

    verdicts = {(raw.method, raw.target): judge(candidate(raw), guard).reason for raw in requests}

    assert set(verdicts.values()) == {"allowed"}
    assert len({method for method, _ in verdicts}) == 2


def test_nothing_but_the_ledgers_own_values_is_allowed(sent):
    requests, patient = sent
    guard = scanner()
    for raw in requests:
        honest = candidate(raw)
        for name in honest["params"]:
            for other in (str(patient.pk), "Zoë Nuñez", "19840312", "1", ""):
                if other != honest["params"][name]:
                    assert not judge(candidate(raw, params={name: other}), guard).allowed
        assert not judge(candidate(raw, params={"metadata[patient]": "x"}), guard).allowed
        assert not judge(honest | {"headers": honest["headers"] | {"X-Note": "Ann Lee"}}, guard).allowed


def test_a_key_that_we_did_not_store_is_refused_even_when_it_looks_random(sent):
    requests, patient = sent
    guard = scanner()
    posts = [raw for raw in requests if raw.method == "POST"]
    for raw in posts:
        for key in (str(uuid4()), str(patient.pk), None):
            headers = {n: v for n, v in raw.headers if n.lower() != "idempotency-key"}
            assert not judge(candidate(raw, headers=headers, idempotency_key=key), guard).allowed


def test_ids_of_another_office_are_refused(sent):
    requests, _patient = sent
    creation = next(raw for raw in requests if raw.target == "/v1/invoices" and raw.method == "POST")

    verdict = judge(candidate(creation, params={"customer": "cus_ofAnotherOffice"}), scanner())

    assert (verdict.allowed, verdict.reason) == (False, "value_not_expected")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"method": 1, "path": "/v1/customers"}',
        "[" * 100_000,
        '{"method": "GET", "path": []}',
    ],
)
def test_what_is_no_request_gets_a_verdict_and_not_a_crash(tmp_path, line):
    file = tmp_path / "candidates.jsonl"
    file.write_text(
        f'{line}\n{{"method": "DELETE", "path": "/v1/customers/cus_1", "params": {{"a": [1, {{"b": 2}}]}}}}\n'
    )
    out = StringIO()

    call_command("scan_outbound", str(file), stdout=out)

    verdicts = [json.loads(verdict) for verdict in out.getvalue().splitlines()]
    assert verdicts
    assert not any(verdict["allowed"] for verdict in verdicts)


def test_scanning_writes_nothing(sent):
    requests, _patient = sent
    before = (Incident.objects.count(), OutboundRequest.objects.count())

    for raw in requests:
        judge(candidate(raw, params={"name": "Ann Lee"}), scanner())

    assert (Incident.objects.count(), OutboundRequest.objects.count()) == before


def test_nested_parameters_are_read_like_flat_ones(sent):
    requests, _patient = sent
    creation = next(raw for raw in requests if raw.target == "/v1/invoices" and raw.method == "POST")
    flat = candidate(creation)
    nested = {name: value for name, value in flat["params"].items() if not name.startswith("metadata[")}
    nested["metadata"] = {n[9:-1]: v for n, v in flat["params"].items() if n.startswith("metadata[")}

    assert judge(flat | {"params": nested}, scanner()).allowed


def test_what_left_stays_allowed_when_the_profile_was_replaced_since(sent, stripe):
    """Decision 28: a creation under a name that was approved then, a look from a first try that was renewed since."""
    office = Office.objects.get()
    for name in ("Lakeside Dental", "Lakeside Dental Group"):
        approve_profile(office_id=office.pk, name=name, email="", actor=ACTOR, now=utc("2026-03-20"))
        deliver_due(clock=Clock(utc("2026-03-21")))
    step = OutboxStep.objects.get(operation="create_customer")
    lift_rules("billing_outboxstep")
    OutboxStep.objects.filter(pk=step.pk).update(first_sent_at=utc("2026-03-25"), idempotency_key=uuid4())

    requests = stripe.requests
    verdicts = {(raw.method, raw.target): judge(candidate(raw), scanner()).reason for raw in requests}

    assert set(verdicts.values()) == {"allowed"}
    update = next(raw for raw in requests if raw.parameters()[:1] == [("name", "Lakeside Dental")])
    other = candidate(update) | {"idempotency_key": str(step.idempotency_key), "headers": {}}
    assert not judge(other, scanner()).allowed


@pytest.fixture
def honest(sent):
    """A write of ours with nothing but what the command needs."""
    requests, _patient = sent
    raw = next(raw for raw in requests if raw.method == "POST" and raw.target == "/v1/invoices")
    return candidate(raw) | {"headers": {}}


def test_a_value_is_not_hidden_behind_another_spelling_of_its_header(honest):
    key = honest["idempotency_key"]
    for headers in (
        {"User-Agent": "Ann Lee", "user-agent": "clinic-billing/1"},
        {"Idempotency-Key": "Ann Lee", "idempotency-key": key},
        {"Idempotency-Key": key, "IDEMPOTENCY-KEY": "Ann Lee"},
        {"Idempotency-\u212aey": key},
    ):
        assert not judge(honest | {"headers": headers}, scanner()).allowed
    assert judge(honest | {"headers": {"Idempotency-Key": key, "User-Agent": "clinic-billing/1"}}, scanner()).allowed


def test_a_key_is_not_hidden_behind_the_one_among_the_headers(honest):
    hidden = honest | {"headers": {"Idempotency-Key": honest["idempotency_key"]}, "idempotency_key": "Ann Lee"}
    assert judge(hidden, scanner()).reason == "request_malformed"


def test_a_value_is_not_hidden_behind_an_equal_name(honest):
    line = json.dumps(honest)
    assert judge_line(line, scanner()).allowed
    for hidden in (
        line.replace('"params": {', '"params": {"description": "Ann Lee", '),
        line.replace("{", '{"params": {"name": "Ann Lee"}, ', 1),
    ):
        assert judge_line(hidden, scanner()).reason == "request_malformed"


@pytest.mark.parametrize("nothing", [{}, []])
def test_a_name_without_a_value_is_no_parameter(honest, nothing):
    for name in ("Ann Lee", "metadata[Ann Lee]"):
        hidden = honest | {"params": honest["params"] | {name: nothing}}
        assert judge(hidden, scanner()).reason == "request_malformed"
