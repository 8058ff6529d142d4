"""What the page of an office shows besides lists of its rows: the running total, its terms in time, its keys."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.http import HttpRequest

from audit.columns import linked, text, unbroken, when, yes
from audit.read_only import RELATED_ROWS, RelatedTable, list_of, may_view, related
from billing.admin.columns import computed, money_text
from billing.models import Invoice, OfficeApiKey
from billing.running_total import running_charges
from offices.models import Office, OfficePlan, OfficeStatusChange, OfficeZone

_DATED: tuple[tuple[str, type[Any], str], ...] = (
    ("status", OfficeStatusChange, "status"),
    ("plan", OfficePlan, "plan__code"),
    ("zone", OfficeZone, "timezone"),
)


def running_total(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Add up what the open months come to, charge by charge; for who may see invoices."""
    if not may_view(request, Invoice):
        return
    charges = running_charges(office.pk)
    rows = [
        [
            each.month,
            each.item_type.label.capitalize(),
            f"{each.quantity:,}",
            money_text(each.total_cents, office.currency),
        ]
        for each in charges
    ]
    if rows:
        total = money_text(sum(each.total_cents for each in charges), office.currency)
        rows.append(["", "In all, so far", f"{sum(each.quantity for each in charges):,}", total])
    yield RelatedTable("Running total of what is open", ["month", "charge", "quantity", "total"], rows)


def terms_history(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Tell from when on the office had which status, plan and zone: three tables in one question."""
    seen: list[QuerySet[Any, Any]] = [
        model.objects.filter(office=office)
        .order_by()
        .annotate(what=Value(what, output_field=TextField()), held=Cast(F(column), TextField()))
        .values_list("effective_at", "what", "held")
        for what, model, column in _DATED
        if may_view(request, model)
    ]
    if not seen:
        return
    found = seen[0].union(*seen[1:], all=True) if len(seen) > 1 else seen[0]
    first = list(found.order_by("-effective_at")[: RELATED_ROWS + 1])
    rows = [[unbroken(f"{at:%Y-%m-%d %H:%M}"), what, held] for at, what, held in first[:RELATED_ROWS]]
    yield RelatedTable("Status, plan and zone, from when on", ["from", "what", "value"], rows)


def api_keys(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Show the office's own keys, those in force first; for who may see them."""
    if may_view(request, OfficeApiKey):
        keys = OfficeApiKey.objects.filter(office=office).defer("hashed_key").order_by("revoked", "-created")
        yield related("API keys", _KEY_COLUMNS, keys, more=list_of("billing_officeapikey", q=office.reference))


def _prefix(key: OfficeApiKey) -> str:
    return linked("billing_officeapikey", key.prefix, key.prefix)


_KEY_COLUMNS = [
    computed("key", _prefix),
    text("name"),
    text("scopes"),
    when("created"),
    when("expiry_date", title="expires"),
    yes("revoked", colour="danger"),
]
