"""The log-in: user name, password and code on one form, and one answer for whatever of them is not right."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

TOO_MANY = 429


class LogInForm(AuthenticationForm):  # type: ignore[misc]
    """What a person types to get in. The code stays empty at the first log-in alone, which leads to the enrolment."""

    otp_token = forms.CharField(
        label="Code",
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "spellcheck": "false"}),
        help_text="From your app, or one of your recovery codes. Leave it empty at your first log-in.",
    )
    error_messages = {"invalid_login": "The user name, the password or the code is not right.", "inactive": ""}

    def clean(self) -> dict[str, Any]:
        """Judge all three together; raise ValidationError with the same words whichever is wrong."""
        given: dict[str, Any] = self.cleaned_data
        if given.get("username") and given.get("password"):
            names = ("username", "password", "otp_token")
            credentials = {name: given.get(name, "") for name in names}
            self.user_cache = authenticate(self.request, **credentials)
            if self.user_cache is None:
                raise ValidationError(self.error_messages["invalid_login"], code="invalid_login")
        return given


def locked_out(
    request: HttpRequest,
    original: HttpResponse | None = None,  # noqa: ARG001 - django-axes' signature
    credentials: dict[str, Any] | None = None,  # noqa: ARG001
) -> HttpResponse:
    """Return the page for too many wrong tries; it is the same whether there is such an account or not."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    return render(request, "admin/locked_out.html", {"title": "Locked", "minutes": minutes}, status=TOO_MANY)
