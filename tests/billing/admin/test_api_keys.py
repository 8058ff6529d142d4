"""Keys in the console: issued and shown once, revoked after a question, by those who may."""

import re

import pytest
from django.urls import reverse

from audit.models import AuditEntry
from billing.api.credentials import credential_of_key
from billing.models import OfficeApiKey, PlatformApiKey, Scope
from billing.platform_keys import issue_platform_key
from tests.billing.admin.conftest import permit
from tests.builders import ACTOR, make_office, utc

ISSUE = {kind: f"admin:billing_{kind}_issue" for kind in ("officeapikey", "platformapikey")}
NOW = utc("2026-03-20T12:00")


def _ask(**changes):
    return {"offices": "", "name": "portal", "scopes": ["invoices:read", "patients:write"], "expires_on": ""} | changes


def _shown(page):
    return re.search(r'<code id="key">([^<]+)</code>', page.content.decode())[1]


def test_a_key_of_an_office_is_shown_once_and_opens_what_it_says(boss):
    office = make_office()
    page = boss.post(reverse(ISSUE["officeapikey"]), _ask(offices=office.reference))
    credential = credential_of_key(_shown(page))
    assert (credential.office_ids, credential.scopes) == (
        {office.pk}, {Scope.INVOICES_READ, Scope.PATIENTS_WRITE},
    )  # fmt: skip
    assert "no-store" in page.headers["Cache-Control"]
    key = OfficeApiKey.objects.get()
    for address in ("changelist", "change"):
        arguments = [key.prefix] if address == "change" else []
        listed = boss.get(reverse(f"admin:billing_officeapikey_{address}", args=arguments)).content.decode()
        assert _shown(page).partition(".")[2] not in listed
    assert AuditEntry.objects.get(action="api_key.issued").actor == "staff:boss"


def test_a_platform_key_names_its_offices_on_its_page(boss):
    offices = [make_office(), make_office()]
    words = "\n".join(office.reference for office in offices)
    page = boss.post(reverse(ISSUE["platformapikey"]), _ask(offices=words, expires_on="2999-01-01"))
    assert credential_of_key(_shown(page)).office_ids == {office.pk for office in offices}
    row = PlatformApiKey.objects.get()
    assert row.expiry_date == utc("2999-01-01")
    told = boss.get(reverse("admin:billing_platformapikey_change", args=[row.prefix])).content.decode()
    assert all(office.reference in told for office in offices)
    assert "platform_key.issued" in told


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("officeapikey", {"offices": "nobody"}),
        ("officeapikey", {"offices": "{0} {1}"}),
        ("officeapikey", {"offices": "{0}", "scopes": []}),
        ("officeapikey", {"offices": "{0}", "scopes": ["everything"]}),
        ("officeapikey", {"offices": "{0}", "name": " "}),
        ("officeapikey", {"offices": "{0}", "expires_on": "2001-01-01"}),
        ("platformapikey", {"offices": "{0} nobody"}),
        ("platformapikey", {"offices": " "}),
    ],
)
def test_a_form_that_is_wrong_issues_nothing_and_says_why(boss, kind, changes):
    references = [make_office().reference, make_office().reference]
    asked = {name: value.format(*references) if isinstance(value, str) else value for name, value in changes.items()}
    page = boss.post(reverse(ISSUE[kind]), _ask(**asked))
    assert page.status_code == 200
    assert page.context["form"].errors
    assert not OfficeApiKey.objects.exists()
    assert not PlatformApiKey.objects.exists()


def test_revoking_asks_first_and_is_for_good(boss):
    offices = [make_office(), make_office()]
    row, key = issue_platform_key(office_ids=[o.pk for o in offices], name="portal", actor=ACTOR, now=NOW)
    address = reverse("admin:billing_platformapikey_revoke", args=[row.prefix])
    assert boss.get(address).status_code == 200
    assert credential_of_key(key)
    for _ in range(2):
        assert boss.post(address, follow=True).status_code == 200
    row.refresh_from_db()
    assert row.revoked
    assert AuditEntry.objects.filter(action="platform_key.revoked").count() == 3  # two offices and the key's own
    assert boss.post(reverse("admin:billing_platformapikey_revoke", args=["P-nobody"])).status_code == 404


def test_issuing_and_revoking_need_permissions_of_their_own(clerk):
    office = make_office()
    permit("clerk", "view_officeapikey", "view_platformapikey")
    row, _ = issue_platform_key(office_ids=[office.pk], name="portal", actor=ACTOR, now=NOW)
    revoke = reverse("admin:billing_platformapikey_revoke", args=[row.prefix])
    for address in (*map(reverse, ISSUE.values()), revoke):
        assert clerk.get(address).status_code == 403
        assert clerk.post(address, _ask(offices=office.reference)).status_code == 403
    row.refresh_from_db()
    assert not row.revoked
    permit("clerk", "view_officeapikey", "add_officeapikey")
    assert clerk.post(reverse(ISSUE["officeapikey"]), _ask(offices=office.reference)).status_code == 200
    assert OfficeApiKey.objects.count() == 1
