"""People own, note and accept discrepancies; every step is audited, and no word of theirs leaves the sealed note."""

import uuid
from types import SimpleNamespace

import pytest
from django.db import connection

from audit.models import AuditEntry
from billing.models import Discrepancy, DiscrepancyStatus
from billing.reconciliation import staff
from tests.billing.reconciliation.scene import found


@pytest.fixture
def told(scene) -> SimpleNamespace:
    scene.stripe.dashboard.edit("customer", scene.offices[0].stripe_account.customer_id, balance=-5)
    scene.reconcile()
    return SimpleNamespace(scene=scene, row=Discrepancy.objects.get())


def by(told, **values):
    return {"discrepancy_id": told.row.pk, "actor": "ann", "now": told.scene.clock.at, **values}


def test_somebody_owns_it_and_it_is_audited_once(told):
    for _ in range(2):
        staff.assign(**by(told, owner="bob"))
    assert Discrepancy.objects.get().owner == "bob"
    assert AuditEntry.objects.filter(action="discrepancy.assigned", actor="ann").count() == 1


def test_a_note_is_sealed_and_its_words_are_nowhere_else(told):
    staff.write_note(**by(told, note="call the bank on Monday"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT note FROM billing_discrepancy")
        assert "bank" not in cursor.fetchone()[0]
    assert "bank" not in str(list(AuditEntry.objects.values()))


def test_a_note_that_looks_like_patient_data_is_refused(told):
    with pytest.raises(staff.NoteLooksLikePatientData) as refused:
        staff.write_note(**by(told, note="SSN 123-45-6789 of the patient"))
    assert refused.value.codes
    assert "6789" not in str(refused.value)
    with pytest.raises(staff.NoteLooksLikePatientData):
        staff.accept(**by(told, reason="SSN 123-45-6789 of the patient"))


def test_what_is_accepted_stays_so_as_long_as_both_sides_say_the_same(told):
    accepted = staff.accept(**by(told, reason="the vendor's own credit"))
    assert (accepted.status, accepted.ended_by) == (DiscrepancyStatus.ACCEPTED, "ann")
    assert "the vendor's own credit" in accepted.note
    told.scene.reconcile()
    assert found() == []
    told.scene.stripe.dashboard.edit("customer", told.scene.offices[0].stripe_account.customer_id, balance=-6)
    told.scene.reconcile()
    assert len(found()) == 1


def test_nothing_is_accepted_without_a_reason_or_twice(told):
    with pytest.raises(staff.ReasonMissing):
        staff.accept(**by(told, reason=" "))
    staff.accept(**by(told, reason="agreed"))
    for use_case, words in ((staff.accept, {"reason": "again"}), (staff.assign, {"owner": "x"})):
        with pytest.raises(staff.DiscrepancyEnded):
            use_case(**by(told, **words))


def test_one_that_is_not_there_is_said_so(told):
    with pytest.raises(staff.DiscrepancyNotFound):
        staff.assign(**by(told, owner="bob") | {"discrepancy_id": uuid.uuid4()})
