"""What happens on any day: people come, go and come back; clinics pay the invoices they were sent."""

from collections.abc import Iterator
from random import Random

from django.db.models import Exists, Min, OuterRef, QuerySet

from billing.activation import activate_patient, deactivate_patient
from billing.cycle_opening import is_live
from billing.models import Invoice, InvoiceStatus
from offices.models import CollectionMethod, Office
from patients.models import ActivityPeriod, Patient
from patients.registration import register_patient
from sandbox.demo.people import Person
from sandbox.demo.stage import Stage

PORTAL = "demo:portal"
VISITS_A_DAY = 2  # offices in which something happens; some 300 acts in three months, a few seconds in all
PAID_WITHIN_A_DAY = 0.12  # the share of the open invoices that are paid on a day; a few are still open at the end


def open_period() -> Exists:
    """Tell for a patient row whether the account is active."""
    return Exists(ActivityPeriod.objects.filter(patient=OuterRef("pk"), deactivated_at__isnull=True))


def active_patients(office: Office) -> QuerySet[Patient]:
    """Return the office's active accounts in a fixed order."""
    return _in_order(Patient.objects.filter(open_period(), office=office))


def inactive_patients(office: Office) -> QuerySet[Patient]:
    """Return the office's accounts that are not active, in a fixed order."""
    return _in_order(Patient.objects.filter(~open_period(), office=office))


def _in_order(patients: QuerySet[Patient]) -> QuerySet[Patient]:
    # References are random: only the order in which periods were recorded is the same in every run.
    return patients.annotate(first_period=Min("periods__pk")).order_by("first_period")


def live_a_day(stage: Stage, random: Random, visitors: Iterator[Person]) -> None:
    """Let people come and go at a few offices, and let clinics pay."""
    for office in random.sample(list(Office.objects.order_by("reference")), VISITS_A_DAY):
        if is_live(office, stage.now):
            _visit(stage, random, office, visitors)
    _pay(stage, random)


def _visit(stage: Stage, random: Random, office: Office, visitors: Iterator[Person]) -> None:
    left = active_patients(office).first()
    if left is not None and random.random() < 0.7:
        changed = deactivate_patient(office_id=office.pk, patient_id=left.pk, actor=PORTAL, now=stage.now)
        stage.counts["deactivations"] += changed
    back = inactive_patients(office).first()
    # Who has just left comes back another day.
    if back is not None and back != left and random.random() < 0.5:
        activate(stage, office, back)
    register_and_activate(stage, office, next(visitors))


def register_and_activate(stage: Stage, office: Office, person: Person) -> Patient:
    """Let a clinic take in somebody new."""
    stage.people.append(person)
    registration = register_patient(
        office_id=office.pk,
        external_id=person.external_id,
        first_name=person.first_name,
        last_name=person.last_name,
        date_of_birth=person.date_of_birth,
        email=person.email,
        phone=person.phone,
        actor=PORTAL,
        now=stage.now,
    )
    activate(stage, office, registration.patient)
    return registration.patient


def activate(stage: Stage, office: Office, patient: Patient) -> None:
    """Activate an account now."""
    came_back = patient.periods.exists()
    result = activate_patient(office_id=office.pk, patient_id=patient.pk, actor=PORTAL, now=stage.now)
    stage.counts["reactivations" if came_back else "activations"] += result.changed


def _pay(stage: Stage, random: Random) -> None:
    """Clinics that were sent an invoice pay it on the hosted page; those with a card were charged at once."""
    open_invoices = Invoice.objects.filter(
        status=InvoiceStatus.SENT, collection_method=CollectionMethod.SEND_INVOICE, sent_at__lt=stage.now
    )
    for stripe_id in open_invoices.order_by("sent_at", "office__reference").values_list("stripe_invoice_id", flat=True):
        if random.random() < PAID_WITHIN_A_DAY and stripe_id not in stage.lost_invoices:
            stage.standin.dashboard.pay_invoice(str(stripe_id))
            stage.counts["paid_on_hosted_page"] += 1
