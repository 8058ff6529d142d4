"""Issue and revoke the API keys of an office. The key itself exists once, in the answer; the database keeps a hash."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from billing.models import OfficeApiKey, Scope
from offices.audit_stream import office_stream
from offices.locking import lock_office

NAME_LENGTH = 50  # of the library's column
DEFAULT_SCOPES = frozenset(Scope) - {Scope.PATIENTS_IDENTITY}  # identities are never opened by default


class ApiKeyNotFound(Exception):
    """There is no API key with this prefix at this office."""


class ApiKeyMalformed(ValueError):
    """The name is empty or too long, there is no scope, or the key would be expired at once."""


@transaction.atomic
def issue_api_key(
    *,
    office_id: UUID,
    name: str,
    actor: str,
    now: datetime,
    scopes: Collection[Scope] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
) -> tuple[OfficeApiKey, str]:
    """Make a key for the office; return its row and the key in clear, which is nowhere else and cannot be had again.

    Raises ApiKeyMalformed, and the office lock's OfficeNotFound and OfficeBusy.
    """
    check_key(name=name, scopes=scopes, expires_at=expires_at, now=now)
    office = lock_office(office_id)
    words = " ".join(sorted(scopes))
    row = OfficeApiKey(office=office, name=name.strip(), scopes=words, expiry_date=expires_at)
    key = OfficeApiKey.objects.assign_key(row)
    row.save(force_insert=True)
    payload = {"prefix": row.prefix, "scopes": words, "expires_at": expires_at.isoformat() if expires_at else None}
    record(Fact(office_stream(office.reference), "api_key.issued", payload), actor=actor, now=now)
    return row, key


def check_key(*, name: str, scopes: Collection[Scope], expires_at: datetime | None, now: datetime) -> None:
    """Raise ApiKeyMalformed unless a key of any kind may be like this."""
    if not 0 < len(name.strip()) <= NAME_LENGTH:
        raise ApiKeyMalformed(f"a name has 1 to {NAME_LENGTH} characters")
    if not scopes:
        raise ApiKeyMalformed("a key needs at least one scope")
    if expires_at is not None and expires_at <= now:
        raise ApiKeyMalformed("the expiry must lie in the future")


@transaction.atomic
def revoke_api_key(*, office_id: UUID, prefix: str, actor: str, now: datetime) -> bool:
    """Revoke a key for good; return whether anything changed.

    Raises ApiKeyNotFound, and the office lock's OfficeNotFound and OfficeBusy.
    """
    office = lock_office(office_id)
    row = OfficeApiKey.objects.filter(office=office, prefix=prefix).first()
    if row is None:
        raise ApiKeyNotFound("there is no API key with this prefix at this office")
    if row.revoked:
        return False
    row.revoked = True
    row.save(update_fields=["revoked"])
    record(Fact(office_stream(office.reference), "api_key.revoked", {"prefix": prefix}), actor=actor, now=now)
    return True
