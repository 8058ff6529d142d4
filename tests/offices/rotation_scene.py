"""An office with something in every encrypted column, and settings that turn from an old key to a new one."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django.apps import apps
from django.db import connection

from billing.models import HostedInvoicePage, Invoice, InvoiceType
from offices.encryption import EncryptedTextField, blind_index
from offices.models import Office, OfficeStripeAccount
from patients.identity import Identity
from patients.registration import register_patient
from tests.builders import ACTOR, make_office, utc

NOW = utc("2026-03-01")
OLD, NEW = "the-old-key-of-enough-length-0123456789", "the-new-key-of-enough-length-0123456789"
CUSTOMER, SUBSCRIPTION = "offices.officestripeaccount.customer_id", "offices.officestripeaccount.subscription_id"


def use_keys(settings: Any, *keys: str) -> None:
    settings.FIELD_ENCRYPTION_KEYS = settings.BLIND_INDEX_KEYS = list(keys)


def identity(number: int) -> Identity:
    return Identity(
        external_id=f"MRN-{number:06d}", first_name=f"Ada{number}", last_name=f"Marchettison{number}",
        date_of_birth=date(1950, 1, 1), email=f"ada{number}@mail.example", phone=f"+1442555{number:04d}",
    )  # fmt: skip


def full_office(patients: int = 3, invoices: int = 3) -> Office:
    """Make an office with an account at Stripe, patients with identities, and invoices with notes and links."""
    office = make_office()
    customer, subscription = f"cus_{office.pk.hex}", f"sub_{office.pk.hex}"
    by_customer, by_subscription = (
        blind_index(customer, context=CUSTOMER),
        blind_index(subscription, context=SUBSCRIPTION),
    )
    OfficeStripeAccount.objects.create(
        office=office, created_at=NOW, customer_id=customer, subscription_id=subscription,
        customer_index=by_customer.digest, customer_index_key=by_customer.key_id,
        subscription_index=by_subscription.digest, subscription_index_key=by_subscription.key_id,
    )  # fmt: skip
    for number in range(patients):
        fields = {name: getattr(identity(number), name) for name in Identity.__slots__}
        register_patient(office_id=office.pk, actor=ACTOR, now=NOW, **fields)
    for number in range(invoices):
        invoice = Invoice.objects.create(
            office=office, invoice_type=InvoiceType.ONE_OFF, currency="USD", internal_note=f"note {number}",
            created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        HostedInvoicePage.objects.create(invoice=invoice, url=f"https://invoice.example/{number}", updated_at=NOW)
    return office


def stored_texts() -> dict[str, list[str]]:
    """Return what every encrypted column of every app holds in the database."""
    columns = [
        (model._meta.db_table, column.column)
        for model in apps.get_models()
        for column in model._meta.local_concrete_fields
        if isinstance(column, EncryptedTextField)
    ]
    with connection.cursor() as cursor:
        found = {}
        for table, name in [*columns, ("patients_patientidentity", "data_key")]:
            cursor.execute(f'SELECT "{name}" FROM "{table}" WHERE "{name}" IS NOT NULL')
            found[f"{table}.{name}"] = sorted(text for (text,) in cursor.fetchall())
    return found


def key_ids(of: Callable[[], dict[str, list[str]]] = stored_texts) -> set[str]:
    return {text.split(":")[1] for texts in of().values() for text in texts}
