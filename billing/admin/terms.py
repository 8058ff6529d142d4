"""Plans, prices, and the dated rows that say what holds for an office from when on."""

from collections.abc import Iterable

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from unfold.decorators import action

from audit.columns import Column, day, label, link, text, when
from audit.read_only import RelatedTable, may_view, related
from billing.admin.columns import OFFICE_COLOURS, computed, office
from billing.admin.pages import BillingPage, Exactly
from billing.admin.price_list_forms import AddPlan, AddPrice
from billing.money import to_text
from offices.models import (
    OfficePlan,
    OfficeStatusChange,
    OfficeZone,
    Plan,
    PlanPrice,
    PriceOverride,
)

_FROM = when("effective_at", title="from")
_PLAN = link("plan_id", "offices_plan", caption="plan.code")
# A plan has no currency of its own: an office pays its prices in the office's.
_PLAN_PRICE = computed("unit price", lambda price: to_text(price.unit_price_cents))

STATUS_COLUMNS: list[Column] = [_FROM, label("status", OFFICE_COLOURS)]
ZONE_COLUMNS: list[Column] = [_FROM, text("timezone", title="zone")]
PLAN_COLUMNS: list[Column] = [_FROM, _PLAN]
OVERRIDE_COLUMNS: list[Column] = [
    day("starts_on", title="from"),
    day("ends_on", title="until before"),
    computed("unit price", lambda row: f"{to_text(row.unit_price_cents)} {row.office.currency}"),
    text("reason"),
]


class _OfTheOffice(BillingPage):
    """Dated rows of offices."""

    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[])
    search_help_text = "Office or cus_… (exact)"


@admin.register(OfficeStatusChange)
class OfficeStatusChangePage(_OfTheOffice):
    """From when on an office has which status."""

    details = [*STATUS_COLUMNS, office()]
    list_filter = ["status"]


@admin.register(OfficeZone)
class OfficeZonePage(_OfTheOffice):
    """From when on an office lives in which zone."""

    details = [*ZONE_COLUMNS, office()]


@admin.register(OfficePlan)
class OfficePlanPage(_OfTheOffice):
    """From when on an office is under which plan."""

    details = [*PLAN_COLUMNS, office()]
    list_select_related = ["office", "plan"]


@admin.register(PriceOverride)
class PriceOverridePage(_OfTheOffice):
    """Prices that one office has for itself."""

    list_display = [*OVERRIDE_COLUMNS, office()]
    details = [*list_display, when("created_at")]


@admin.register(Plan)
class PlanPage(BillingPage):
    """What offices pay under."""

    details = [
        text("code", title="plan"),
        text("name"),
        computed("setup fee", lambda plan: to_text(plan.setup_fee_cents)),
    ]
    ordering = ["code"]
    finds = Exactly(ids=[], texts=["code"])
    search_help_text = "Plan (exact)"
    list_before_template = "admin/plan_new_link.html"
    actions_detail = ["price"]

    @action(description="Add a price version", icon="price_change", url_path="price")
    def price(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for the price, and from when on."""
        return AddPrice.as_view(page=self)(request, object_id=object_id)

    def offers(self, request: HttpRequest, row: Plan) -> bool:  # noqa: ARG002 - any plan may cost something else
        """Offer it to who may."""
        return request.user.has_perm(AddPrice.permission)

    def get_urls(self) -> list[URLPattern]:
        """Add the page that adds a plan."""
        view = self.admin_site.admin_view(AddPlan.as_view(page=self))
        return [path("new/", view, name="offices_plan_new"), *super().get_urls()]

    def related_tables(self, request: HttpRequest, obj: Plan) -> Iterable[RelatedTable]:
        """Show the price versions."""
        if may_view(request, PlanPrice):
            columns = [day("effective_on", title="from"), _PLAN_PRICE]
            yield related("Price versions", columns, obj.prices.order_by("-effective_on"))


@admin.register(PlanPrice)
class PlanPricePage(BillingPage):
    """Price versions."""

    details = [day("effective_on", title="from"), _PLAN, _PLAN_PRICE]
    list_select_related = ["plan"]
    ordering = ["plan", "-effective_on"]
    finds = Exactly(ids=[], texts=["plan__code"])
    search_help_text = "Plan (exact)"
