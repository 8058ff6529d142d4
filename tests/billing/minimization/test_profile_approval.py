"""What Stripe may know of an office is what a person approved, word for word; detectors only advise."""

from datetime import date
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing.minimization.profile_approval import (
    ProfileNeedsReason,
    ProfileNotSendable,
    approve_profile,
    transliterate,
)
from billing.models import Invoice, InvoiceStatus, OfficeProfile, OutboxMessage, ParkedOffice
from patients.registration import register_patient
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain
from tests.builders import ACTOR, make_office

pytestmark = pytest.mark.django_db


def approve(office, name="Spine Center", email="billing@spine.example", reason=""):
    return approve_profile(
        office_id=office.pk, name=name, email=email, actor=ACTOR, now=CLOSED_AT, override_reason=reason
    )


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Zoë Nuñez Chiropractic", "Zoe Nunez Chiropractic"),
        ("Łukasz & Søn", "Lukasz & Son"),
        ("O\u2019Brien", "O'Brien"),
    ],
)
def test_a_name_is_transliterated_before_it_is_approved(written, sent):
    assert transliterate(written) == sent


def test_a_name_without_a_latin_form_is_refused():
    with pytest.raises(ProfileNotSendable):
        transliterate("脊椎")


def test_an_approved_profile_names_the_customer(stripe):
    invoice = close_month()
    OutboxMessage.objects.count()
    approve(invoice.office)
    drain(SharedClock(CLOSED_AT, stripe))

    (customer,) = stripe.objects("customer")
    assert (customer["name"], customer["email"]) == ("Spine Center", "billing@spine.example")
    assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.SENT
    assert not ParkedOffice.objects.exists()


def test_a_profile_approved_later_reaches_the_customer_that_is_there(stripe):
    invoice = close_month()
    clock = SharedClock(CLOSED_AT, stripe)
    drain(clock)
    approve(invoice.office, name="First Name Ltd")
    approve(invoice.office, name="Second Name Ltd")
    drain(clock)

    assert [customer["name"] for customer in stripe.objects("customer")] == ["Second Name Ltd"]
    assert OfficeProfile.objects.filter(replaced_at=None).count() == 1


def test_an_owner_who_is_a_patient_is_shown_to_the_approver_who_decides_with_a_reason():
    office = make_office()
    register_patient(
        office_id=office.pk,
        external_id="MRN-77",
        first_name="Zebulon",
        last_name="Quarterman",
        date_of_birth=date(1970, 1, 2),
        email="",
        phone="",
        actor=ACTOR,
        now=CLOSED_AT,
    )
    with pytest.raises(ProfileNeedsReason) as refused:
        approve(office, name="Zebulon Quarterman Chiropractic")
    assert "patient_full_name" in refused.value.codes

    approval = approve(office, name="Zebulon Quarterman Chiropractic", reason="the owner's own business name")
    assert approval.profile.override_reason


def test_the_command_approves_the_offices_own_name_and_tells_the_advice():
    office = make_office(name="Spine Center", billing_email="jane.doe@gmail.com")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("approve_office_profile", office.reference, "--by", "pat", stdout=out)
    assert ended.value.code == 1
    assert "personal_mailbox" in out.getvalue()

    call_command(
        "approve_office_profile", office.reference, "--by", "pat", "--email", "billing@spine.example", stdout=out
    )
    assert OfficeProfile.objects.get().approved_by == "command:pat"
    with pytest.raises(CommandError):
        call_command("approve_office_profile", "nobody", "--by", "pat")
