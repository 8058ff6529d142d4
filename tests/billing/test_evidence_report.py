"""What an auditor is handed says the truth about the tables, and quotes nothing that must not be written down."""

import json
import stat
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.core.management import call_command
from django.core.management.base import CommandError

from billing.canary import run_canary
from billing.incidents import dispose_incident, record_canary_failure, record_incident
from billing.minimization.evidence_markdown import as_markdown
from billing.minimization.evidence_report import MonthInvalid, evidence_report
from billing.models import CanaryRun, OfficeProfile, OutboundRequest
from billing.stripe_gateway.evidence import request_digest
from billing.stripe_gateway.outbound_values import CATALOGUE
from billing.stripe_gateway.policy import POLICY_VERSION
from billing.stripe_gateway.refusal import Refusal, RefusalReason
from offices.encryption import field_keys
from patients.identity_rotation import rotate_field_keys
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain
from tests.builders import ACTOR, make_office, utc
from tests.tampering import execute, lift_rules

MARKER = "Amelie Zweistein"
APRIL = utc("2026-04-02")


@pytest.fixture
def march(stripe, db):
    """A delivered month, all of it in March; one reply was lost on the way."""
    with time_machine.travel(CLOSED_AT, tick=True):
        invoice = close_month()
        stripe.script("POST /v1/invoices", [Fault.HANG_AFTER_COMMIT])
        drain(SharedClock(CLOSED_AT, stripe))
        run_canary(actor=ACTOR, now=CLOSED_AT)
    return invoice


def report(month="2026-03", now=APRIL):
    return evidence_report(month, now=now)


def sent(office_id=None, *, at=CLOSED_AT, operation="create_customer", body="", message=None, query=""):
    return OutboundRequest.objects.create(
        message=message, sent_at=at, operation=operation, method="POST", path="/v1/x", query=query, body=body,
        digest=request_digest("POST", "/v1/x", query, body), policy_version=POLICY_VERSION,
    )  # fmt: skip


def test_a_clean_month_counts_what_stripe_saw_and_needs_no_attention(march, stripe):
    found = report()

    assert found.attention == []
    assert found.inspected == sum(found.sent_by_operation.values()) == len(stripe.requests)
    assert found.sent_by_operation["create_invoice_item"] == 2
    assert set(found.descriptions_sent) == stripe.distinct_descriptions() <= CATALOGUE
    assert found.descriptions_not_in_catalogue == 0
    assert (found.profiles.opaque_names, found.profiles.vendor_mailbox, found.profiles.not_approved) == (1, 1, 0)
    assert (found.policy_versions, found.current_policy_version) == ([POLICY_VERSION], POLICY_VERSION)
    assert found.complete


def _sealed(text):
    return field_keys().encrypt(text, context="billing.outboundrequest.body")


@pytest.mark.parametrize(
    "stored",
    [
        _sealed,
        lambda text: text,
        lambda text: f"1:{'0' * 12}:{_sealed(text)[15:]}",
        lambda text: field_keys().encrypt(text, context="billing.outboundrequest.query"),
        lambda text: _sealed(text)[:-8],
    ],
    ids=["under our key", "in clear", "under no key of ours", "of another column", "cut"],
)
def test_evidence_that_somebody_changed_is_told_and_not_quoted(march, stored):
    lift_rules("billing_outboundrequest")
    changed = OutboundRequest.objects.filter(operation="create_invoice_item").first()
    execute("UPDATE billing_outboundrequest SET body = %s WHERE id = %s", stored(f"description={MARKER}"), changed.pk)

    found = report()
    assert found.altered == 1
    assert found.attention == ["evidence_altered"]
    assert MARKER not in as_markdown(found) + repr(found)
    assert "changed since: 1" in as_markdown(found)


def test_rotated_evidence_still_proves_what_left(march, settings):
    settings.FIELD_ENCRYPTION_KEYS = ["a-new-field-key-of-enough-length-0123456789", *settings.FIELD_ENCRYPTION_KEYS]
    before = sorted(OutboundRequest.objects.values_list("path", "query", "body", "digest"))
    rotation = rotate_field_keys(actor=ACTOR, now=CLOSED_AT, progress=lambda _done, _total: None)
    assert rotation.rewritten["billing.outboundrequest.body"] == OutboundRequest.objects.count()

    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    assert sorted(OutboundRequest.objects.values_list("path", "query", "body", "digest")) == before
    assert report().attention == []


@pytest.mark.parametrize("name", ["description", "price_data[product_data][description]", "lines[0][description]"])
def test_a_text_that_is_not_in_the_catalogue_is_counted_and_never_quoted(march, name):
    sent(operation="create_invoice_item", body=f"{name}={MARKER.replace(' ', '+')}")

    found = report()
    assert found.descriptions_not_in_catalogue == 1
    assert found.attention == ["description_not_in_catalogue"]
    assert MARKER not in as_markdown(found) + repr(found)


def test_a_text_that_left_before_the_month_still_counts(march):
    sent(at=utc("2026-01-01"), operation="create_invoice_item", body="description=Anything")
    assert report().descriptions_not_in_catalogue == 1


def test_an_approved_value_is_listed_with_its_approver_also_when_another_replaced_it(march):
    office = march.office
    values = {"name": "Lakeside Dental", "email": "billing@lakeside.example", "approved_by": "staff:jo"}
    OfficeProfile.objects.create(office=office, approved_at=CLOSED_AT, replaced_at=CLOSED_AT, **values)
    sent(body=f"name=Lakeside+Dental&email=billing%40lakeside.example&metadata%5Boffice_id%5D={office.pk}")

    found = report()
    assert [(each.office, each.field, each.value, each.approved_by) for each in found.profiles.approved] == [
        (office.reference, "email", "billing@lakeside.example", "staff:jo"),
        (office.reference, "name", "Lakeside Dental", "staff:jo"),
    ]
    assert found.attention == []


def test_a_value_approved_for_another_office_is_not_approved(march):
    values = {"name": MARKER, "approved_by": "staff:jo", "approved_at": CLOSED_AT}
    OfficeProfile.objects.create(office=make_office(), **values)
    sent(body=f"name={MARKER.replace(' ', '+')}&metadata%5Boffice_id%5D={march.office_id}")

    found = report()
    assert found.profiles.not_approved == 1
    assert found.attention == ["profile_value_not_approved"]
    assert MARKER not in as_markdown(found)


def test_a_changed_profile_is_judged_for_the_office_of_its_message(march):
    message = march.outbox_messages.get()
    sent(body="name=Nobody+approved", message=message, operation="update_customer")
    assert report().profiles.not_approved == 1


def test_incidents_are_told_with_the_finding_and_without_staffs_words(march):
    refusal = Refusal(RefusalReason.VALUE_NOT_EXPECTED)
    incident = record_incident(refusal, call_site="delivery", actor=ACTOR, now=CLOSED_AT)
    assert report().attention == ["incident_open"]
    dispose_incident(incident_id=incident.pk, disposition=f"drill: {MARKER}", actor="staff:jo", now=CLOSED_AT)

    found = report()
    assert found.attention == []
    assert found.blocked_by_reason == {"value_not_expected": 1}
    (told,) = found.incidents
    assert (told.incident, told.finding, told.disposed_by) == (str(incident.pk), "drill", "staff:jo")
    assert MARKER not in as_markdown(found) + repr(found)


def test_words_in_place_of_a_finding_are_not_quoted(march):
    refusal = Refusal(RefusalReason.VALUE_NOT_EXPECTED)
    incident = record_incident(refusal, call_site="delivery", actor=ACTOR, now=CLOSED_AT)
    dispose_incident(incident_id=incident.pk, disposition=MARKER, actor="staff:jo", now=CLOSED_AT)
    assert report().incidents[0].finding == "in_words"


def test_a_canary_that_passed_is_attention_and_no_blocked_request(march):
    CanaryRun.objects.create(at=CLOSED_AT, blocked=False)
    incident = record_canary_failure(actor=ACTOR, now=CLOSED_AT)
    dispose_incident(incident_id=incident.pk, disposition="defect_mended", actor=ACTOR, now=CLOSED_AT)

    found = report()
    assert found.attention == ["canary_not_blocked"]
    assert found.blocked_by_reason == {}


@pytest.mark.django_db
def test_canary_uptime_counts_hours_since_the_first_run():
    first = utc("2026-03-31T12:35")
    for hours in (0, 0.2, 1, 4):
        CanaryRun.objects.create(at=first + timedelta(hours=hours), blocked=True)

    canary = report().canary
    assert (canary.runs, canary.blocked, canary.hours, canary.hours_with_a_run) == (4, 4, 12, 3)
    assert canary.uptime_percent == 25
    assert report(month="2026-04").canary.hours == 24


@pytest.mark.django_db
def test_a_month_without_any_canary_is_attention():
    assert report().attention == ["canary_never_tried"]


def test_a_report_made_later_has_the_same_digest_and_a_changed_chain_another(march):
    before = report()
    with time_machine.travel(APRIL, tick=False):
        record_incident(Refusal(RefusalReason.IDEMPOTENCY_KEY), call_site="delivery", actor=ACTOR, now=APRIL)

    later = report(now=APRIL + timedelta(days=1))
    assert later == before
    assert report(month="2026-04", now=APRIL + timedelta(days=1)).chain.digest != before.chain.digest


def test_the_present_month_counts_up_to_now_and_says_so(march):
    found = report(now=CLOSED_AT + timedelta(days=1))
    assert not found.complete
    assert "has not ended" in as_markdown(found)


@pytest.mark.django_db
@pytest.mark.parametrize("month", ["2026-13", "2026-3", "March", "2026-05", "1999-01", "2026-03\n"])
def test_what_is_no_month_of_the_past_is_refused(month):
    with pytest.raises(MonthInvalid):
        report(month=month)


@pytest.mark.django_db
def test_december_ends_with_the_year():
    assert report(month="2025-12").complete
    assert report(month="2025-12").canary.hours == 31 * 24


def run(capsys, *arguments):
    code = 0
    try:
        call_command("evidence_report", *arguments)
    except SystemExit as left:
        code = left.code
    except CommandError as error:
        code = error.returncode
    return code, capsys.readouterr().out


def test_the_command_writes_a_page_and_a_json_file_for_their_owner_alone(march, capsys, tmp_path):
    with time_machine.travel(APRIL, tick=False):
        code, out = run(capsys, "--month", "2026-03", "--out", str(tmp_path / "evidence"), "--json")

    assert (code, json.loads(out)["counts"]["texts_not_in_catalogue"]) == (0, 0)
    written = {path.name: path for path in tmp_path.iterdir()}
    assert set(written) == {"evidence.md", "evidence.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written.values()} == {0o600}
    kept = json.loads(written["evidence.json"].read_text())
    assert kept["chain"]["digest"] in written["evidence.md"].read_text()
    assert kept["month"] == "2026-03"


def test_the_command_exits_1_when_a_text_is_not_in_the_catalogue_and_2_for_no_month(march, capsys, tmp_path):
    sent(operation="create_invoice_item", body="description=Anything")
    with time_machine.travel(APRIL, tick=False):
        code, out = run(capsys, "--month", "2026-03", "--json")
        assert (code, json.loads(out)["problems"][0]["code"]) == (1, "description_not_in_catalogue")
        assert run(capsys, "--month", "2026-03")[1].startswith("# Evidence for 2026-03")
        assert run(capsys, "--month", "soon", "--json")[0] == 2
        assert run(capsys, "--month", "2026-03", "--out", str(tmp_path / "absent" / str(uuid4())), "--json")[0] == 2
