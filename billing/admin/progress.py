"""How far a run has come: a bar and words, from the row that the run keeps up to date, looked at again and again."""

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from billing.models import BillingRun, ReconciliationPhase, ReconciliationRun, RunStatus

Phase = ReconciliationPhase
# A page that looks again by itself keeps its session alive, so it stops long before a session would end by itself.
LOOKS, SECONDS = 100, 3
# Of each phase of a comparison: its words, and the share of the whole that is behind it when it begins, in percent.
_PHASES: Mapping[str, tuple[str, int]] = {
    Phase.INVOICES: ("Listing invoices at Stripe", 0),
    Phase.REFUNDS: ("Listing refunds at Stripe", 45),
    Phase.DISPUTES: ("Listing disputes at Stripe", 47),
    Phase.CREDIT_NOTES: ("Listing credit notes at Stripe", 49),
    Phase.CUSTOMERS: ("Listing customers at Stripe", 51),
    Phase.ITEMS: ("Listing loose items at Stripe", 53),
    Phase.COMPARE: ("Comparing", 55),
    Phase.BOOKS: ("Asking our own books", 95),
    Phase.DONE: ("Complete", 100),
}
# Why a comparison stands still, for whoever watches it.
STANDING_STILL: Mapping[str, str] = {
    "stripe_unreachable": "Stripe cannot be reached; it goes on where it stopped",
    "stripe_refused": "Stripe refused to answer: somebody has to look at the key and its permissions",
    "stripe_reply_unusable": "Stripe's answer could not be read; it goes on where it stopped",
    "time_is_up": "waits for its next turn",
}


def of_comparison(run: ReconciliationRun) -> str:
    """Return the bar of a comparison, and what it is doing or why it stands still."""
    words, behind = _PHASES[run.phase]
    if run.finished_at is not None:
        return words
    done = {Phase.INVOICES: run.invoices_seen, Phase.COMPARE: run.compared}.get(Phase(run.phase))
    if done is not None and run.total:
        done = min(done, run.total)
        words = f"{words}, {done:,} of {run.total:,}"
        behind += round(40 * done / run.total)
    if run.stopped:
        words = f"{words}: {STANDING_STILL.get(run.stopped, 'stands still')}"
    return bar(behind, words)


def of_billing_run(run: BillingRun) -> str:
    """Return the bar of a billing run that is under way, or waits for a worker; of one that ended nothing."""
    if run.status == RunStatus.ASKED:
        return bar(0, "waits for a worker to begin")
    if run.status != RunStatus.RUNNING:
        return ""
    percent = round(100 * run.offices_done / run.offices_due) if run.offices_due else 0
    return bar(percent, f"{run.offices_done:,} of {run.offices_due:,} offices")


def look_again(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    """Let the page of a run that is under way be read again by itself, for some minutes."""
    looks = _looks_left(request)
    if answer.status_code == 200 and looks:
        answer["Refresh"] = f"{SECONDS}; url=?looks={looks - 1}"
    return answer


def _looks_left(request: HttpRequest) -> int:
    asked = request.GET.get("looks", "")
    return min(int(asked), LOOKS) if asked.isdecimal() and len(asked) < 5 else LOOKS


def bar(percent: int, words: str) -> str:
    """Return the browser's own bar, which needs no script and is read aloud, with words beside it."""
    shape = '<progress value="{0}" max="100" aria-label="{1}" style="width: 8rem">{0} %</progress> {1}'
    return format_html(shape, percent, words)
