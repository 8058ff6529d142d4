"""Staff's own words beside a charge or a correction: sealed where they are kept, and free of patients.

They are internal only, never sent; a note that looks like patient data is refused unless somebody says why it stands.
"""

from dataclasses import dataclass
from uuid import UUID

from billing.minimization.detector import advise


class NoteLooksLikePatientData(ValueError):
    """Write the note without the patient, or say why it stands. Carries codes only, never a part of the note."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        super().__init__("the note looks like patient data")
        self.codes = codes


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A note as it is kept, and the codes of the advice that was overridden for it."""

    text: str
    overridden: tuple[str, ...] = ()


def keep_note(office_id: UUID, note: str, *, override_reason: str) -> KeptNote:
    """Return the note as it may be kept; raise NoteLooksLikePatientData when advice speaks against it without a reason.

    The reason is kept with the note: both are staff's words, so both are sealed, none is audited.
    """
    codes = advise(office_id, note, field="internal_note").codes if note else ()
    if not codes:
        return KeptNote(note)
    if not override_reason.strip():
        raise NoteLooksLikePatientData(codes)
    return KeptNote(f"{note}\n\n[override: {override_reason.strip()}]", codes)
