"""What Stripe may know of an office: the name and e-mail that a person approved, word for word."""

from django.db import models
from django.db.models import Q

from offices.models import Office


class OfficeProfile(models.Model):
    """One approval. The standing one is what may leave; older ones stay as evidence of what has left.

    The advice of the detectors is kept as codes; the patient index is asked at approval only (privacy.md, "Office
    profile").
    """

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="profiles")
    # Printable ASCII: transliterated before it is approved.
    name = models.CharField(max_length=100)
    email = models.EmailField(blank=True)
    advice = models.CharField(max_length=200, blank=True)
    # Why a person approved it against the advice; staff's own words, internal.
    override_reason = models.CharField(max_length=200, blank=True)
    approved_by = models.CharField(max_length=100)
    approved_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [("approve_profile", "Can approve what of an office may reach Stripe")]
        constraints = [
            models.UniqueConstraint(
                fields=["office"], condition=Q(replaced_at__isnull=True), name="office_profile_one_standing"
            ),
            models.CheckConstraint(condition=Q(name__regex=r"^[ -~]+$"), name="office_profile_name_is_ascii"),
            models.CheckConstraint(
                condition=Q(advice="") | ~Q(override_reason=""), name="office_profile_against_advice_needs_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"profile of {self.office_id}"


class ProfileRejection(models.Model):
    """A person's no to what an office calls itself; the opaque name stays in use. Never changed, never deleted.

    The name and the e-mail themselves are not kept here: they may be just what nobody is to read.
    """

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="profile_rejections")
    reason = models.CharField(max_length=200)  # staff's own words, internal
    rejected_by = models.CharField(max_length=100)
    rejected_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="profile_rejection_has_a_reason")]

    def __str__(self) -> str:
        return f"rejection of {self.office_id}"
