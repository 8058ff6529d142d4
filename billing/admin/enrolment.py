"""The first log-in: a password of one's own, an app for codes, and codes on paper; nothing else opens before."""

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import django_otp
import qrcode
from django import forms
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from qrcode.image.svg import SvgPathImage
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from billing.staff_devices import CodeRefused, NoInvitation, confirm_device, secret_of, waiting_device

if TYPE_CHECKING:
    _SetPasswordForm = SetPasswordForm[User]
else:
    _SetPasswordForm = SetPasswordForm


class EnrolmentForm(_SetPasswordForm):
    """A password of one's own, and the code that shows that the app has the secret."""

    otp_token = forms.CharField(
        label="Code",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
        help_text="The six digits that the app shows now.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})

    def clean_new_password1(self) -> str:
        """Refuse the password that was handed out: more than one person knows it."""
        password: str = self.cleaned_data["new_password1"]
        if self.user.check_password(password):
            raise forms.ValidationError("Choose another one than the first password.")
        return password


@sensitive_post_parameters()
@sensitive_variables()
def enrol(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the secret and take the first code; then show the recovery codes, this once."""
    user: Any = request.user
    now = timezone.now()
    device = waiting_device(user.pk, now=now) if user.is_authenticated and user.is_active else None
    if device is None:
        return HttpResponseRedirect(reverse("admin:login"))
    form = EnrolmentForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            device, codes = confirm_device(
                user_id=user.pk, password=given["new_password1"], code=given["otp_token"], now=now
            )
        except (CodeRefused, NoInvitation) as error:
            form.add_error("otp_token", str(error))
        else:
            _go_on_verified(request, device)
            return render(request, "admin/recovery_codes.html", {**frame, "title": "Recovery codes", "codes": codes})
    secret = secret_of(device, user.get_username())
    context = {
        **frame,
        "title": "Second factor",
        "form": form,
        "secret": secret.text,
        "qr_code": _picture(secret.address),
    }
    return render(request, "admin/enrolment.html", context)


def _go_on_verified(request: HttpRequest, device: Any) -> None:
    """Keep this one session through the change of the password, with a new key, and let the device verify it."""
    user: Any = request.user
    user.refresh_from_db()
    update_session_auth_hash(request, user)
    django_otp.login(request, device)


def _picture(address: str) -> str:
    """Return the QR code as a data address: nothing is fetched, and the content policy allows it for images."""
    picture: bytes = qrcode.make(address, image_factory=SvgPathImage, border=2).to_string()
    return f"data:image/svg+xml;base64,{b64encode(picture).decode()}"
