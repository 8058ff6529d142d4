"""A clinic's portal: a Django test client with an API key, at a moment that stands still."""

import json

import pytest
import time_machine
from django.test import Client

from billing.api_keys import issue_api_key
from billing.models import Invoice, Scope
from tests.builders import ACTOR, make_office, make_patient, utc

NOW = utc("2026-03-20T12:00")  # in the cycle from 15 March of the builders' office


class Portal:
    """Calls the API with a key; `status` and `body` of the last answer read like the sentence."""

    def __init__(self, office, *, scopes=frozenset(Scope), key=None, now=NOW, expires_at=None):
        self.office = office
        self.row = None
        if key is None:
            self.row, key = issue_api_key(
                office_id=office.pk, name="portal", scopes=scopes, actor=ACTOR, now=now, expires_at=expires_at
            )
        self.key = key
        self.client = Client(
            headers={"Authorization": f"Api-Key {key}"}, raise_request_exception=False, enforce_csrf_checks=True
        )

    @property
    def actor(self):
        return f"api-key:{self.row.prefix}"

    def get(self, path, **query):
        return self.client.get(f"/api/{path}", query)

    def post(self, path, body=None):
        return self.client.post(f"/api/{path}", json.dumps({} if body is None else body), "application/json")

    def send(self, method, path, body=b"", content_type="application/json", **headers):
        return self.client.generic(method, f"/api/{path}", body, content_type, headers=headers)


@pytest.fixture
def noon(db):
    """Stop the clock at NOW."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def office(noon):
    return make_office()


@pytest.fixture
def portal(office):
    return Portal(office)


@pytest.fixture
def neighbour(noon):
    """Another office's portal, with every scope."""
    return Portal(make_office())


@pytest.fixture
def ids(portal, noon):
    """The ids of an office with an invoice and a patient who has been active for a minute."""
    patient = make_patient(portal.office)
    assert portal.post(f"billing/patients/{patient.pk}/activate").status_code == 201
    noon.shift(60)
    return {
        "office": str(portal.office.pk),
        "invoice": str(Invoice.objects.get(office=portal.office).pk),
        "patient": str(patient.pk),
    }


def codes(response):
    """The codes of an error answer, by the field at fault."""
    return {error["attr"]: error["code"] for error in response.json()["errors"]}
