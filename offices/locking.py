"""The office lock: the first lock of every use case, and the only one most need (architecture.md, "One lock order")."""

from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet, UUIDField

from audit.compiled import Parameter, Statement
from offices.models import Office

LOCK_TIMEOUT = "3s"  # decisions.md 39: longer than any use case holds it, shorter than a client waits


class OfficeLockOutsideTransaction(RuntimeError):
    """A lock outside a transaction would be released at once and protect nothing."""


class OfficeBusy(Exception):
    """The office is held by another transaction for longer than LOCK_TIMEOUT; try again."""


class OfficeNotFound(Exception):
    """There is no such office, or not for this caller."""


def lock_office(office_id: UUID) -> Office:
    """Lock one office row until the transaction ends and return it.

    Raises OfficeNotFound, OfficeBusy after LOCK_TIMEOUT, OfficeLockOutsideTransaction. The transaction can go on then.
    """
    _require_transaction()
    # Free as a rule: then nothing need be said about waiting.
    offices: list[Office] = _FREE.objects(office=office_id) or _waited(lambda: _ONE.objects(office=office_id))
    if not offices:
        raise OfficeNotFound("there is no such office")
    return offices[0]


def lock_offices(office_ids: Iterable[UUID], *, skip_locked: bool = False) -> list[Office]:
    """Lock several office rows in id order; with `skip_locked`, only those that nobody holds.

    Raises OfficeBusy, OfficeLockOutsideTransaction.
    """
    _require_transaction()
    offices = _for_update(Office.objects.filter(pk__among=list(office_ids)).order_by("pk"), skip_locked=skip_locked)
    return list(offices) if skip_locked else _waited(lambda: list(offices))


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise OfficeLockOutsideTransaction("lock an office inside transaction.atomic")


def _waited(read: Callable[[], list[Office]]) -> list[Office]:
    if connection.vendor != "postgresql":
        return read()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
    try:
        with transaction.atomic():  # what waited too long undoes itself alone
            return read()
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == "55P03":  # lock_not_available
            raise OfficeBusy("the office is busy; try again") from None
        raise


def _for_update(offices: QuerySet[Office], *, skip_locked: bool = False) -> QuerySet[Office]:
    if connection.vendor != "postgresql":
        return offices  # SQLite: the transaction began with the one write lock (transaction_mode IMMEDIATE)
    # NO KEY: rows that point at the office may be inserted meanwhile; everybody who decides takes this lock.
    return offices.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)


def _one(*, skip_locked: bool) -> Statement:
    office = Office.objects.filter(pk=Parameter("office", UUIDField()))
    return Statement(lambda: _for_update(office, skip_locked=skip_locked))


_FREE, _ONE = _one(skip_locked=True), _one(skip_locked=False)
