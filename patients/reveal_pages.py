"""The two pages of a reveal: say why, then see who it is until the quarter of an hour is over.

The identity stands in the body of the second page and nowhere else: titles, addresses and messages are constants and
ids, no cache keeps the page, and when the time is over the browser leaves it by itself.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.read_only import ReadOnlyPage
from audit.staff_forms import StaffForm, refusal_page
from offices.locking import OfficeBusy
from patients.identity import Identity
from patients.identity_reveal import (
    LONGEST_REASON,
    PERMISSION,
    GrantExpired,
    GrantNotFound,
    IdentityNotFound,
    ReasonMissing,
    RevealNotPermitted,
    Viewer,
    read_revealed,
    reveal_identity,
)
from patients.reveal_grant import RevealGrant

GONE = 410


class ReasonForm(forms.Form):
    """Why the person needs to know."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept encrypted, and destroyed with the identity when that is erased.",
    )


class AskToReveal(StaffForm):
    """Take the reason, and grant a quarter of an hour."""

    permission = PERMISSION
    form_class = ReasonForm
    title = "Reveal an identity"
    lead = (
        "You will see who this patient is for 15 minutes. That you looked, when, and at which account is recorded in "
        "the audit trail for good; so is each time the page is opened."
    )
    submit = "Reveal"
    expected: ClassVar = (ReasonMissing, IdentityNotFound, OfficeBusy)

    @property
    def _account(self) -> UUID:
        account: UUID = self.kwargs["patient_id"]
        return account

    def refuse(self) -> HttpResponse:
        """Refuse as the use case does, which records the attempt."""
        try:
            self._ask("")
        except RevealNotPermitted:
            return super().refuse()
        raise TypeError("the use case permits what the page does not")

    def facts(self) -> list[tuple[str, str]]:
        """Name the account."""
        return [("Patient account", str(self._account))]

    def back(self) -> str:
        """Lead back to the account."""
        return _account_page(self._account)

    def act(self, form: Any) -> str:
        """Reveal, and go on to the page that shows it."""
        return reverse("admin:patients_revealgrant_identity", args=[self._ask(form.cleaned_data["reason"]).pk])

    def _ask(self, reason: str) -> RevealGrant:
        viewer = Viewer.of(self.request.user)
        return reveal_identity(patient_id=self._account, viewer=viewer, reason=reason, now=timezone.now())


def show_identity(request: HttpRequest, grant_id: UUID, *, page: ReadOnlyPage) -> HttpResponse:
    """Show the identity while the grant lasts; afterwards say that it is over."""
    now = timezone.now()
    try:
        identity = read_revealed(grant_id=grant_id, viewer=Viewer.of(request.user), now=now)
    except RevealNotPermitted:
        return refusal_page(request, page, PERMISSION)
    except GrantNotFound:
        raise Http404 from None
    except (GrantExpired, IdentityNotFound) as error:
        return _page(request, page, _grant(grant_id), {"over": str(error)}, status=GONE)
    grant = _grant(grant_id)
    answer = _page(request, page, grant, {"facts": _facts(grant, identity)}, status=200)
    answer["Refresh"] = f"{_seconds_left(grant, now)}; url={_account_page(grant.patient_id)}"
    return answer


def _facts(grant: RevealGrant, identity: Identity) -> list[tuple[str, str]]:
    return [
        ("Patient account", str(grant.patient_id)),
        ("Record number", identity.external_id),
        ("First name", identity.first_name),
        ("Last name", identity.last_name),
        ("Date of birth", f"{identity.date_of_birth:%Y-%m-%d}" if identity.date_of_birth else ""),
        ("E-mail", identity.email),
        ("Phone", identity.phone),
    ]


def _page(
    request: HttpRequest, page: ReadOnlyPage, grant: RevealGrant, more: dict[str, object], *, status: int
) -> HttpResponse:
    context = page.admin_site.each_context(request) | more
    context |= {"title": "Identity of a patient account", "back": _account_page(grant.patient_id), "grant": grant}
    return render(request, "admin/identity.html", context, status=status)


def _grant(grant_id: UUID) -> RevealGrant:
    return RevealGrant.objects.defer("reason").get(pk=grant_id)


def _seconds_left(grant: RevealGrant, now: datetime) -> int:
    return max(int((grant.expires_at - now).total_seconds()), 1)


def _account_page(patient_id: UUID) -> str:
    return reverse("admin:patients_patient_change", args=[patient_id])
