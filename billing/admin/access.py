"""Who came in, who was refused, and who looked at patient accounts: on record in a stream of its own.

Log-ins, log-outs and lock-outs are told by the framework's signals, which are the only ones that hear of all of them;
`connect` is called when the apps are ready (decisions.md 33). What was typed as a user name is kept only when there is
such an account: people type passwords and names into that field.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from axes.signals import user_locked_out
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from audit.chain import Fact, record
from billing.minimization.classification import CLASSIFICATION, DataClass
from billing.staff_accounts import STREAM, staff_actor_of
from offices.encryption import blind_index

NOBODY = "unauthenticated"
_READING = {"changelist", "change", "history"}  # whatever else shows something, such as a reveal, records it itself
# Pages of other rows, and forms, that name accounts one by one: an invoice shows its lines and explains them.
_NAMING_TOO = frozenset(
    {
        "billing_invoice_change",
        "billing_invoice_explain",
        "billing_invoice_ask",
        "billing_correction_change",
        "billing_correction_approve",
        "billing_correction_reject",
        "billing_correction_withdraw",
        "patients_revealgrant_ask",
        "patients_patient_activate",
        "patients_patient_deactivate",
    }
)
# The columns by which a row names an account: its own key, a key to it, its reference, an entry that tells of it.
_NAMING = ("reference", "patient", "patient_id", "patient_reference", "payload")
_SHOWN = {200, 409}  # a form that was refused shows its row again


def connect() -> None:
    """Listen."""
    user_logged_in.connect(_logged_in, dispatch_uid="access: log-in")
    user_logged_out.connect(_logged_out, dispatch_uid="access: log-out")
    user_login_failed.connect(_refused, dispatch_uid="access: refused")
    user_locked_out.connect(_locked_out, dispatch_uid="access: lock-out")


def name_for_lockout(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str | None:
    """Return what django-axes counts failures under: the account's name, or a keyed digest of what is none."""
    typed = (credentials or {}).get("username") or (request.POST.get("username") if request is not None else None)
    if not typed:
        return None
    known = _known(typed)
    return known or f"?{blind_index(str(typed), context='access.unknown_username').digest[:32]}"


def pages_of_patients() -> set[str]:
    """Return the pages, as `app_model`, whose rows each name a patient account; the trail is among them."""
    named = [
        apps.get_model(label)
        for label, fields in CLASSIFICATION.items()
        if any(fields.get(name) is DataClass.EPHI for name in _NAMING)
    ]
    return {f"{model._meta.app_label}_{model._meta.model_name}" for model in named}


class PatientReadsMiddleware:
    """Records each look at a page that shows something about patient accounts; what cannot be recorded is not shown."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._pages = pages_of_patients()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer; one entry per request: who, which page, which row or reference."""
        response = self._get_response(request)
        match = request.resolver_match
        if match is not None and match.app_name == "admin" and response.status_code in _SHOWN:
            name = match.url_name or ""
            page, _, view = name.rpartition("_")
            if name in _NAMING_TOO or (page in self._pages and view in _READING):
                kwargs = match.kwargs
                row = kwargs.get("object_id") or kwargs.get("patient_id") or _reference(request.GET.get("q", ""))
                told = {"row": str(row or ""), "account": _reference(request.POST.get("reference", ""))}
                about = {key: value for key, value in told.items() if value}
                _record("page.read", _actor(request), page=name, **about)
        return response


def _reference(typed: str) -> str:
    """Return what was searched for if it is a reference; nobody knows what other words say."""
    try:
        return str(UUID(typed.strip()))
    except ValueError:
        return ""


def _logged_in(*, request: HttpRequest, user: User, **_: object) -> None:
    _record("log_in", staff_actor_of(user.get_username()), **_from(request))


def _logged_out(*, request: HttpRequest, user: User | None, **_: object) -> None:
    if user is not None:
        because = getattr(request, "session_ended", "asked")
        _record("log_out", staff_actor_of(user.get_username()), because=because)


def _refused(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    known = _known(str(credentials.get("username", "")))
    _record("log_in.refused", NOBODY, **({"user": known} if known else {}), **_from(request))


def _locked_out(*, request: HttpRequest, username: str | None, **_: object) -> None:
    known = _known(username or "")
    _record("log_in.locked_out", NOBODY, **({"user": known} if known else {}), **_from(request))


def _known(typed: str) -> str:
    """Return the name of the account that is meant; empty when there is none."""
    if "\x00" in typed:
        return ""
    return User.objects.filter(username=typed).values_list("username", flat=True).first() or ""


def _actor(request: HttpRequest) -> str:
    return staff_actor_of(request.user.get_username()) if request.user.is_authenticated else NOBODY


def _from(request: HttpRequest | None) -> dict[str, str]:
    address = getattr(request, "axes_ip_address", None) or (request.META.get("REMOTE_ADDR") if request else None)
    return {"address": str(address)} if address else {}


def _record(action: str, actor: str, **payload: str) -> None:
    with transaction.atomic():
        record(Fact(STREAM, action, payload), actor=actor[:100], now=timezone.now())
