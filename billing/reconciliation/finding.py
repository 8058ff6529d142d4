"""A difference as it is found: its kind, what it is about, and what each side says, as numbers and codes."""

from dataclasses import dataclass, field
from uuid import UUID

from billing.discrepancies import Evidence
from billing.models import DiscrepancyKind, RepairKind


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `subject` is "invoice:<id>", "stripe:<id>", "office:<id>", "cycle:<id>" or "message:<id>"."""

    kind: DiscrepancyKind
    subject: str
    repair: RepairKind
    amount_cents: int = 0
    ours: Evidence = field(default_factory=dict)
    theirs: Evidence = field(default_factory=dict)
    office_id: UUID | None = None
    invoice_id: UUID | None = None
    cycle_key: str = ""
