"""Issue an API key and show it once; revoke one. The only pages of keys that change something: each makes one call."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.api_keys import DEFAULT_SCOPES, NAME_LENGTH, ApiKeyMalformed, issue_api_key, revoke_api_key
from billing.models import OfficeApiKey, Scope
from billing.platform_keys import issue_platform_key, revoke_platform_key
from offices.locking import OfficeBusy
from offices.models import Office

_BUSY = "The office is busy; try again."


class KeyForm(forms.Form):
    """What a key is for and what it opens."""

    offices = forms.CharField(label="Offices", help_text="References, one a line", widget=UnfoldAdminTextareaWidget)
    name = forms.CharField(max_length=NAME_LENGTH, help_text="Such as: portal 2026", widget=UnfoldAdminTextInputWidget)
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, initial=sorted(DEFAULT_SCOPES), widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    expires_on = forms.DateField(
        required=False,
        help_text="Works until this day begins (UTC); empty: for good",
        widget=UnfoldAdminSingleDateWidget,
    )

    def __init__(self, *args: Any, offices_at_most: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at_most = offices_at_most
        if offices_at_most == 1:
            self.fields["offices"].label, self.fields["offices"].help_text = "Office", "Its reference"
            self.fields["offices"].widget = UnfoldAdminTextInputWidget()

    def clean_offices(self) -> list[UUID]:
        """Return the ids of the offices that are named."""
        references = set(self.cleaned_data["offices"].split())
        if len(references) > self._at_most:
            raise forms.ValidationError(f"At most {self._at_most}.")
        found = list(Office.objects.filter(reference__in=references).values_list("pk", flat=True))
        if len(found) != len(references) or not found:
            raise forms.ValidationError("There is no office with such a reference.")
        return found

    def clean_expires_on(self) -> datetime | None:
        """Return the instant at which the key stops working."""
        day = self.cleaned_data["expires_on"]
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


@sensitive_variables("key")
def issue_page(request: HttpRequest, page: Any) -> HttpResponse:
    """Ask what the key is for, issue it, and show it: it is in this answer and nowhere else."""
    _require(request, page, "add")
    form = KeyForm(request.POST or None, offices_at_most=page.offices_at_most)
    key = ""
    if request.method == "POST" and form.is_valid():
        try:
            key = _issue(form.cleaned_data, page, actor=_actor(request))
        except ApiKeyMalformed as error:
            form.add_error(None, str(error))
        except OfficeBusy:
            form.add_error(None, _BUSY)
    return render(request, "admin/api_key_issue.html", _context(request, page, form=form, key=key))


def revoke_page(request: HttpRequest, page: Any, prefix: str) -> HttpResponse:
    """Ask, then revoke for good."""
    _require(request, page, "change")
    row = page.model.objects.filter(prefix=prefix).first()
    if row is None:
        raise Http404
    if request.method != "POST":
        return render(request, "admin/api_key_revoke.html", _context(request, page, row=row))
    try:
        changed = _revoke(row, actor=_actor(request))
        messages.success(request, "The key is revoked." if changed else "The key was revoked before.")
    except OfficeBusy:
        messages.error(request, _BUSY)
    return HttpResponseRedirect(reverse(f"admin:billing_{page.opts.model_name}_change", args=[prefix]))


def _issue(terms: dict[str, Any], page: Any, *, actor: str) -> str:
    given: dict[str, Any] = {
        "name": terms["name"],
        "scopes": {Scope(word) for word in terms["scopes"]},
        "expires_at": terms["expires_on"],
        "actor": actor,
        "now": timezone.now(),
    }
    if page.model is OfficeApiKey:
        return issue_api_key(office_id=terms["offices"][0], **given)[1]
    return issue_platform_key(office_ids=terms["offices"], **given)[1]


def _revoke(row: Any, *, actor: str) -> bool:
    now = timezone.now()
    if isinstance(row, OfficeApiKey):
        return revoke_api_key(office_id=row.office_id, prefix=row.prefix, actor=actor, now=now)
    return revoke_platform_key(prefix=row.prefix, actor=actor, now=now)


def _require(request: HttpRequest, page: Any, what: str) -> None:
    """Raise PermissionDenied unless the user has this permission on keys of this kind."""
    user: Any = request.user
    if not user.has_perm(f"billing.{what}_{page.opts.model_name}"):
        raise PermissionDenied


def _actor(request: HttpRequest) -> str:
    return f"staff:{request.user.get_username()}"[:100]


def _context(request: HttpRequest, page: Any, **more: Any) -> dict[str, Any]:
    return {**page.admin_site.each_context(request), "opts": page.opts, "title": page.opts.verbose_name, **more}
