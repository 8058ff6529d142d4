"""Rotate the field keys: everything the ring encrypts, identities included, whatever app it belongs to.

An identity is sealed under a key of its own; rotation wraps that key anew and leaves what it seals (decisions.md 36).
"""

from datetime import datetime

from django.db import transaction

from audit.chain import Fact, record
from offices.encryption import BlindIndex
from offices.key_rotation import (
    Column,
    Progress,
    Rotation,
    Row,
    blind_index_columns,
    encrypted_column,
    encrypted_columns,
    index_column,
    rotate,
)
from patients.identity import PatientIdentity, external_id_indexes
from patients.token_rebuild import rebuild_tokens

STREAM = "keys"
TOKENS = "patients.patienttoken"  # counted by identity


def rotate_field_keys(*, actor: str, now: datetime, progress: Progress, dry_run: bool = False) -> Rotation:
    """Bring every encrypted column and every blind index under the first keys; run again, it finds nothing to do.

    Everything stays readable meanwhile, as long as every process has the old keys behind the new one. What was done is
    audited once, with the number of rows (45 CFR 164.312(b)); a killed run leaves that to the one that finishes.
    """
    rotation = rotate(all_columns(), dry_run=dry_run, progress=progress)
    _rotate_tokens(rotation, dry_run=dry_run, progress=progress)
    if not dry_run and any(rotation.rewritten.values()):
        with transaction.atomic():
            payload = {label: rows for label, rows in rotation.rewritten.items() if rows}
            record(Fact(STREAM, "field_keys.rotated", payload), actor=actor, now=now)
    return rotation


def all_columns() -> list[Column]:
    """Return every column that depends on a field or index key; tokens of known patients have a way of their own."""
    return [
        *encrypted_columns(),
        encrypted_column(PatientIdentity, "data_key"),
        *blind_index_columns(),
        index_column(
            PatientIdentity,
            "external_id_index",
            reads=("patient_id", "office_id", "data_key", "sealed"),
            index=_record_number_index,
        ),
    ]


def _rotate_tokens(rotation: Rotation, *, dry_run: bool, progress: Progress) -> None:
    """Make the tokens of known patients anew; identities that cannot be read were found with their record numbers."""
    rebuilt = rebuild_tokens(dry_run=dry_run, progress=progress)
    rotation.rewritten[TOKENS] = rebuilt.counts["identities_changed"]
    if rebuilt.busy:
        rotation.busy[TOKENS] = len(rebuilt.busy)


def _record_number_index(row: Row) -> BlindIndex:
    stored = {name: row[name] for name in ("patient_id", "office_id", "data_key", "sealed")}
    external_id = PatientIdentity(**stored).open().external_id
    return external_id_indexes(external_id, office_id=row["office_id"])[0]
