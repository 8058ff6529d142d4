"""Who a patient is: the only ePHI of the product, encrypted under a key of the row's own (privacy.md, "Identity").

The row's data key is wrapped by the key ring; destroying the row destroys the key, and with it every copy of the
sealed text (decisions.md 36). Not imported by `patients.models`, so that nobody meets it by accident.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import models

from offices.encryption import BlindIndex, KeyRing, blind_index, blind_indexes, field_keys
from patients.models import Patient

_DATA_KEY_CONTEXT = "patients.patientidentity.data_key"


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """The direct identifiers of a person. Has no repr: it must not appear in a log or a traceback."""

    external_id: str
    first_name: str
    last_name: str
    date_of_birth: date | None
    email: str
    phone: str


class PatientIdentity(models.Model):
    """The sealed identity of one patient account, found by the blind index of the office's own record number."""

    patient = models.OneToOneField(Patient, on_delete=models.PROTECT, primary_key=True, related_name="+")
    office_id = models.UUIDField()
    external_id_index = models.CharField(max_length=64)
    external_id_index_key = models.CharField(max_length=12)
    data_key = models.TextField()
    sealed = models.TextField()

    class Meta:
        verbose_name_plural = "patient identities"
        constraints = [
            models.UniqueConstraint(
                fields=["office_id", "external_id_index"], name="patient_identity_record_number_once_per_office"
            )
        ]

    def __str__(self) -> str:
        return str(self.patient_id)

    @classmethod
    def seal(cls, *, patient_id: UUID, office_id: UUID, identity: Identity) -> "PatientIdentity":
        """Return the unsaved row that holds `identity` under a fresh data key."""
        data_key = secrets.token_urlsafe(32)
        index = blind_index(identity.external_id, context=_index_context(office_id))
        row = cls(
            patient_id=patient_id,
            office_id=office_id,
            external_id_index=index.digest,
            external_id_index_key=index.key_id,
            data_key=field_keys().encrypt(data_key, context=_DATA_KEY_CONTEXT),
        )
        row.sealed = _row_ring(data_key).encrypt(_to_text(identity), context=str(patient_id))
        return row

    def reseal(self, identity: Identity) -> None:
        """Replace what is sealed, under the row's own key; the caller saves."""
        self.sealed = self._ring().encrypt(_to_text(identity), context=str(self.patient_id))

    def open(self) -> Identity:
        """Return the clear identity; raise CiphertextUnreadable when the row or the key ring was changed."""
        fields = json.loads(self._ring().decrypt(self.sealed, context=str(self.patient_id)))
        born = fields.pop("date_of_birth")
        return Identity(**fields, date_of_birth=date.fromisoformat(born) if born else None)

    def _ring(self) -> KeyRing:
        return _row_ring(field_keys().decrypt(self.data_key, context=_DATA_KEY_CONTEXT))


def external_id_indexes(external_id: str, *, office_id: UUID) -> list[BlindIndex]:
    """Return the digests under which a record number of this office may be stored: one for each index key."""
    return blind_indexes(external_id, context=_index_context(office_id))


def _row_ring(data_key: str) -> KeyRing:
    return KeyRing((data_key,))


def _index_context(office_id: UUID) -> str:
    """Bind the index to the office: the same record number at two offices must not look the same."""
    return f"patients.patientidentity.external_id\x00{office_id}"


def _to_text(identity: Identity) -> str:
    # Written out: `dataclasses.asdict` copies deeply and took a fifth of the time of sealing.
    fields = {
        "external_id": identity.external_id,
        "first_name": identity.first_name,
        "last_name": identity.last_name,
        "date_of_birth": identity.date_of_birth.isoformat() if identity.date_of_birth else None,
        "email": identity.email,
        "phone": identity.phone,
    }
    return json.dumps(fields, ensure_ascii=False)
