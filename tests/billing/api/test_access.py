"""Who may call what: keys, scopes, and one office that never sees another, over every route there is."""

import threading
import uuid
from dataclasses import replace

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from audit.models import AuditEntry
from billing.api.urls import ROUTES
from billing.api_keys import DEFAULT_SCOPES, ApiKeyMalformed, ApiKeyNotFound, issue_api_key, revoke_api_key
from billing.models import OfficeApiKey, Scope
from offices.locking import lock_office
from tests.billing.api.conftest import NOW, Portal, codes
from tests.billing.api.routes import OPERATIONS
from tests.builders import ACTOR, make_office, make_patient, utc

EVERY_CALL = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


# --- Keys ---
@EVERY_CALL
def test_a_call_without_a_key_is_told_how_to_authenticate(ids, operation):
    response = operation.call(Client(), ids)
    assert (response.status_code, codes(response)) == (401, {None: "not_authenticated"})
    assert response["WWW-Authenticate"] == "Api-Key"


def _wrong_keys(key):
    prefix, _, secret = key.partition(".")
    return {
        "another secret": f"Api-Key {prefix}.{'x' * 32}",
        "another prefix": f"Api-Key {'x' * 8}.{secret}",
        "a prefix alone": f"Api-Key {prefix}",
        "another scheme": f"Bearer {key}",
        "no scheme": key,
        "more behind it": f"Api-Key {key} ",
        "a NUL": f"Api-Key \0{key[1:]}",
        "no letters": "Api-Key ••••••••.••••••••••••••••••••••••••••••••",
        "nothing behind the scheme": "Api-Key ",
        "a line break": f"Api-Key {key}\n",
    }


@pytest.mark.parametrize("what", _wrong_keys("x.y"))
def test_a_wrong_key_is_not_authenticated(portal, what):
    header = _wrong_keys(portal.key)[what].encode().decode("latin-1")
    response = portal.client.get("/api/patients", headers={"Authorization": header})
    assert (response.status_code, codes(response)) == (401, {None: "authentication_failed"})
    assert response["WWW-Authenticate"] == "Api-Key"


def test_the_scheme_is_read_in_any_case(portal):
    assert portal.client.get("/api/patients", headers={"Authorization": f"api-key {portal.key}"}).status_code == 200


def test_an_expired_key_is_not_authenticated(office, noon):
    portal = Portal(office, expires_at=utc("2026-03-20T13:00"))
    assert portal.get("patients").status_code == 200
    noon.shift(3601)
    assert portal.get("patients").status_code == 401


def test_a_revoked_key_is_not_authenticated_and_the_offices_other_key_is(office):
    old, new = Portal(office), Portal(office)
    assert revoke_api_key(office_id=office.pk, prefix=old.row.prefix, actor=ACTOR, now=NOW)
    assert not revoke_api_key(office_id=office.pk, prefix=old.row.prefix, actor=ACTOR, now=NOW)
    assert old.get("patients").status_code == 401
    assert new.get("patients").status_code == 200
    told = AuditEntry.objects.filter(action__startswith="api_key.").values_list("action", flat=True)
    assert sorted(told) == ["api_key.issued", "api_key.issued", "api_key.revoked"]


def test_a_key_of_another_office_cannot_be_revoked(office, neighbour):
    with pytest.raises(ApiKeyNotFound):
        revoke_api_key(office_id=office.pk, prefix=neighbour.row.prefix, actor=ACTOR, now=NOW)


def test_the_database_holds_no_key_and_the_audit_no_secret(portal):
    secret = portal.key.partition(".")[2]
    assert not [row for row in OfficeApiKey.objects.values() if secret in str(row)]
    assert not [entry for entry in AuditEntry.objects.values() if secret in str(entry)]


@pytest.mark.parametrize("change", [{"name": " "}, {"name": "n" * 51}, {"scopes": ()}, {"expires_at": NOW}])
def test_a_malformed_key_is_not_issued(office, change):
    with pytest.raises(ApiKeyMalformed):
        issue_api_key(**{"office_id": office.pk, "name": "portal", "actor": ACTOR, "now": NOW} | change)
    assert not OfficeApiKey.objects.exists()


@pytest.mark.parametrize("scopes", ["", "everything", "invoices:read,patients:read", "invoices:read "])
def test_the_database_refuses_scopes_that_do_not_exist(portal, scopes):
    with pytest.raises(IntegrityError), transaction.atomic():
        OfficeApiKey.objects.update(scopes=scopes)


def test_a_key_does_not_read_identities_unless_told():
    assert frozenset(Scope) - {Scope.PATIENTS_IDENTITY} == DEFAULT_SCOPES


# --- Scopes ---
@EVERY_CALL
def test_a_missing_scope_is_named(office, ids, operation):
    response = operation.call(Portal(office, scopes=set(Scope) - {operation.scope}).client, ids)
    assert (response.status_code, codes(response)) == (403, {None: "scope_missing"})
    assert operation.scope in response.json()["errors"][0]["detail"]


def test_every_action_names_a_scope():
    missing = [
        (route.path, action)
        for route in ROUTES
        for action in route.actions.values()
        if action not in route.viewset.scopes
    ]
    assert missing == []


# --- One office never sees another ---
@EVERY_CALL
def test_another_offices_ids_and_ids_of_nobody_get_the_same_answer(ids, neighbour, operation):
    nobody = {name: str(uuid.uuid4()) for name in ids}
    foreign, absent = operation.call(neighbour.client, ids), operation.call(neighbour.client, nobody)
    assert (foreign.status_code, codes(foreign)) == (404, {None: "not_found"})
    assert (absent.status_code, absent.content) == (foreign.status_code, foreign.content)


def test_another_offices_invoice_under_the_own_office_does_not_exist(ids, neighbour):
    path = f"billing/invoices/{neighbour.office.pk}/{ids['invoice']}"
    assert neighbour.get(path).status_code == 404


def test_filters_and_cursors_of_another_office_show_nothing(portal, ids, neighbour):
    for number in range(3):
        portal.post("patients", {"external_id": str(number)})
    cursor = portal.get("patients", page_size="1").json()["next"].partition("?")[2]
    foreign = neighbour.client.get(f"/api/patients?{cursor}").json()
    assert foreign["results"] == []
    own = f"billing/invoices/{neighbour.office.pk}"
    assert neighbour.get(own, status="draft", cycle="2026-03").json()["results"] == []


# --- Methods and addresses ---
@EVERY_CALL
def test_a_trailing_slash_is_tolerated(portal, ids, operation):
    with_slash = replace(operation, path=f"{operation.path}/")
    assert with_slash.call(portal.client, ids).status_code in {200, 201}


@pytest.mark.parametrize(
    "path",
    [
        "", "nothing", "billing", "billing/", "billing/invoices/1", "billing/invoices/a.b",
        "billing/invoices/{office}.json", "billing/invoices/{office}/x.y", "billing/payment-status/..%2f",
        "billing/patients/x/activate", "patients/1",
        "billing/invoices/%00", "billing/invoices/{office}%0A", "billing/invoices//{office}", "schema/x", "docs/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("debug", [False, True])
def test_an_address_that_does_not_exist_is_a_404_in_json(portal, settings, path, method, debug):
    settings.DEBUG = debug
    response = portal.send(method, path.format(office=portal.office.pk))
    assert (response.status_code, codes(response)) == (404, {None: "not_found"})
    assert response["Content-Type"] == "application/json"


def test_the_api_itself_is_a_404_in_json_and_other_addresses_are_pages(portal):
    assert codes(portal.client.get("/api", follow=True)) == {None: "not_found"}
    assert portal.client.get("/apiary")["Content-Type"].startswith("text/html")


def test_a_host_that_is_not_ours_is_a_400_in_json(portal):
    response = portal.client.get("/api/patients", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert codes(response) == {None: "bad_request"}


def test_an_answer_nobody_accepts_is_a_406(portal):
    response = portal.client.get("/api/patients", headers={"Accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (406, "application/json")


@pytest.mark.parametrize("path", ["schema/", "docs/"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_the_descriptions_refuse_in_json_too(portal, path, method):
    response = portal.send(method, path)
    assert (response.status_code, codes(response)) == (405, {None: "method_not_allowed"})
    assert response["Content-Type"] == "application/json"
    assert "GET" in response["Allow"]
    assert codes(portal.client.get("/api/schema/", headers={"Accept": "text/html"})) == {None: "not_acceptable"}


def test_a_bug_is_a_500_in_json_without_details(portal):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_billingcycle RENAME TO gone")
    response = portal.get("patients")
    assert (response.status_code, codes(response)) == (500, {None: "error"})
    assert b"billingcycle" not in response.content


# --- A busy office ---
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_office_that_stays_busy_answers_503_and_when_to_try_again():
    portal = Portal(make_office())
    patient = make_patient(portal.office)
    held, answered = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            lock_office(portal.office.pk)
            held.set()
            answered.wait(timeout=20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(timeout=10)
        response = portal.post(f"billing/patients/{patient.pk}/activate")
    finally:
        answered.set()
        holder.join()
    assert (response.status_code, codes(response)) == (503, {None: "office_busy"})
    assert int(response["Retry-After"]) >= 1
    assert portal.post(f"billing/patients/{patient.pk}/activate").status_code == 201
