"""Whoever takes the database away reads no name in it: no secret of any kind, clear or merely disguised."""

import base64
import codecs
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from billing.charges import Charge, charge_office
from billing.delivery import deliver_due
from billing.models import ChargeReason, HostedInvoicePage, Invoice
from offices.encryption import field_keys
from offices.models import OfficeStripeAccount
from patients.erasure import erase_patient_identity
from patients.identity import PatientIdentity
from patients.identity_reveal import Viewer, read_revealed, reveal_identity
from patients.patient_import import import_patients
from patients.registration import register_patient
from tests.billing.conftest import stripe, stripe_state  # noqa: F401 - a fixture
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, hear
from tests.builders import ACTOR, make_office
from tests.patients import csv_files

pytestmark = pytest.mark.django_db(transaction=True)

NOW = CLOSED_AT
PERSON = {
    "external_id": "MRNQZ-70915512", "first_name": "Zebulonqz", "last_name": "Quistvandermarkqz",
    "date_of_birth": date(1931, 7, 4), "email": "zquistqz@patientmailqz.example", "phone": "+14425557719",
}  # fmt: skip
IMPORTED = {
    "external_id": "IMPQZ-88120457", "first_name": "Ottolineqz", "last_name": "Pfeffernussqz",
    "date_of_birth": "1919-11-30", "email": "ottoqz@othermailqz.example", "phone": "+14425558823",
}  # fmt: skip
REASON, NOTE = "reasonqz the patient's daughter calls", "noteqz to be paid by the estate"


def dump() -> bytes:
    """Return every byte of the database: the file on SQLite, all tables as COPY writes them on PostgreSQL."""
    if connection.vendor != "postgresql":
        file = Path(connection.settings_dict["NAME"])
        return b"".join(part.read_bytes() for part in sorted(file.parent.glob(f"{file.name}*")))
    with connection.cursor() as cursor:
        cursor.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            with cursor.copy(f"COPY {table} TO STDOUT") as rows:
                found.extend(bytes(part) for part in rows)
    return b"".join(found)


def disguises(secret: str) -> dict[str, bytes]:
    """Return how the secret could stand there without being encrypted; base64 at each of its three alignments."""
    clear = secret.encode()
    found = {
        "clear": clear, "upper": secret.upper().encode(), "lower": secret.lower().encode(), "reversed": clear[::-1],
        "hex": clear.hex().encode(), "HEX": clear.hex().upper().encode(), "utf-16": secret.encode("utf-16-le"),
        "rot13": codecs.encode(secret, "rot13").encode(), "url": quote(secret, safe="").encode(),
    }  # fmt: skip
    for shift in range(3):
        text = base64.b64encode(b"\x00" * shift + clear)
        # The first and last group mix with what is around; long enough in between, or it would be found by chance.
        middle = text[4 if shift else 0 : len(text) - 4]
        found[f"base64 at {shift}"] = middle
        found[f"urlsafe base64 at {shift}"] = middle.translate(bytes.maketrans(b"+/", b"-_"))
    return {name: text for name, text in found.items() if len(text) >= 8}


def hits(secrets: list[str], within: bytes) -> list[str]:
    return [f"{secret}: {name}" for secret in secrets for name, text in disguises(secret).items() if text in within]


@pytest.fixture
def secrets_told(tmp_path, stripe) -> list[str]:  # noqa: F811
    """Live through everything that takes a secret in; return the secrets."""
    clock = SharedClock(NOW, stripe)
    invoice, _ = delivered(stripe, clock)
    charge_office(
        office_id=invoice.office_id, actor=ACTOR, now=NOW,
        charge=Charge(reason=ChargeReason.TRAINING, amount_cents=5_00, note=NOTE),
    )  # fmt: skip
    deliver_due(clock=clock)
    hear(stripe, clock)
    patient = register_patient(office_id=invoice.office_id, actor=ACTOR, now=NOW, **PERSON).patient
    viewer = Viewer("staff:ann", may_reveal=True)
    grant = reveal_identity(patient_id=patient.pk, viewer=viewer, reason=REASON, now=NOW)
    assert read_revealed(grant_id=grant.pk, viewer=viewer, now=NOW).last_name == PERSON["last_name"]
    csv_files.office("clinic-import")
    row = csv_files.patient(**{"mrn": "x", "office_reference": "clinic-import"} | IMPORTED)
    file = csv_files.write(tmp_path / "patients.csv", [row])
    assert import_patients(path=file, actor=ACTOR, now=NOW, dry_run=False).counts["patients_created"] == 1
    links = list(HostedInvoicePage.objects.values_list("url", flat=True))
    assert links
    assert NOTE in Invoice.objects.values_list("internal_note", flat=True)
    return [str(value) for value in [*PERSON.values(), *IMPORTED.values(), REASON, NOTE, *links]]


def test_a_dump_of_the_database_holds_no_secret_in_clear_or_in_disguise(secrets_told):
    taken = dump()
    assert b"patient.registered" in taken  # it is the whole database, not an empty file
    assert hits(secrets_told, taken) == []


def test_a_dump_of_the_database_holds_no_customer_id_of_stripe(secrets_told):
    customers = list(OfficeStripeAccount.objects.values_list("customer_id", flat=True))
    assert customers
    assert hits(customers, dump()) == []


@pytest.mark.parametrize("disguise", disguises("Quistvandermarkqz"))
def test_a_secret_that_did_stand_there_would_be_found(disguise):
    planted = disguises("Quistvandermarkqz")[disguise]
    office = make_office(name="x", reference=f"planted-{len(disguise)}")
    with connection.cursor() as cursor:
        # Zero bytes cannot stand in a text of PostgreSQL.
        text = planted.decode().replace("\x00", "") if connection.vendor == "postgresql" else planted.decode()
        cursor.execute("UPDATE offices_office SET name = %s WHERE reference = %s", [text, office.reference])
    expected = disguise if "utf" not in disguise or connection.vendor != "postgresql" else "clear"
    assert any(hit.endswith(f": {expected}") for hit in hits(["Quistvandermarkqz"], dump()))


def test_what_was_sealed_is_not_in_the_table_any_more_after_erasure():
    office = make_office()
    patient = register_patient(office_id=office.pk, actor=ACTOR, now=NOW, **PERSON).patient
    row = PatientIdentity.objects.get()
    assert row.data_key.encode() in dump()
    erase_patient_identity(patient_id=patient.pk, actor=ACTOR, now=NOW)
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    taken = dump()
    assert str(patient.pk.hex if connection.vendor != "postgresql" else patient.pk).encode() in taken
    assert row.data_key.encode() not in taken
    assert row.sealed.encode() not in taken
    assert row.external_id_index.encode() not in taken


def test_the_keys_themselves_are_not_in_the_database(settings, secrets_told):
    taken = dump()
    for key in [*settings.FIELD_ENCRYPTION_KEYS, *settings.BLIND_INDEX_KEYS, *settings.AUDIT_KEYS]:
        assert hits([key], taken) == []
    assert field_keys().writing_key_id.encode() in taken
