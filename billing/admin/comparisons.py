"""Comparisons with Stripe: asked for, watched while they work, and repaired where Stripe has decided."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.columns import Column, text, when
from audit.read_only import RelatedTable, list_of, may_view
from audit.staff_forms import StaffForm, staff_actor
from billing.admin.columns import computed, office
from billing.admin.desk import desk_urls, kinds_of
from billing.admin.discrepancy_forms import PERMISSION as REPAIRING
from billing.admin.discrepancy_forms import what_changes
from billing.admin.months import months_of_books
from billing.admin.pages import BillingPage, Exactly, LineCycleFilter
from billing.admin.progress import look_again, of_comparison
from billing.models import Discrepancy, ReconciliationRun
from billing.reconciliation.asked import ComparisonEnded, ask_for_comparison, go_on_with, under_way
from billing.reconciliation.found import to_pull
from billing.reconciliation.repair import NotRepaired, NotToPull, repair_run
from offices.locking import OfficeNotFound

COMPARING = "billing.compare_books"


COMPARISON_COLUMNS: list[Column] = [
    when("started_at"),
    computed("cycle", lambda run: run.cycle_key or "all"),
    office(),
    computed("progress", of_comparison),
    text("found"),
    text("repaired"),
    when("finished_at"),
    text("actor"),
]


class _Scope(forms.Form):
    """What to compare."""

    month = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    office = forms.CharField(
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its reference, such as clinic-002. Empty: all offices, which a month needs to be closed.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        months = [(key, key) for key in months_of_books(timezone.now())]
        self.fields["month"].choices = [*months, ("", "All months")]  # type: ignore[attr-defined]


class Compare(StaffForm):
    """Begin a comparison."""

    permission = COMPARING
    form_class = _Scope
    title = "Compare with Stripe"
    lead = (
        "Stripe's invoices and payments are listed and compared with our books. Nothing is changed at Stripe, and no "
        "invoice here: what differs is opened as a difference for people to look at. Where the same comparison is "
        "under way already, you are led to it."
    )
    submit = "Compare"
    expected: ClassVar = (OfficeNotFound,)

    def get_initial(self) -> dict[str, Any]:
        """Take the month over from the page that led here."""
        asked = {name: self.request.GET[name] for name in ("month", "office") if name in self.request.GET}
        return super().get_initial() | {"month": months_of_books(timezone.now())[1]} | asked

    def act(self, form: Any) -> str:
        """Begin it, and go on to watch it."""
        run = ask_for_comparison(
            cycle_key=form.cleaned_data["month"],
            office_reference=form.cleaned_data["office"].strip() or None,
            actor=staff_actor(self.request),
            now=timezone.now(),
        )
        return reverse("admin:billing_reconciliationrun_change", args=[run.pk])


class GoOn(StaffForm):
    """Let a comparison go on here, where no worker does."""

    permission = COMPARING
    form_class = forms.Form
    title = "Go on with a comparison"
    lead = "It goes on for some seconds from where it stands. With a worker it goes on by itself."
    submit = "Go on"
    expected: ClassVar = (ComparisonEnded,)

    def act(self, form: Any) -> str:  # noqa: ARG002
        """Work on it."""
        go_on_with(run_id=self.row.pk, actor=staff_actor(self.request), clock=timezone.now)
        return self.back()


class RepairAll(StaffForm):
    """Take all that Stripe has decided; what would be done is shown first."""

    permission = REPAIRING
    form_class = forms.Form
    title = "Repair what Stripe has decided"
    lead = (
        "Each invoice is fetched from Stripe once, and our books take what Stripe says. Nothing is written at Stripe. "
        "What moves or forgives money is not among it: that is asked for as a correction, and a second person decides."
    )
    submit = "Repair them"
    expected: ClassVar = (NotToPull, NotRepaired)
    SHOWN = 50

    def facts(self) -> list[tuple[str, str]]:
        """Show the dry run: what would change, invoice by invoice."""
        rows = to_pull(self.row).select_related("office").defer("note").order_by("office", "invoice", "found_at")
        total, facts = rows.count(), []
        for found in rows[: self.SHOWN]:
            facts += [
                (found.office.reference if found.office else found.subject, words) for words in what_changes(found)
            ]
        more = [("And", f"{total - self.SHOWN:,} differences more")] if total > self.SHOWN else []
        return [("Differences to repair", f"{total:,}"), *facts, *more]

    def act(self, form: Any) -> str:  # noqa: ARG002
        """Fetch and apply."""
        done = repair_run(run_id=self.row.pk, actor=staff_actor(self.request), clock=timezone.now)
        left = to_pull(self.row).count()
        words = f"{done.pulled:,} invoices fetched, {done.ended:,} differences repaired, {left:,} left."
        messages.success(self.request, words)
        return self.back()


@admin.register(ReconciliationRun)
class ReconciliationRunPage(BillingPage):
    """Each comparison of the books."""

    list_display = [*COMPARISON_COLUMNS]
    list_filter = ["phase", LineCycleFilter]
    list_select_related = ["office"]
    ordering = ["-started_at", "-pk"]
    finds = Exactly(office="office_id")
    search_help_text = "Office or run id (exact)"
    details = [
        text("id", title="run"),
        *COMPARISON_COLUMNS,
        text("invoices_seen", title="seen at Stripe"),
        text("compared"),
        when("window_from"),
        when("window_until"),
        when("advanced_at", title="last step"),
    ]
    actions_detail = ["go_on", "repair"]

    @action(description="Go on here", icon="play_arrow", url_path="go-on")
    def go_on(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Let it go on in this process."""
        return GoOn.as_view(page=self)(request, object_id=object_id)

    @action(description="Repair what Stripe decided", icon="build", url_path="repair")
    def repair(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show what a repair would do."""
        return RepairAll.as_view(page=self)(request, object_id=object_id)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the balances unread: they have a page of their own."""
        return super().get_queryset(request).defer("balances")

    def offers_action(self, request: HttpRequest, row: ReconciliationRun, path: str) -> bool:
        """Offer what fits the run, to who may."""
        if path == "go-on":
            return request.user.has_perm(COMPARING) and _goes_on(row)
        return request.user.has_perm(REPAIRING) and row.finished_at is not None and to_pull(row).exists()

    def related_tables(self, request: HttpRequest, obj: ReconciliationRun) -> Iterable[RelatedTable]:
        """Show what is open of what it found, by kind."""
        if may_view(request, Discrepancy):
            more = list_of("billing_discrepancy", run__id__exact=obj.pk)
            yield kinds_of(
                "Open differences that it saw", Discrepancy.objects.filter(run=obj), more, run__id__exact=obj.pk
            )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Look again by itself while the run is under way, for some minutes."""
        answer = super().change_view(request, object_id, form_url, extra_context)
        run = self.get_object(request, object_id)
        return look_again(request, answer) if run is not None and _goes_on(run) else answer

    def get_urls(self) -> list[URLPattern]:
        """Add the desk, and the page to begin a comparison."""
        compare = self.admin_site.admin_view(Compare.as_view(page=self))
        return [
            *desk_urls(self),
            path("compare/", compare, name="billing_reconciliationrun_compare"),
            *super().get_urls(),
        ]


def _goes_on(run: ReconciliationRun) -> bool:
    return run.finished_at is None and under_way(timezone.now()).filter(pk=run.pk).exists()
