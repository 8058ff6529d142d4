"""`Idempotency-Key`: sent again is answered again, and not done again."""

import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from billing.idempotent_answers import KEPT_FOR, Call, purge_answers
from billing.models import IdempotentAnswer, Invoice
from billing.tasks import purge_api_answers
from patients.models import Patient
from tests.billing.api.conftest import NOW, Portal, codes
from tests.billing.api.routes import OPERATIONS
from tests.billing.scenes import at_once, held
from tests.builders import make_office, make_patient

KEY = {"Idempotency-Key": "order-0001"}
POSTS = [operation for operation in OPERATIONS if operation.method == "post"]
PERSON = {"external_id": "MRN-77120", "first_name": "Ottilie", "last_name": "Quandt", "date_of_birth": "1981-04-02"}


def charge(portal, amount="125.00", **headers):
    body = {"office_id": str(portal.office.pk), "reason": "training", "amount": amount}
    return portal.client.post("/api/billing/charges/one-off", body, "application/json", headers=KEY | headers)


@pytest.mark.parametrize("operation", POSTS, ids=str)
def test_every_post_is_answered_again_with_the_same_words(portal, ids, operation):
    first = operation.call(portal.client, ids, **KEY)
    again = operation.call(portal.client, ids, **KEY)
    assert first.status_code in {200, 201}
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"


def test_a_repeated_charge_is_one_charge_and_without_a_key_two(portal):
    assert charge(portal).content == charge(portal).content
    assert Invoice.objects.count() == 1
    body = {"office_id": str(portal.office.pk), "reason": "training", "amount": "1.00"}
    for _ in range(2):
        portal.post("billing/charges/one-off", body)
    assert Invoice.objects.count() == 3


def test_the_key_of_another_body_path_or_method_is_refused(portal):
    charge(portal)
    assert codes(charge(portal, "126.00")) == {None: "idempotency_key_reused"}
    response = portal.client.post("/api/patients", {"external_id": "1"}, "application/json", headers=KEY)
    assert (response.status_code, codes(response)) == (422, {None: "idempotency_key_reused"})
    assert (Invoice.objects.count(), Patient.objects.count()) == (1, 0)


def test_a_key_is_of_one_credential(portal, neighbour):
    mine, theirs = charge(portal), charge(neighbour)
    other = Portal(portal.office)
    assert charge(other).status_code == mine.status_code == theirs.status_code == 201
    assert Invoice.objects.count() == 3


def test_a_refusal_is_judged_anew(portal):
    patient = make_patient(portal.office)
    path = f"/api/billing/patients/{patient.pk}/activate"
    tomorrow = {"activated_at": "2026-03-21T00:00:00Z"}
    assert portal.client.post(path, tomorrow, "application/json", headers=KEY).status_code == 409
    assert not IdempotentAnswer.objects.exists()
    assert portal.client.post(path, {}, "application/json", headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "k" * 101, "a,b", "a\0"])
def test_a_key_that_is_none_is_refused_and_names_the_header(portal, key):
    response = charge(portal, **{"Idempotency-Key": key.encode().decode("latin-1")})
    assert (response.status_code, codes(response)) == (400, {"Idempotency-Key": "invalid"})
    assert not Invoice.objects.exists()


def test_work_and_answer_are_one_transaction(portal, monkeypatch):
    """If the answer cannot be kept, nothing was done; the next try does it."""
    create = IdempotentAnswer.objects.create
    monkeypatch.setattr(IdempotentAnswer.objects, "create", lambda **_: 1 / 0)
    assert charge(portal).status_code == 500
    assert not Invoice.objects.exists()
    monkeypatch.setattr(IdempotentAnswer.objects, "create", create)
    assert charge(portal).status_code == 201


def test_nothing_of_a_person_and_no_key_is_stored_in_clear(portal):
    headers = {"Idempotency-Key": "Ottilie-Quandt"}
    answered = portal.client.post("/api/patients", PERSON, "application/json", headers=headers)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM billing_idempotentanswer")
        stored = str(cursor.fetchall())
    for secret in (*PERSON.values(), "Ottilie-Quandt", answered.json()["patient_id"]):
        assert secret not in stored


def test_a_replay_outlives_a_rotation_of_the_keys(portal, settings):
    first = charge(portal)
    settings.BLIND_INDEX_KEYS = ["another-blind-index-key-of-enough-length-0", *settings.BLIND_INDEX_KEYS]
    settings.FIELD_ENCRYPTION_KEYS = ["another-field-key-of-enough-length-01234567", *settings.FIELD_ENCRYPTION_KEYS]
    assert charge(portal).content == first.content
    assert Invoice.objects.count() == 1


# --- Kept for 72 hours ---
@pytest.mark.parametrize("purge", [purge_api_answers, lambda: call_command("purge_api_answers")])
def test_an_answer_is_kept_for_72_hours_and_purged_after(portal, noon, purge):
    charge(portal)
    noon.shift(KEPT_FOR)
    purge()
    assert charge(portal)["Idempotent-Replayed"] == "true"
    noon.shift(timedelta(seconds=1))
    purge()
    assert not IdempotentAnswer.objects.exists()


def test_a_dry_run_purges_nothing(portal, noon, capsys):
    charge(portal)
    noon.shift(KEPT_FOR * 2)
    call_command("purge_api_answers", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out)["counts"] == {"answers_purged": 1}
    assert IdempotentAnswer.objects.exists()
    assert purge_answers(now=NOW) == 0


# --- At the same moment ---
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_the_same_moment_is_a_conflict():
    portal = Portal(make_office())
    call = Call(portal.actor, KEY["Idempotency-Key"], b"")

    def hold():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [call.lock_number])

    with held(hold):
        response = charge(portal)
        assert (response.status_code, codes(response)) == (409, {None: "idempotency_key_in_progress"})
        assert int(response["Retry-After"]) >= 1
    assert charge(portal).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_charge_once():
    portal = Portal(make_office())
    key = str(uuid.uuid4())
    answers = at_once([lambda: charge(portal, **{"Idempotency-Key": key})] * 20, connections=8)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert Invoice.objects.count() == 1
