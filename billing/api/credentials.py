"""What a caller has proved: who it is, for which offices it may act, and what it may do there."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.exceptions import AuthenticationFailed

from billing.models import OfficeApiKey, PlatformApiKey, PlatformKeyOffice, Scope
from billing.models.api_key import PLATFORM_MARK
from billing.platform_keys import key_stream

ACTOR_LENGTH = 100  # of the audit trail's column
# What the console's permissions open here: a scope, to whoever may look at all that it shows. An invoice names patient
# accounts by its lines and has its payable link beside it. Staff change things in the console, each on its own page.
SCOPES_OF_STAFF: Mapping[Scope, frozenset[str]] = MappingProxyType(
    {
        Scope.INVOICES_READ: frozenset(
            f"billing.view_{page}"
            for page in (
                "invoice", "lineitem", "hostedinvoicepage", "payment", "refund", "creditnote", "dispute", "correction",
            )
        ),
        Scope.PATIENTS_READ: frozenset({"patients.view_patient", "patients.view_activityperiod"}),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Credential:
    """It stands where Django has a user: views ask it for the office, never the input.

    `actor` is the name under which the audit trail knows this caller; `office_ids` is None for staff, who see every
    office in the console as well; with `audited` each use is recorded.
    """

    actor: str
    office_ids: frozenset[UUID] | None
    scopes: frozenset[Scope]
    audited: bool = False

    is_authenticated = True

    @property
    def only_office(self) -> UUID | None:
        """The office of a key that belongs to one; None for a caller who must say which office it means."""
        if self.audited or self.office_ids is None or len(self.office_ids) != 1:
            return None
        return next(iter(self.office_ids))

    def acts_for(self, office_id: UUID) -> bool:
        """Return whether this caller may act for the office."""
        return self.office_ids is None or office_id in self.office_ids


def credential_of_key(key: str) -> Credential:
    """Return what a key proves, with one query (two for a platform's).

    Raises AuthenticationFailed: an unknown, wrong, revoked or expired key is all the same.
    """
    if key.startswith(PLATFORM_MARK):
        row = _usable(PlatformApiKey, key)
        offices = PlatformKeyOffice.objects.filter(platform_key=row.prefix).values_list("office_id", flat=True)
        return Credential(key_stream(row.prefix), frozenset(offices), row.scope_set, audited=True)
    row = _usable(OfficeApiKey, key)
    return Credential(f"api-key:{row.prefix}", frozenset({row.office_id}), row.scope_set)


def _usable(model: Any, key: str) -> Any:
    try:
        row = model.objects.get_from_key(key)
    except model.DoesNotExist:
        raise AuthenticationFailed from None
    if row.has_expired:
        raise AuthenticationFailed
    return row


def credential_of_staff(user: AbstractBaseUser) -> Credential:
    """Return what a session of the console proves: the scopes that its permissions to view open."""
    scopes = frozenset(scope for scope, needed in SCOPES_OF_STAFF.items() if all(_has(user, each) for each in needed))
    return Credential(f"staff:{user.get_username()}"[:ACTOR_LENGTH], None, scopes, audited=True)


def _has(user: Any, permission: str) -> bool:
    return user.has_perm(permission) is True
