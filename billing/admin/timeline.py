"""The timeline of an invoice as a table: when, what, how much, by whom, and a link to the row that tells more."""

import json

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from audit.columns import unbroken
from audit.read_only import RelatedTable
from billing.admin.columns import money_text
from billing.invoice_story import Moment, Part, story_of
from billing.models import Invoice

_HEADERS = ["at (UTC)", "what happened", "amount", "by", "more"]
_SHOWN = 40  # characters of a value of an entry; the entry's own page has all
# What another column tells already, or nobody reads in passing.
_LEFT_OUT = {"invoice", "currency", "total_cents", "since", "plan", "index", "zone", "start_at", "end_at"}


def timeline(request: HttpRequest, invoice: Invoice) -> RelatedTable:
    """Return the moments that this person may see, the latest first."""
    parts = [part for part in Part if _may_see(request, part)]
    story = story_of(invoice, parts, now=timezone.now())
    rows = [_row(moment, invoice) for moment in reversed(story.moments)]
    title = "Timeline, the latest first" + (" (the earliest are left out: see the lists)" if story.cut else "")
    return RelatedTable(title, _HEADERS, rows)


def _may_see(request: HttpRequest, part: Part) -> bool:
    app, _, model = part.value.partition(".")
    return request.user.has_perm(f"{app}.view_{model}")


def _row(moment: Moment, invoice: Invoice) -> list[str]:
    return [
        unbroken(f"{moment.at:%Y-%m-%d %H:%M}"),
        _words(moment),
        unbroken(money_text(moment.cents, invoice.currency)) if moment.cents is not None else "-",
        moment.who or "-",
        _link(moment),
    ]


def _words(moment: Moment) -> str:
    what = moment.what if moment.part is Part.AUDIT else moment.what.capitalize()
    detail = _entry(moment.detail) if moment.part is Part.AUDIT else moment.detail.replace("_", " ")
    return format_html("{}<span class='text-subtle'>{}</span>", what, f": {detail}" if detail else "")


def _entry(payload: str) -> str:
    """Return the values of an entry of the trail that no other column tells."""
    told = {name: value for name, value in json.loads(payload).items() if name not in _LEFT_OUT and value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {str(value)[:_SHOWN]}" for name, value in told.items())


def _link(moment: Moment) -> str:
    if moment.part is Part.INVOICE:
        return "-"
    app, _, model = moment.part.value.partition(".")
    address = reverse(f"admin:{app}_{model}_change", args=[quote(moment.key)])
    return format_html('<a href="{}" class="text-link whitespace-nowrap">{}</a>', address, _NAMES[moment.part])


_NAMES = {
    Part.PAYMENT: "Payment",
    Part.REFUND: "Refund",
    Part.DISPUTE: "Dispute",
    Part.CREDIT_NOTE: "Credit note",
    Part.CORRECTION: "Correction",
    Part.DISCREPANCY: "Discrepancy",
    Part.MESSAGE: "Message",
    Part.REQUEST: "Request",
    Part.EVENT: "Event",
    Part.AUDIT: "Audit entry",
}
