"""What staff may do to one office: approve or reject what Stripe knows of it, stop it.

Letting it go on is on the parking.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from audit.staff_forms import StaffForm, staff_actor
from billing.admin.previewed import PreviewedForm, SeenForm
from billing.minimization.profile_approval import (
    Approval,
    ProfileNeedsReason,
    ProfileNotSendable,
    RejectionNeedsReason,
    approve_profile,
    preview_approval,
    reject_profile,
)
from billing.models import MessageStatus, OfficeProfile, OutboxMessage
from billing.parking import LONGEST_REASON, OfficeAlreadyParked, ReasonMissing, stop_office
from offices.locking import OfficeBusy
from offices.models import Office


class StopForm(forms.Form):
    """Why the office is stopped."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Stays on the parking, for whoever lets it go on; write no patient's name.",
    )


class StopOffice(StaffForm):
    """Park an office."""

    permission = "billing.park_office"
    form_class = StopForm
    title = "Stop an office"
    lead = (
        "Nothing of the office is closed or sent to Stripe until somebody lets it go on; then the run catches up. Its "
        "accounts can still be activated, and what Stripe says of its payments still comes in."
    )
    submit = "Stop it"
    done = "The office stands still."
    expected: ClassVar = (OfficeAlreadyParked, ReasonMissing, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show which office, and what will wait."""
        office: Office = self.row
        waiting = OutboxMessage.objects.filter(office=office, status=MessageStatus.PENDING).count()
        return [("Office", office.reference), ("Messages that will wait", str(waiting))]

    def act(self, form: Any) -> str:
        """Stop it, and go back to the office."""
        reason = form.cleaned_data["reason"]
        stop_office(office_id=self.row.pk, reason=reason, actor=staff_actor(self.request), now=timezone.now())
        return self.back()


class ProfileForm(SeenForm):
    """What Stripe may know of the office."""

    name = forms.CharField(max_length=100, label="Name at Stripe", widget=UnfoldAdminTextInputWidget)
    email = forms.EmailField(
        required=False,
        label="E-mail at Stripe",
        widget=UnfoldAdminTextInputWidget,
        help_text="A role mailbox such as billing@…; empty: none.",
    )
    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Why it may stand against the advice",
        widget=UnfoldAdminTextInputWidget,
        help_text="Only when something speaks against it; stays here, and is never sent.",
    )


class ApproveProfile(PreviewedForm):
    """Approve the name and the e-mail under which Stripe may know an office."""

    permission = "billing.approve_profile"
    form_class = ProfileForm
    title = "Approve an office's profile"
    lead = (
        "Stripe may know the office by this name and this e-mail, word for word, and by nothing else. The detectors "
        "only advise: decide yourself whether a patient could be told from it. Without an approval the opaque name is "
        "used."
    )
    submit = "Approve it"
    look = "Show what speaks against it"
    done = "Approved. What Stripe knows of the office follows within minutes."
    expected: ClassVar = (ProfileNotSendable, ProfileNeedsReason, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show what holds now, and the names to choose between."""
        office: Office = self.row
        standing = OfficeProfile.objects.filter(office=office, replaced_at=None).first()
        return [
            ("Office", office.reference),
            ("Approved now", f"{standing.name}, {standing.email or 'no e-mail'}" if standing else "nothing"),
            ("Opaque name", office.opaque_name),
        ]

    def get_initial(self) -> dict[str, Any]:
        """Propose what the office calls itself."""
        return super().get_initial() | {"name": self.row.name, "email": self.row.billing_email}

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Show the very bytes, and what speaks against them."""
        given = form.cleaned_data
        plain, codes = preview_approval(office_id=self.row.pk, name=given["name"], email=given["email"])
        yield "Stripe will read", f"{plain}, {given['email'] or 'no e-mail'}"
        yield "The detectors say", ", ".join(codes).replace("_", " ") if codes else "nothing against it"
        if codes:
            yield "So", "a reason is needed" if not given["reason"].strip() else "it stands for the reason you give"

    def act(self, form: Any) -> str:
        """Approve, and go back to the office."""
        self._approve(form.cleaned_data)
        return self.back()

    def _approve(self, given: dict[str, Any]) -> Approval:
        return approve_profile(
            office_id=self.row.pk,
            name=given["name"],
            email=given["email"],
            actor=staff_actor(self.request),
            now=timezone.now(),
            override_reason=given["reason"],
        )


class RejectForm(forms.Form):
    """Why Stripe may not know the office so."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Stays in the office's history, and is never sent; write no patient's name.",
    )


class RejectProfile(StaffForm):
    """Say no to what an office calls itself."""

    permission = ApproveProfile.permission
    form_class = RejectForm
    title = "Reject an office's profile"
    lead = (
        "Stripe is not to know the office by what it calls itself. Nothing is sent: what was approved before stays, "
        "and where nothing was, the opaque name does. Another name can be approved at any time."
    )
    submit = "Reject it"
    done = "Rejected. It stands in the history below."
    expected: ClassVar = (RejectionNeedsReason, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show what is rejected, and what Stripe reads meanwhile."""
        office: Office = self.row
        standing = OfficeProfile.objects.filter(office=office, replaced_at=None).first()
        return [
            ("Office", office.reference),
            ("It calls itself", f"{office.name}, {office.billing_email or 'no e-mail'}"),
            ("Stripe reads", f"{standing.name}, {standing.email or 'no e-mail'}" if standing else office.opaque_name),
        ]

    def act(self, form: Any) -> str:
        """Record it, and go back to the office."""
        reason = form.cleaned_data["reason"]
        reject_profile(office_id=self.row.pk, reason=reason, actor=staff_actor(self.request), now=timezone.now())
        return self.back()
