"""The form with which a member of staff changes the own password: unfold's, but for what keeps it."""

from django.contrib.auth.models import User
from django.utils import timezone
from unfold.forms import AdminOwnPasswordChangeForm

from billing.staff_accounts import change_own_password


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]
    """Asks for the old password, and judges the new one."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002, ARG002 - Django's signature
        """Keep the new password, on the record."""
        user: User = self.user
        change_own_password(user=user, password=self.cleaned_data["new_password1"], now=timezone.now())
        return user
