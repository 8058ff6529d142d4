"""Whatever is sent as a body, the worst answer is a 4xx, and nothing is changed."""

import json

import pytest

from billing.models import Invoice
from patients.models import ActivityPeriod, Patient
from tests.billing.api.conftest import codes
from tests.builders import make_patient

DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"external_id": ' + b"[" * 20 + b"]" * 20 + b"}",
        b'{"external_id": NaN}',
        b'{"external_id": -Infinity}',
        b'{"external_id": "1", "external_id": "2"}',
        b'{"external_id": "\xff"}',
        b'{"external_id": "a\\u0000b"}',
        b'{"external_id": "a\\ud800b"}',
        b'{"a\\u0000b": "1"}',
        b'{"external_id": "a\x00b"}',
        b'{"external_id": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b'{"external_id": "1"',
        b"external_id=1",
        b"\x00",
        b" ",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_not_clean_json_is_a_400(portal, body):
    response = portal.send("POST", "patients", body)
    assert response.status_code == 400, response.content
    assert codes(response) == {None: "parse_error"}
    assert not Patient.objects.exists()


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", "true", "[1]", '[{"external_id": "1"}]'])
@pytest.mark.parametrize("path", ["patients", "billing/invoices", "billing/charges/one-off"])
def test_a_body_that_is_no_object_is_a_400(portal, path, body):
    response = portal.send("POST", path, body)
    assert response.status_code == 400
    assert not Patient.objects.exists()
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("body", ["[]", "[1]", "5", "null", "true"])
def test_an_activation_does_not_take_a_wrong_body_for_an_empty_one(portal, body):
    patient = make_patient(portal.office)
    assert portal.send("POST", f"billing/patients/{patient.pk}/activate", body).status_code == 400
    assert not ActivityPeriod.objects.exists()


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_an_activation_without_a_body_is_now(portal, content_type):
    patient = make_patient(portal.office)
    response = portal.send("POST", f"billing/patients/{patient.pk}/activate", content_type=content_type)
    assert response.status_code == 201


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_a_body_of_another_type_is_a_415(portal, content_type):
    response = portal.send("POST", "patients", '{"external_id": "1"}', content_type=content_type)
    assert response.status_code in {400, 415}
    assert not Patient.objects.exists()


def test_a_body_above_the_limit_is_a_413(portal, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = json.dumps({"external_id": "1", "first_name": "n" * 1000})
    response = portal.send("POST", "patients", body)
    assert (response.status_code, codes(response)) == (413, {None: "body_too_large"})
    assert portal.send("POST", "patients", '{"external_id": "1"}').status_code == 201


def test_a_body_in_chunks_is_not_taken_for_an_empty_one(portal):
    patient = make_patient(portal.office)
    response = portal.client.post(
        f"/api/billing/patients/{patient.pk}/activate",
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
    )
    assert (response.status_code, ActivityPeriod.objects.exists()) == (411, False)
