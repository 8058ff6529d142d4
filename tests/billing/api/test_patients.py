"""Patient accounts over HTTP: register, list, activate and deactivate, each with what it means for the bill."""

import uuid

import pytest

from audit.models import AuditEntry
from billing.billing_run import run_due
from billing.models import Invoice, InvoiceStatus, LineItem
from offices.models import OfficeStatus
from patients.identity import PatientIdentity
from patients.models import ActivityPeriod, Patient
from tests.billing.api.conftest import NOW, Portal, codes
from tests.builders import ACTOR, make_office, make_patient, utc

PERSON = {
    "external_id": "MRN-77120", "first_name": "Ottilie", "last_name": "Quandt", "date_of_birth": "1981-04-02",
    "email": "ottilie@home.example", "phone": "+1 555 0100",
}  # fmt: skip


# --- POST patients ---
def test_a_registered_patient_is_a_random_reference_and_a_sealed_identity(portal):
    response = portal.post("patients", PERSON)
    assert response.status_code == 201
    assert set(response.json()) == {"patient_id", "office_id", "created"}
    patient = Patient.objects.get(pk=response.json()["patient_id"])
    assert patient.office == portal.office
    assert not patient.periods.exists()
    assert PatientIdentity.objects.get(patient=patient).open().last_name == "Quandt"
    assert not [value for value in PERSON.values() if value.encode() in response.content]


def test_registering_the_same_person_again_changes_nothing(portal):
    first, second = portal.post("patients", PERSON), portal.post("patients", PERSON)
    assert second.status_code == 200
    assert second.json() == first.json() | {"created": False}
    assert Patient.objects.count() == 1


def test_a_record_number_of_another_person_is_a_conflict(portal):
    portal.post("patients", PERSON)
    response = portal.post("patients", PERSON | {"last_name": "Quast"})
    assert (response.status_code, codes(response)) == (409, {None: "record_number_taken"})


def test_the_same_record_number_at_another_office_is_another_patient(portal, neighbour):
    assert (
        portal.post("patients", PERSON).json()["patient_id"] != neighbour.post("patients", PERSON).json()["patient_id"]
    )


def test_a_record_number_is_all_that_is_needed(portal):
    assert portal.post("patients", {"external_id": "1"}).status_code == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"external_id": ""}, "blank"),
        ({"external_id": "   "}, "blank"),
        ({"external_id": None}, "null"),
        ({"external_id": 5}, "invalid"),
        ({"external_id": "x" * 101}, "max_length"),
        ({"external_id": "x" + " " * 100}, "max_length"),
        ({"first_name": ["Ottilie"]}, "invalid"),
        ({"date_of_birth": "02.04.1981"}, "invalid"),
        ({"date_of_birth": "19810402"}, "invalid"),
        ({"date_of_birth": "1981-02-30"}, "invalid"),
        ({"date_of_birth": 1981}, "invalid"),
        ({"date_of_birth": "2026-03-25"}, "future_date"),
        ({"ssn": "078-05-1120"}, "unknown_field"),
    ],
)
def test_a_malformed_person_is_refused_without_repeating_a_value(portal, change, code):
    response = portal.post("patients", PERSON | change)
    assert response.status_code == 400
    assert codes(response) == {next(iter(change)): code}
    values = [str(value).encode() for value in (PERSON | change).values() if str(value).strip()]
    assert not [value for value in values if len(value) > 3 and value in response.content]
    assert not Patient.objects.exists()


def test_an_unknown_name_that_may_be_a_value_is_not_repeated(portal):
    response = portal.post("patients", PERSON | {"Ottilie Quandt": 1})
    assert codes(response) == {"non_field_errors": "unknown_field"}
    assert b"Ottilie" not in response.content


# --- GET patients ---
def test_the_list_shows_references_and_billing_status_only(portal):
    idle = make_patient(portal.office)
    gone = make_patient(portal.office, (utc("2026-01-20"), utc("2026-02-01")), (utc("2026-02-10"), utc("2026-02-12")))
    active = make_patient(portal.office)
    portal.post(f"billing/patients/{active.pk}/activate")
    response = portal.get("patients")
    rows = {row["patient_id"]: row for row in response.json()["results"]}
    status = {
        pk: (row["active"], row["activated_at"], row["deactivated_at"], row["charged_in_open_cycle"])
        for pk, row in rows.items()
    }
    assert status == {
        str(idle.pk): (False, None, None, False),
        str(gone.pk): (False, "2026-02-10T00:00:00Z", "2026-02-12T00:00:00Z", False),
        str(active.pk): (True, "2026-03-20T12:00:00Z", None, True),
    }
    assert list(rows) == sorted(rows)


def test_pages_hold_every_account_once_though_an_import_made_all_at_one_instant(portal):
    expected = {str(make_patient(portal.office).pk) for _ in range(7)}
    seen, url = [], "/api/patients?page_size=2"
    while url:
        page = portal.client.get(url).json()
        seen += [row["patient_id"] for row in page["results"]]
        url = page["next"]
    assert len(seen) == 7
    assert set(seen) == expected
    assert codes(portal.client.get("/api/patients?cursor=cD14")) == {"cursor": "invalid"}  # p=x, not a reference


# --- Activate ---
def test_an_activation_adds_its_line_at_once(portal):
    patient = make_patient(portal.office)
    response = portal.post(f"billing/patients/{patient.pk}/activate")
    assert response.status_code == 201
    body = response.json()
    assert (body["patient_id"], body["active"], body["changed"]) == (str(patient.pk), True, True)
    (line,) = body["line_items"]
    stored = LineItem.objects.get()
    assert line == {
        "line_item_id": str(stored.pk), "description": "Patient account activated, 2026-03", "quantity": 1,
        "unit_price": "2.00", "total_price": "2.00", "item_type": "patient_activation",
        "anonymous_patient_ref": str(patient.pk), "invoice_id": str(stored.invoice_id), "cycle": "2026-03",
        "price": {"source": "plan", "effective_on": "2000-01-01", "ends_on": None},
        "reason": "The account became active in this cycle.",
    }  # fmt: skip
    assert ActivityPeriod.objects.get().activated_at == NOW


def test_activating_an_active_account_changes_nothing_and_says_so(portal):
    patient = make_patient(portal.office)
    portal.post(f"billing/patients/{patient.pk}/activate")
    response = portal.post(f"billing/patients/{patient.pk}/activate")
    assert response.status_code == 200
    assert (response.json()["changed"], response.json()["line_items"]) == (False, [])
    assert LineItem.objects.count() == 1


def test_a_reactivation_in_a_billed_cycle_adds_no_line(portal, noon):
    patient = make_patient(portal.office)
    portal.post(f"billing/patients/{patient.pk}/activate")
    noon.shift(60)
    portal.post(f"billing/patients/{patient.pk}/deactivate")
    noon.shift(60)
    response = portal.post(f"billing/patients/{patient.pk}/activate")
    assert response.status_code == 201
    assert (response.json()["changed"], response.json()["line_items"]) == (True, [])


def test_a_backdated_activation_charges_closed_cycles_by_adjustment(portal):
    run_due(as_of=utc("2026-01-20"), actor=ACTOR, now=utc("2026-01-20"))
    run_due(as_of=utc("2026-03-16"), actor=ACTOR, now=utc("2026-03-16"))
    patient = make_patient(portal.office)
    response = portal.post(f"billing/patients/{patient.pk}/activate", {"activated_at": "2026-02-20T08:00:00-05:00"})
    assert response.status_code == 201
    lines = [(line["item_type"], line["cycle"]) for line in response.json()["line_items"]]
    assert lines == [("adjustment", "2026-02"), ("active_patient", "2026-03")]
    assert len({line["invoice_id"] for line in response.json()["line_items"]}) == 1
    assert response.json()["line_items"][0]["description"] == "Adjustment for an earlier cycle, 2026-02"


def test_a_waived_cycle_is_named(portal):
    run_due(as_of=utc("2026-03-16"), actor=ACTOR, now=utc("2026-03-16"))
    Invoice.objects.update(status=InvoiceStatus.CANCELED, canceled_at=NOW)
    response = portal.post(f"billing/patients/{make_patient(portal.office).pk}/activate")
    assert response.status_code == 201
    assert (response.json()["line_items"], response.json()["waived_cycles"]) == ([], ["2026-03"])


@pytest.mark.parametrize("status", [OfficeStatus.CANCELED, OfficeStatus.INACTIVE])
def test_an_office_that_is_not_live_cannot_activate_but_deactivate(noon, status):
    portal = Portal(make_office(status=status))
    patient = make_patient(portal.office, (utc("2026-03-01"), None))
    response = portal.post(f"billing/patients/{patient.pk}/activate")
    assert (response.status_code, codes(response)) == (409, {None: "office_not_billable"})
    assert portal.post(f"billing/patients/{patient.pk}/deactivate").status_code == 200


@pytest.mark.parametrize(
    ("activated_at", "code"),
    [("2026-03-21T00:00:00Z", "time_in_future"), ("2026-03-02T00:00:00Z", "periods_overlap")],
)
def test_an_activation_that_cannot_have_been_is_a_conflict(portal, activated_at, code):
    patient = make_patient(portal.office, (utc("2026-03-01"), utc("2026-03-05")))
    response = portal.post(f"billing/patients/{patient.pk}/activate", {"activated_at": activated_at})
    assert (response.status_code, codes(response)) == (409, {None: code})


@pytest.mark.parametrize(
    "instant",
    [
        "2026-03-01T00:00:00", "2026-03-01", "yesterday", "", 5, [], True, "1899-12-31T00:00:00Z",
        "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("action", "name"), [("activate", "activated_at"), ("deactivate", "deactivated_at")])
def test_a_time_that_is_not_an_instant_is_refused(portal, action, name, instant):
    patient = make_patient(portal.office)
    response = portal.post(f"billing/patients/{patient.pk}/{action}", {name: instant})
    assert (response.status_code, codes(response)) == (400, {name: "invalid"})
    assert not ActivityPeriod.objects.exists()


# --- Deactivate ---
def test_a_deactivation_keeps_the_line(portal, noon):
    patient = make_patient(portal.office)
    portal.post(f"billing/patients/{patient.pk}/activate")
    noon.shift(60)
    response = portal.post(f"billing/patients/{patient.pk}/deactivate")
    assert response.status_code == 200
    assert response.json() == {"patient_id": str(patient.pk), "active": False, "changed": True}
    assert LineItem.objects.filter(live=True).count() == 1
    assert portal.post(f"billing/patients/{patient.pk}/deactivate").json()["changed"] is False


def test_a_deactivation_takes_an_earlier_time(portal):
    patient = make_patient(portal.office, (utc("2026-03-16"), None))
    portal.post(f"billing/patients/{patient.pk}/deactivate", {"deactivated_at": "2026-03-18T00:00:00Z"})
    assert ActivityPeriod.objects.get().deactivated_at == utc("2026-03-18")


@pytest.mark.parametrize(
    ("deactivated_at", "code"),
    [("2026-03-21T00:00:00Z", "time_in_future"), ("2026-03-16T00:00:00Z", "period_empty")],
)
def test_a_deactivation_that_cannot_have_been_is_a_conflict(portal, deactivated_at, code):
    patient = make_patient(portal.office, (utc("2026-03-16"), None))
    response = portal.post(f"billing/patients/{patient.pk}/deactivate", {"deactivated_at": deactivated_at})
    assert (response.status_code, codes(response)) == (409, {None: code})


# --- Both ---
@pytest.mark.parametrize("action", ["activate", "deactivate"])
def test_a_patient_that_does_not_exist_is_not_found(portal, action):
    assert portal.post(f"billing/patients/{uuid.uuid4()}/{action}").status_code == 404


def test_the_audit_trail_names_the_key(portal):
    patient = make_patient(portal.office)
    portal.post("patients", PERSON)
    portal.post(f"billing/patients/{patient.pk}/activate")
    portal.post("billing/charges/one-off", {"office_id": str(portal.office.pk), "reason": "support", "amount": "1.00"})
    actions = set(AuditEntry.objects.filter(actor=portal.actor).values_list("action", flat=True))
    assert {"patient.registered", "patient.activated", "cycle.opened", "charge.created"} <= actions
