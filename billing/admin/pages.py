"""What the pages of billing have in common: they find by whole values only, and lists decrypt nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.read_only import ReadOnlyPage
from billing.admin.months import months_of_books
from billing.customers import customer_digests, office_of_customer
from billing.models import BillingCycle
from billing.money_overview import Age, of_age
from offices.encryption import EncryptedTextField
from offices.models import Office

MONTHS_TO_CHOOSE = 18  # of the cycle filter; an older month can be written into the address


@dataclass(frozen=True, slots=True)
class Exactly:
    """Where a searched value may stand. Every column has an index: a search takes milliseconds at a million rows.

    `office` is the column with the office's id, `customer` one with the blind index of a customer at Stripe; `ids` hold
    UUIDs, `texts` hold text such as Stripe's ids.
    """

    office: str = ""
    ids: Sequence[str] = ("pk",)
    texts: Sequence[str] = ()
    customer: str = ""

    def matching(self, term: str) -> Q:
        """Return the condition for rows that hold this value."""
        found = Q(pk__in=[])
        # The office is looked up first: a condition across tables would keep the indexes from being used.
        if self.office and (office_id := _office_called(term)):
            found |= Q(**{self.office: office_id})
        if self.customer and term.startswith("cus_"):
            found |= Q(**{f"{self.customer}__in": customer_digests(term)})
        try:
            number = UUID(term)
        except ValueError:
            return found | Q(*((name, term) for name in self.texts), _connector=Q.OR) if self.texts else found
        return found | Q(*((name, number) for name in self.ids), _connector=Q.OR)


def _office_called(term: str) -> UUID | None:
    """Return the office with this reference or this Stripe customer id, which is found by its blind index."""
    if (office_id := Office.objects.filter(reference=term).values_list("pk", flat=True).first()) is not None:
        return office_id
    return office_of_customer(term)


class BillingPage(ReadOnlyPage):
    """A page that reads encrypted columns only when a detail shows them."""

    finds = Exactly()
    search_fields: ClassVar[tuple[str, ...]] = ("pk",)  # opens the search box; `finds` answers

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave encrypted columns unread: what is not read is not decrypted (performance.md, "Reads")."""
        fields = self.model._meta.concrete_fields
        return super().get_queryset(request).defer(*(f.name for f in fields if isinstance(f, EncryptedTextField)))

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Find whole values only."""
        term = search_term.strip()
        return (queryset.filter(self.finds.matching(term)) if term else queryset), False


class CycleFilter(SimpleListFilter):
    """Choose a month. The months are counted back from the newest cycle: reading them all would scan the table."""

    title = "cycle"
    parameter_name = "cycle"
    column = ""  # that holds the month; none: the cycles are looked up

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the latest months, newest first."""
        return [(key, key) for key in months_of_books(timezone.now())[:MONTHS_TO_CHOOSE]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Keep the rows of the month."""
        if not self.value():
            return queryset
        if self.column:
            return queryset.filter(**{self.column: self.value()})
        # Read first: joined, the database would look through every invoice for those of an older month.
        cycles = list(BillingCycle.objects.filter(key=self.value()).values_list("pk", flat=True))
        return queryset.filter(cycle__among=cycles)


class OwnCycleFilter(CycleFilter):
    """The same for cycles themselves."""

    column = "key"


class LineCycleFilter(CycleFilter):
    """The same for lines: the month that is charged for."""

    column = "cycle_key"


class CorrectionCycleFilter(CycleFilter):
    """The same for corrections: the month of the invoice."""

    column = "invoice__cycle__key"


class AgeFilter(SimpleListFilter):
    """Choose unpaid invoices by the days since they were due, as the first page adds them up."""

    title = "unpaid, days since due"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the ages."""
        return [(each.value, each.value) for each in Age]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Keep the invoices of the age."""
        asked = self.value()
        return of_age(queryset, Age(asked), timezone.now()) if asked in list(Age) else queryset
