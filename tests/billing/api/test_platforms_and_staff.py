"""Callers that reach beyond one office: platforms act for the offices they were given, staff may read; both leave a
trail of every use."""

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from audit.chain import verify
from audit.models import AuditEntry
from billing.api_keys import ApiKeyMalformed, ApiKeyNotFound
from billing.models import Invoice, OfficeApiKey, PlatformApiKey, PlatformKeyOffice, Role, Scope
from billing.platform_keys import issue_platform_key, key_stream, revoke_platform_key
from offices.locking import OfficeNotFound
from tests.billing.api.conftest import NOW, Portal, codes
from tests.builders import ACTOR, make_office, make_patient
from tests.staff import logged_in, member


@pytest.fixture
def offices(noon):
    return [make_office(), make_office()]


@pytest.fixture
def platform(offices):
    row, key = issue_platform_key(
        office_ids=[office.pk for office in offices], name="platform", scopes=frozenset(Scope), actor=ACTOR, now=NOW
    )
    portal = Portal(offices[0], key=key)
    portal.row = row
    return portal


def trail(row, action):
    entries = AuditEntry.objects.filter(stream=key_stream(row.prefix), action=action).order_by("seq")
    return [json.loads(entry.payload) for entry in entries]


# --- Acting for several offices ---
def test_a_platform_acts_for_each_of_its_offices(platform, offices):
    for office in offices:
        patient = platform.post("patients", {"office_id": str(office.pk), "external_id": "1"}).json()
        assert patient["office_id"] == str(office.pk)
        line = platform.post(f"billing/patients/{patient['patient_id']}/activate").json()["line_items"][0]
        invoice = Invoice.objects.get(pk=line["invoice_id"])
        assert invoice.office == office
        assert platform.get(f"billing/payment-status/{invoice.pk}").json()["office_id"] == str(office.pk)
        accounts = platform.get("patients", office_id=str(office.pk)).json()["results"]
        assert [row["patient_id"] for row in accounts] == [patient["patient_id"]]


@pytest.mark.parametrize("call", [lambda p: p.get("patients"), lambda p: p.post("patients", {"external_id": "1"})])
def test_a_platform_must_say_which_office_it_means(platform, call):
    response = call(platform)
    assert (response.status_code, codes(response)) == (400, {"office_id": "required"})


def test_a_platform_of_one_office_must_say_so_too(noon):
    """What it may leave out must not change when a second office is added."""
    office = make_office()
    _, key = issue_platform_key(office_ids=[office.pk], name="platform", actor=ACTOR, now=NOW)
    portal = Portal(office, key=key)
    assert codes(portal.get("patients")) == {"office_id": "required"}
    assert portal.get("patients", office_id=str(office.pk)).status_code == 200


# --- Issued, audited, revoked ---
def test_every_office_and_the_key_itself_tell_of_the_issue(platform, offices):
    streams = AuditEntry.objects.filter(action="platform_key.issued").values_list("stream", flat=True)
    assert set(streams) == {*(f"office:{office.reference}" for office in offices), key_stream(platform.row.prefix)}


def test_each_use_is_recorded_with_its_address_and_nothing_that_was_sent(platform, offices):
    patient = make_patient(offices[1])
    platform.get(f"billing/offices/{offices[1].pk}/summary")
    platform.post(f"billing/patients/{patient.pk}/activate")
    assert trail(platform.row, "api.used") == [
        {"method": "GET", "office": str(offices[1].pk), "route": "api/billing/offices/<uuid:office_id>/summary"},
        {"method": "POST", "office": None, "route": "api/billing/patients/<uuid:patient_id>/activate"},
    ]
    activated = AuditEntry.objects.get(action="patient.activated")
    assert (activated.actor, activated.stream) == (key_stream(platform.row.prefix), f"office:{offices[1].reference}")
    assert verify()[1] == []


def test_a_refused_try_is_recorded_though_its_transaction_is_undone(platform):
    other = make_office()
    assert platform.get(f"billing/offices/{other.pk}/summary").status_code == 404
    assert [use["office"] for use in trail(platform.row, "api.refused")] == [str(other.pk)]
    assert trail(platform.row, "api.used") == []


def test_an_offices_own_key_leaves_no_trail_of_reads(offices):
    portal = Portal(offices[0])
    before = AuditEntry.objects.count()
    assert portal.get("patients").status_code == 200
    assert AuditEntry.objects.count() == before


def test_a_revoked_platform_key_is_refused_and_its_offices_are_told(platform, offices):
    assert revoke_platform_key(prefix=platform.row.prefix, actor=ACTOR, now=NOW)
    assert not revoke_platform_key(prefix=platform.row.prefix, actor=ACTOR, now=NOW)
    assert platform.get("patients", office_id=str(offices[0].pk)).status_code == 401
    assert AuditEntry.objects.filter(action="platform_key.revoked").count() == 3
    with pytest.raises(ApiKeyNotFound):
        revoke_platform_key(prefix="P-nobody", actor=ACTOR, now=NOW)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"office_ids": []}, ApiKeyMalformed),
        ({"office_ids": ["3f0c3a52-9d0e-4a57-8a53-6f0d4c1a2b3c"]}, OfficeNotFound),
        ({"scopes": ()}, ApiKeyMalformed),
        ({"name": " "}, ApiKeyMalformed),
        ({"expires_at": NOW}, ApiKeyMalformed),
    ],
)
def test_a_malformed_platform_key_is_not_issued(offices, change, error):
    given = {"office_ids": [offices[0].pk], "name": "platform", "actor": ACTOR, "now": NOW} | change
    with pytest.raises(error):
        issue_platform_key(**given)
    assert not PlatformApiKey.objects.exists()


def test_the_kinds_of_key_are_told_apart_by_their_prefix_and_stored_as_digests(platform, offices):
    own = Portal(offices[0])
    assert platform.key.startswith("P-")
    assert not own.key.startswith("P-")
    secret = platform.key.partition(".")[2]
    assert not [row for row in PlatformApiKey.objects.values() if secret in str(row)]
    assert {row.platform_key_id for row in PlatformKeyOffice.objects.all()} == {platform.row.prefix}


# --- Commands ---
def run(name, *arguments, capsys):
    call_command(name, *arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_the_command_issues_a_platform_key_and_revokes_either_kind(offices, capsys):
    references = [office.reference for office in offices]
    key = run("create_api_key", "--office", *references, "--platform", "--name", "x", capsys=capsys)["key"]
    assert Portal(offices[1], key=key).get("patients", office_id=str(offices[1].pk)).status_code == 200
    own = run("create_api_key", "--office", references[0], "--name", "x", capsys=capsys)["key"]
    for each in (key, own):
        prefix = each.partition(".")[0]
        for dry, changed in (["--dry-run"], 1), ([], 1), ([], 0):
            printed = run("revoke_api_key", prefix, "--by", "jo", *dry, capsys=capsys)
            assert printed["counts"] == {"keys_revoked": changed}
    assert not OfficeApiKey.objects.filter(revoked=False).exists()
    assert not PlatformApiKey.objects.filter(revoked=False).exists()
    assert AuditEntry.objects.get(action="api_key.revoked").actor == "command:revoke_api_key:jo"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("create_api_key", ["--office", "{0}", "{1}", "--name", "x"]),
        ("create_api_key", ["--office", "{0}", "nobody", "--platform", "--name", "x"]),
        ("revoke_api_key", ["nobody", "--by", "jo"]),
        ("revoke_api_key", ["P-nobody", "--by", "jo"]),
    ],
)
def test_wrong_arguments_are_a_usage_error(offices, name, arguments):
    with pytest.raises(CommandError) as refused:
        call_command(name, *[word.format(*(office.reference for office in offices)) for word in arguments])
    assert refused.value.returncode == 2
    assert not PlatformApiKey.objects.exists()


# --- Staff ---
@pytest.fixture
def staff(noon):
    return logged_in(member("ann", Role.BILLER), raise_request_exception=False)


def test_staff_read_every_office_and_each_read_is_recorded(staff, ids, offices):
    paths = [
        f"billing/invoices/{ids['office']}", f"billing/invoices/{ids['office']}/{ids['invoice']}",
        f"billing/payment-status/{ids['invoice']}", f"billing/offices/{offices[0].pk}/summary",
        f"patients?office_id={ids['office']}",
    ]  # fmt: skip
    for path in paths:
        assert staff.get(f"/api/{path}").status_code == 200, path
    assert codes(staff.get("/api/patients")) == {"office_id": "required"}
    assert AuditEntry.objects.filter(stream="staff:ann", action="api.used").count() == len(paths)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_staff_whose_pages_name_no_patient_account_read_none_here(ids, role):
    client = logged_in(member("vic", role))
    for path in (f"billing/invoices/{ids['office']}/{ids['invoice']}", f"patients?office_id={ids['office']}"):
        response = client.get(f"/api/{path}")
        assert (response.status_code, codes(response)) == (403, {None: "scope_missing"})
        assert ids["patient"].encode() not in response.content


def test_a_try_without_the_scope_is_recorded_and_counted(offices, settings):
    settings.API_RATE_PER_MINUTE = 2
    row, key = issue_platform_key(
        office_ids=[offices[0].pk], name="platform", scopes={Scope.INVOICES_READ}, actor=ACTOR, now=NOW
    )
    platform = Portal(offices[0], key=key)
    assert [platform.post("patients", {"external_id": "1"}).status_code for _ in range(3)] == [403, 403, 429]
    assert trail(row, "api.refused") == [{"method": "POST", "office": None, "route": "api/patients"}] * 2


def test_a_key_counts_more_than_a_session_beside_it(staff, ids, neighbour):
    response = staff.get(f"/api/billing/payment-status/{ids['invoice']}", headers={
        "Authorization": f"Api-Key {neighbour.key}"})  # fmt: skip
    assert response.status_code == 404


def test_a_session_whose_user_was_switched_off_reads_nothing(staff, ids):
    User.objects.update(is_active=False)
    assert staff.get(f"/api/billing/payment-status/{ids['invoice']}").status_code == 401
