"""How staff prove who they are: a password and a code, judged together, so that no answer tells which one was wrong."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.middleware import OTPMiddleware

from billing.staff_devices import CodeRefused, NoInvitation, open_with_code


class StaffBackend(ModelBackend):
    """Lets an account in whose device accepts the code, or that is invited to confirm a device; nobody else.

    An account that was never invited, such as one made by `createsuperuser`, has no way in.
    """

    @sensitive_variables()
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        otp_token: str = "",
        **kwargs: Any,
    ) -> User | None:
        """Return the account, with the device that opened it as `otp_device`; None for whatever is not right."""
        user: Any = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None or not user.is_staff:
            return None
        try:
            device = open_with_code(user=user, code=otp_token, now=timezone.now())
        except (CodeRefused, NoInvitation):
            return None
        if device is not None:
            user.otp_device = device  # django-otp takes it into the session
        return user  # type: ignore[no-any-return]

    def get_user(self, user_id: Any) -> User | None:
        """Return an active account together with its device: each request needs both."""
        accounts = User.objects.select_related("staff_device").defer("staff_device__secret")
        user = accounts.filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SecondFactorMiddleware(OTPMiddleware):  # type: ignore[misc]
    """The library's, but for where the device comes from: with the account, not with a question of its own."""

    def _verify_user_sync(self, request: HttpRequest, user: Any) -> Any:
        self._init_user_fields(user)
        if user.is_authenticated:
            device = getattr(user, "staff_device", None)
            named = request.session.get(DEVICE_ID_SESSION_KEY)
            verifies = device is not None and device.persistent_id == named
            user.otp_device = self._finalize_device(request, user, device if verifies else None)
        return user
