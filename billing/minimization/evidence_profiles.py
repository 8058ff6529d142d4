"""Which names and e-mail addresses of offices ever left, and who approved each of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from billing.minimization.egress_evidence import PROFILE_FIELDS
from billing.models import OfficeProfile
from offices.models import Office


@dataclass(frozen=True, slots=True)
class ApprovedValue:
    """A value that left, and the approval it left by."""

    office: str
    field: str
    value: str
    approved_by: str
    approved_at: str


@dataclass(frozen=True, slots=True)
class ProfileEvidence:
    """Distinct values: opaque names and the vendor's own mailbox are counted, approved values are listed.

    Values that nobody approved for that office are counted and never quoted.
    """

    opaque_names: int
    vendor_mailbox: int
    approved: list[ApprovedValue]
    not_approved: int


def profile_evidence(sent: Iterable[tuple[str, str, str]], *, fallback_email: str) -> ProfileEvidence:
    """Compare each (office, field, value) that left with what that office may be called."""
    references, opaque, approvals = {}, {}, _approvals()
    for office in Office.objects.only("reference", "opaque_name").iterator():
        references[str(office.pk)], opaque[str(office.pk)] = office.reference, office.opaque_name
    counts: dict[str, int] = defaultdict(int)
    approved = []
    for office_id, name, value in sorted(sent):
        approval = approvals.get((office_id, name, value))
        if name == "name" and value == opaque.get(office_id):
            counts["opaque"] += 1
        elif name == "email" and value == fallback_email:
            counts["vendor"] += 1
        elif approval is None:
            counts["not_approved"] += 1
        else:
            by, at = approval.approved_by, approval.approved_at.isoformat()
            approved.append(ApprovedValue(references[office_id], name, value, by, at))
    return ProfileEvidence(counts["opaque"], counts["vendor"], approved, counts["not_approved"])


def _approvals() -> dict[tuple[str, str, str], OfficeProfile]:
    """Every approval there ever was, the first one of each value."""
    found: dict[tuple[str, str, str], OfficeProfile] = {}
    for profile in OfficeProfile.objects.order_by("approved_at", "pk").iterator():
        for name in PROFILE_FIELDS:
            found.setdefault((str(profile.office_id), name, getattr(profile, name)), profile)
    return found
