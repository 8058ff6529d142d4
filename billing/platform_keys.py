"""Issue and revoke the keys of platforms: each acts for several named offices, and every office's trail says so."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record_many
from audit.seal import PayloadValue
from billing.api_keys import DEFAULT_SCOPES, ApiKeyMalformed, ApiKeyNotFound, check_key
from billing.models import PlatformApiKey, PlatformKeyOffice, Scope
from offices.audit_stream import office_stream
from offices.locking import OfficeNotFound, lock_offices
from offices.models import Office

MOST_OFFICES = 500  # all of them travel with every request of the key


def key_stream(prefix: str) -> str:
    """Return the audit stream of a platform key: what it is, and every use of it."""
    return f"platform-key:{prefix}"


@transaction.atomic
def issue_platform_key(
    *,
    office_ids: Collection[UUID],
    name: str,
    actor: str,
    now: datetime,
    scopes: Collection[Scope] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
) -> tuple[PlatformApiKey, str]:
    """Make a key that acts for these offices; return its row and the key in clear, which cannot be had again.

    Raises ApiKeyMalformed, OfficeNotFound when one of them is not there, and the office lock's OfficeBusy.
    """
    check_key(name=name, scopes=scopes, expires_at=expires_at, now=now)
    wanted = set(office_ids)
    if not 0 < len(wanted) <= MOST_OFFICES:
        raise ApiKeyMalformed(f"a platform key names 1 to {MOST_OFFICES} offices")
    offices = lock_offices(wanted)
    if len(offices) != len(wanted):
        raise OfficeNotFound("one of the offices is not there")
    row = PlatformApiKey(name=name.strip(), scopes=" ".join(sorted(scopes)), expiry_date=expires_at)
    key = PlatformApiKey.objects.assign_key(row)
    row.save(force_insert=True)
    PlatformKeyOffice.objects.bulk_create(PlatformKeyOffice(platform_key=row, office=office) for office in offices)
    told: dict[str, PayloadValue] = {
        "prefix": row.prefix,
        "scopes": row.scopes,
        "offices": len(offices),
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    record_many(_facts("platform_key.issued", row, offices, told), actor=actor, now=now)
    return row, key


@transaction.atomic
def revoke_platform_key(*, prefix: str, actor: str, now: datetime) -> bool:
    """Revoke a key for good, for all its offices; return whether anything changed.

    Raises ApiKeyNotFound, and the office lock's OfficeBusy.
    """
    offices = lock_offices(PlatformKeyOffice.objects.filter(platform_key=prefix).values_list("office_id", flat=True))
    row = PlatformApiKey.objects.filter(prefix=prefix).first()
    if row is None:
        raise ApiKeyNotFound("there is no platform key with this prefix")
    if row.revoked:
        return False
    row.revoked = True
    row.save(update_fields=["revoked"])
    record_many(_facts("platform_key.revoked", row, offices, {"prefix": prefix}), actor=actor, now=now)
    return True


def _facts(action: str, row: PlatformApiKey, offices: Iterable[Office], payload: dict[str, PayloadValue]) -> list[Fact]:
    streams = [*(office_stream(office.reference) for office in offices), key_stream(row.prefix)]
    return [Fact(stream, action, payload) for stream in streams]
