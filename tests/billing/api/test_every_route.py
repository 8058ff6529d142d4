"""Every route x every method x every kind of credential: one table of what each is answered."""

import itertools

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from audit.models import AuditEntry
from billing.api.credentials import SCOPES_OF_STAFF
from billing.api.urls import ROUTES
from billing.api_keys import issue_api_key, revoke_api_key
from billing.models import Invoice, LineItem, Scope
from billing.platform_keys import issue_platform_key, revoke_platform_key
from patients.models import ActivityPeriod, Patient
from tests.billing.api.conftest import NOW, Portal
from tests.billing.api.routes import METHODS, OPERATIONS, PATHS, in_words
from tests.builders import ACTOR, make_office, utc
from tests.staff import logged_in

EVERY = frozenset(Scope)
DONE = {200, 201}


def _client(key):
    return Client(headers={"Authorization": f"Api-Key {key}"}, raise_request_exception=False)


def _office_key(office, scopes=EVERY, *, expires_at=None):
    return Portal(office, scopes=scopes, expires_at=expires_at, now=utc("2026-01-01"))


def _platform(*offices, scopes=EVERY):
    row, key = issue_platform_key(
        office_ids=[office.pk for office in offices], name="platform", scopes=scopes, actor=ACTOR, now=NOW
    )
    return row, _client(key)


def _revoked(office, operation):
    portal = _office_key(office)
    revoke_api_key(office_id=office.pk, prefix=portal.row.prefix, actor=ACTOR, now=NOW)
    return portal.client


def _revoked_platform(office, operation):
    row, client = _platform(office)
    revoke_platform_key(prefix=row.prefix, actor=ACTOR, now=NOW)
    return client


def _bad(office, operation):
    _, key = issue_api_key(office_id=office.pk, name="portal", actor=ACTOR, now=NOW)
    return _client(f"{key.partition('.')[0]}.{'x' * 32}")


def _session(*permissions, staff=True):
    user = User.objects.create_user("ann", is_staff=staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return logged_in(user, raise_request_exception=False)


VIEW = [permission.partition(".")[2] for needed in SCOPES_OF_STAFF.values() for permission in needed]
LEAVES_A_TRACE = (
    "a platform of other offices",
    "a platform without the scope",
    "a session of staff who may view nothing",
)
# Kind: how such a caller is made, and what it is answered to a read and to a write.
KINDS = {
    "no credential": (lambda office, operation: Client(), {401}, {401}),
    "a bad key": (_bad, {401}, {401}),
    "an expired key": (lambda o, _: _office_key(o, expires_at=utc("2026-03-20T11:59")).client, {401}, {401}),
    "a revoked key": (_revoked, {401}, {401}),
    "a key without the scope": (lambda o, op: _office_key(o, EVERY - {op.scope}).client, {403}, {403}),
    "a key with that scope alone": (lambda o, op: _office_key(o, {op.scope}).client, DONE, DONE),
    "a key of another office": (lambda o, _: _office_key(make_office()).client, {404}, {404}),
    "a platform of the office": (lambda o, _: _platform(o, make_office())[1], DONE, DONE),
    "a platform without the scope": (lambda o, op: _platform(o, scopes=EVERY - {op.scope})[1], {403}, {403}),
    "a platform of other offices": (lambda o, _: _platform(make_office(), make_office())[1], {404}, {404}),
    "a revoked platform": (_revoked_platform, {401}, {401}),
    "a session of staff": (lambda o, _: _session(*VIEW), DONE, {401}),
    "a session of staff who may view nothing": (lambda o, _: _session(), {403}, {401}),
    "a session of somebody else": (lambda o, _: _session(*VIEW, staff=False), {401}, {401}),
}


def _everything():
    return [list(model.objects.order_by("pk").values()) for model in (Invoice, LineItem, Patient, ActivityPeriod)]


def test_the_table_holds_every_method_of_every_route():
    there = {f"{method} {in_words(route.path)}" for route in ROUTES for method in route.actions}
    assert there == {str(operation) for operation in OPERATIONS}


@pytest.mark.parametrize(("operation", "kind"), itertools.product(OPERATIONS, KINDS), ids=str)
def test_every_kind_of_credential_is_answered_as_the_table_says(ids, office, operation, kind):
    make, to_a_read, to_a_write = KINDS[kind]
    caller = make(office, operation)
    before, trail = _everything(), AuditEntry.objects.count()
    response = operation.call(caller, ids)
    assert response.status_code in (to_a_read if operation.method == "get" else to_a_write), response.content
    if response.status_code not in DONE:
        assert response["Content-Type"] == "application/json"
        assert not [value for value in ids.values() if value.encode() in response.content]
        assert _everything() == before
        # A caller that reaches beyond one office leaves a trace of what it tried.
        assert AuditEntry.objects.count() == trail + (kind in LEAVES_A_TRACE and response.status_code != 401)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_method_that_the_route_does_not_have_is_refused_for_every_kind(ids, office, path, kind):
    operation = next(each for each in OPERATIONS if each.path == path)
    caller = KINDS[kind][0](office, operation)
    known = {each.method for each in OPERATIONS if each.path == path}
    unknown = METHODS - known - ({"head"} if "get" in known else set())
    before = _everything()
    for method in sorted(unknown):
        response = caller.generic(method.upper(), f"/api/{path.format(**ids)}")
        assert response.status_code in {401, 405}, (method, response.content)
    assert _everything() == before
