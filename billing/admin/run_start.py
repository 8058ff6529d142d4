"""Start a billing run from the console: see which offices are due and what comes of it, say why, watch it."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.columns import linked
from audit.read_only import list_of, may_view
from audit.staff_forms import CONFLICT, StaffForm, staff_actor
from billing.admin.columns import money_text
from billing.admin.due import NOW
from billing.admin.previewed import PreviewedForm, SeenForm, digest
from billing.asked_run import RunWaits, start_run
from billing.billing_run import run_due
from billing.models import BillingRun
from billing.office_run import COUNTS
from billing.parking import LONGEST_REASON, ReasonMissing
from billing.run_chunk import due_offices

# A thousand offices are tried in some seconds, well below what a request may take; for more there is the command.
MOST_TRIED = 1_000
NAMED, TOLD = 20, 20  # offices and problems that the page names
PERMISSION = "billing.start_run"


class RunForm(SeenForm):
    """Why the run does not wait for the full hour."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Stays on the run; write no patient's name.",
    )


class StartRun(PreviewedForm):
    """Close and open every cycle that is due, now."""

    permission = PERMISSION
    form_class = RunForm
    title = "Start a billing run"
    lead = (
        "A run comes by every hour by itself. It closes every month that has ended, queues its invoices for Stripe and "
        "opens the next one; what is done already it leaves alone, and so would a second run."
    )
    submit = "Start the run"
    expected: ClassVar = (RunWaits, ReasonMissing)

    def facts(self) -> list[tuple[str, str]]:
        """Name the offices that are due."""
        due = due_offices(timezone.now()).order_by("reference")
        number = due.count()
        facts = [("Offices that are due", f"{number:,}")]
        if number:
            first = due.values_list("pk", "reference")[:NAMED]
            names = format_html_join(", ", "{}", ((linked("offices_office", pk, name),) for pk, name in first))
            more = format_html(', … <a href="{}" class="text-link">see all</a>', list_of("offices_office", due=NOW))
            facts.append(("They are", names + more if number > NAMED else names))
        return facts

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - the reason changes nothing
        """Tell what the same code does, done and rolled back, as `run_billing_cycle --dry-run` does."""
        now = timezone.now()
        if due_offices(now).count() > MOST_TRIED:
            yield (
                "Not tried here",
                f"more than {MOST_TRIED:,} offices; `manage.py run_billing_cycle --dry-run` tells all",
            )
            return
        would = run_due(as_of=now, actor=staff_actor(self.request), now=now, dry_run=True)
        yield from ((name.replace("_", " ").capitalize(), f"{would.tally.counts[name]:,}") for name in COUNTS)
        for currency, cents in sorted(would.tally.billed.items()):
            yield "Will be billed", money_text(cents, currency)
        for problem in would.problems[:TOLD]:
            yield "In the way", f"{problem.office} {problem.code.replace('_', ' ')}: {problem.message}".strip()
        if len(would.problems) > TOLD:
            yield "In the way", f"{len(would.problems) - TOLD:,} more"

    def form_valid(self, form: Any) -> HttpResponse:
        """Remember which offices were due: while they are the same, accounts may be activated as on any day."""
        due = sorted(str(pk) for pk in due_offices(timezone.now()).values_list("pk", flat=True))
        seen = digest([("due", pk) for pk in due])
        if due and form.cleaned_data["seen"] == seen:
            return StaffForm.form_valid(self, form)
        if not due:
            form.add_error(None, "Nothing is due: all of it is done already.")
            return self.render_to_response(self.get_context_data(form=form), status=CONFLICT)
        return self.show(form, list(self.consequences(form)), seen)

    def act(self, form: Any) -> str:
        """Start it, and go on to watch it."""
        actor = staff_actor(self.request)
        run = start_run(reason=form.cleaned_data["reason"], actor=actor, now=timezone.now())
        seeing = may_view(self.request, BillingRun)
        return reverse("admin:billing_billingrun_change", args=[run.pk]) if seeing else self.back()
