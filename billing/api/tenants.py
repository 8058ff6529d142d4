"""Two walls between offices. The first: every query is scoped to the caller's offices. The second, on PostgreSQL:
row-level security, which shows a transaction of the API no row of another office, whatever it asks (decisions.md 40).
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound

from billing.api.credentials import Credential

ROLE = "clinic_billing_api"  # made by billing/migrations/0014_row_security.py
_ENTER = (
    "SELECT set_config('role', %s, true), set_config('billing.api_offices', %s, true),"
    " set_config('billing.api_credential', %s, true)"
)


def of_offices(rows: QuerySet[Any, Any], office_ids: Collection[UUID] | None) -> QuerySet[Any, Any]:
    """Return those of the rows that belong to these offices; None: to any."""
    if office_ids is None:
        return rows
    if len(office_ids) == 1:  # by equality: only then an index on (office, time) gives the order of a page too
        return rows.filter(office_id=next(iter(office_ids)))
    return rows.filter(office_id__among=office_ids)


def office_of(model: type[Model], key: UUID, office_ids: Collection[UUID] | None) -> UUID:
    """Return the office that a row belongs to; raise NotFound when it is none of these."""
    rows = of_offices(model._default_manager.filter(pk=key), office_ids)
    office_id: UUID | None = rows.values_list("office_id", flat=True).first()
    if office_id is None:
        raise NotFound
    return office_id


def api_transaction(credential: Credential, *, writes: bool) -> AbstractContextManager[Any]:
    """Return the transaction in which a call is carried out, behind the second wall where there is one.

    Staff are not behind it: they see every office, and may only read. A read needs no transaction of its own on SQLite,
    where it would take the one write lock.
    """
    if connection.vendor == "postgresql" and credential.office_ids is not None:
        return _behind_the_wall(credential.office_ids, credential.actor)
    return transaction.atomic() if writes else nullcontext()


@contextmanager
def _behind_the_wall(office_ids: Collection[UUID], actor: str) -> Iterator[None]:
    """Be the API's role for these offices until the transaction ends."""
    nested = connection.in_atomic_block
    with transaction.atomic():
        # One statement: `SET LOCAL ROLE` and two transaction-local settings.
        _set(ROLE, ",".join(map(str, office_ids)), actor)
        yield
        if nested:  # the settings would outlive us in the transaction around us; an exception has undone them
            _set("none", "", "")


def _set(*values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, values)
