"""The door of the console: it opens to accounts of staff whose session was verified by a second factor."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from unfold.sites import UnfoldAdminSite

from billing_project.sessions import begin


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    """unfold's site; whoever has only a password gets as far as the enrolment."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Ask for an active account of staff and for a device that verified this session and has not ended."""
        device = getattr(request.user, "otp_device", None)
        return bool(super().has_permission(request)) and device is not None and device.is_open(timezone.now())

    def extra_urls(self) -> list[URLPattern]:
        """Add the enrolment, which guards itself: the door is still closed there."""
        return [path("enrol/", self.enrol, name="enrol")]

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask for all three; lead whoever still has to confirm a device to the enrolment."""
        if request.method == "GET" and self._waits_for_device(request):
            return HttpResponseRedirect(reverse("admin:enrol"))
        from billing.admin.log_in import LogInForm  # the pages are not there yet when the site is made

        self.login_form = LogInForm
        answer: HttpResponse = super().login(request, extra_context)
        if request.method == "POST" and answer.status_code == 302:  # a form that is not right is shown again
            begin(request.session, now=timezone.now().timestamp())
        return answer

    @method_decorator([never_cache, csrf_protect])
    def enrol(self, request: HttpRequest) -> HttpResponse:
        """Confirm a device."""
        from billing.admin.enrolment import enrol

        return enrol(request, self.each_context(request))

    @method_decorator(never_cache)
    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """End the session, and let the browser forget what it has kept of the console."""
        answer: HttpResponse = super().logout(request, extra_context)
        answer["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    @method_decorator(never_cache)
    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Ask for the old password and a new one; the change is on record."""
        from django.contrib.auth.views import PasswordChangeView

        from billing.admin.own_password import OwnPasswordForm

        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse(f"{self.name}:password_change_done", current_app=self.name),
            extra_context=self.each_context(request) | (extra_context or {}),
            template_name=self.password_change_template or "registration/password_change_form.html",
        )
        return view(request)

    def _waits_for_device(self, request: HttpRequest) -> bool:
        from billing.staff_devices import waiting_device

        key = request.user.pk if request.user.is_authenticated else None
        return key is not None and waiting_device(key, now=timezone.now()) is not None
