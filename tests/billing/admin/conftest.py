"""The console with something in it: books that were delivered and paid, and one row at least of every model."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django.plugin import DjangoDbBlocker

from audit.checkpoints import make_checkpoint
from billing.api_keys import issue_api_key
from billing.models import (
    BillingRun,
    CanaryRun,
    EmergencyOpening,
    ExpectedEvent,
    IdempotentAnswer,
    Incident,
    Invoice,
    OfficeProfile,
    OutboxStep,
    ParkedOffice,
    ParkingCode,
    ProfileRejection,
    StripeCustomerCopy,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from billing.platform_keys import issue_platform_key
from offices.models import Office, PriceOverride
from patients.models import Patient
from patients.registration import register_patient
from patients.reveal_grant import RevealGrant
from sandbox.stripe_standin import StripeStandIn
from tests.billing.conftest import at_stand_in
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, drain, due_office, hear
from tests.builders import ACTOR
from tests.database_rows import Rows
from tests.staff import logged_in, member

PERSON = {
    "external_id": "MRN-77120-Q",
    "first_name": "Zoltana",
    "last_name": "Quibbleworth",
    "date_of_birth": date(1961, 7, 3),
    "email": "zq@patient.example",
    "phone": "+1 555 0134 877",
}
NOTE = "call Zoltana Quibbleworth first"
MODELS = [
    model
    for app in ("audit", "offices", "patients", "billing")
    for model in apps.get_app_config(app).get_models()
    # Keyed digests that only a machine compares; Django's admin takes no composite key either.
    if model.__name__ != "PatientToken"
]
PAGES = [*MODELS, User, Group]


def list_address(model: Any, query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query


def detail_address(model: Any, key: Any = None) -> str:
    """Return the address of the page of the row with this key, or of any; reads nothing but keys."""
    column = "prefix" if model.__name__ in {"OfficeApiKey", "PlatformApiKey"} else "pk"
    key = key or model._default_manager.values_list(column, flat=True).first()
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[quote(key)])


@pytest.fixture(scope="module")
def kept_books(shared_rows: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> tuple[UUID, Path]:
    """Make the books once for a module: the key of the paid invoice, and what Stripe then knew."""
    state = tmp_path_factory.mktemp("books") / "stripe.sqlite3"
    with shared_rows.unblock(), at_stand_in(state) as stripe:
        return _books(stripe).pk, state


@pytest.fixture
def stripe_state(request: pytest.FixtureRequest) -> Path | None:
    return request.getfixturevalue("kept_books")[1] if "books" in request.fixturenames else None


@pytest.fixture
def books(kept_books: tuple[UUID, Path], stripe: StripeStandIn, db: None) -> Invoice:
    """A paid invoice at Stripe, and a row of everything else; a patient with a name that must appear nowhere."""
    return Invoice.objects.get(pk=kept_books[0])


def _books(stripe: StripeStandIn) -> Invoice:
    clock = SharedClock(CLOSED_AT, stripe)
    invoice, stripe_id = delivered(stripe, clock)
    hear(stripe, clock)  # the links to hosted pages come with the events
    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)
    office = invoice.office
    register_patient(office_id=office.pk, actor=ACTOR, now=CLOSED_AT, **PERSON)
    issue_api_key(office_id=office.pk, name="portal", actor=ACTOR, now=CLOSED_AT)
    issue_platform_key(office_ids=[office.pk], name="platform", actor=ACTOR, now=CLOSED_AT)
    Invoice.objects.filter(pk=invoice.pk).update(internal_note=NOTE)
    _rare_rows(office)
    _money_rows(invoice)
    invoice.refresh_from_db()
    return invoice


def _rare_rows(office: Office) -> None:
    """Add what happens seldom."""
    PriceOverride.objects.create(
        office=office, unit_price_cents=150, starts_on=date(2027, 1, 1), ends_on=date(2028, 1, 1),
        reason="pilot", created_at=CLOSED_AT,
    )  # fmt: skip
    ParkedOffice.objects.create(office=office, code=ParkingCode.COUNT_DIFFERS, parked_at=CLOSED_AT)
    Incident.objects.create(
        id="6f0c1a3e-0000-4000-8000-000000000001", at=CLOSED_AT, policy_version="1", reason="unknown_parameter",
        call_site="delivery", actor=ACTOR, office=office,
    )  # fmt: skip
    IdempotentAnswer.objects.create(
        credential="api-key:x", key_digest="k", request_digest="r", status_code=201, body=NOTE, created_at=CLOSED_AT
    )
    CanaryRun.objects.create(at=CLOSED_AT, blocked=True)
    make_checkpoint(now=CLOSED_AT)
    RevealGrant.objects.create(
        patient=Patient.objects.filter(office=office).first(), actor="staff:pat", reason=NOTE,
        granted_at=CLOSED_AT, expires_at=CLOSED_AT + timedelta(minutes=15),
    )  # fmt: skip
    OfficeProfile.objects.filter(office=office).exists() or OfficeProfile.objects.create(
        office=office, name="Clinic", email="billing@clinic.example", approved_by=ACTOR, approved_at=CLOSED_AT
    )
    ProfileRejection.objects.create(office=office, reason="a person's name", rejected_by=ACTOR, rejected_at=CLOSED_AT)
    BillingRun.objects.first() or BillingRun.objects.create(as_of=CLOSED_AT, actor=ACTOR, started_at=CLOSED_AT)
    EmergencyOpening.objects.create(
        person="pat", reason=NOTE, opened_at=CLOSED_AT, ends_at=CLOSED_AT + timedelta(hours=1)
    )


def _money_rows(invoice: Invoice) -> None:
    """Add what corrections, reconciliation and the close of a month leave behind."""
    rows = Rows()
    rows.closed = invoice
    for name in (
        "refund",
        "dispute",
        "credit_note",
        "correction",
        "dropped_line",
        "discrepancy",
        "month_close",
        "replay",
    ):
        getattr(rows, name)
    step = OutboxStep.objects.filter(message__invoice=invoice).first()
    ExpectedEvent.objects.create(
        step=step, stripe_object_id=invoice.stripe_invoice_id, event_type="invoice.finalized",
        registered_at=CLOSED_AT, expected_by=CLOSED_AT + timedelta(minutes=15),
    )  # fmt: skip
    StripeInvoiceCopy.objects.create(
        stripe_invoice_id=invoice.stripe_invoice_id, run=rows.reconciliation_run, own_invoice_id=invoice.pk,
        customer_index="d", status="paid", currency="USD", total_cents=400, amount_paid_cents=400,
        amount_remaining_cents=0, created=CLOSED_AT, seen_at=CLOSED_AT,
    )  # fmt: skip
    StripeMoneyCopy.objects.create(
        stripe_id="re_1", run=rows.reconciliation_run, kind="refund", amount_cents=200, seen_at=CLOSED_AT
    )
    StripeCustomerCopy.objects.create(
        customer_index="d" * 64, run=rows.reconciliation_run, office=invoice.office, balance_cents=0, seen_at=CLOSED_AT
    )


@pytest.fixture
def more_books(books: Invoice, stripe: StripeStandIn) -> Invoice:
    """The same beside twelve offices more, whose first months are closed and delivered."""
    from billing.billing_run import run_due

    for _ in range(12):
        due_office()
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    drain(SharedClock(CLOSED_AT, stripe))
    return books


@pytest.fixture
def boss(db) -> Client:
    """A superuser at the console."""
    return logged_in(member("boss", superuser=True))


@pytest.fixture
def clerk(db) -> Client:
    """A member of staff who may do nothing at all."""
    return logged_in(member("clerk"))


def permit(username: str, *codenames: str) -> None:
    """Give a member of staff permissions."""
    User.objects.get(username=username).user_permissions.set(Permission.objects.filter(codename__in=codenames))


def registered() -> set[type]:
    return set(admin.site._registry)
