"""Do one thing to several invoices that were ticked in the list: see what becomes of each, say why, read what came.

The ticked ones travel in the address, as ids. Each is one call of its use case in a transaction of its own, so that
one that is refused keeps no other from being done; done is only what was shown, as long as it still comes out so.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from audit.columns import linked, unbroken
from audit.read_only import RelatedTable
from audit.staff_forms import CONFLICT, StaffForm
from billing.admin.columns import money_text
from billing.admin.selection import shown_totals
from billing.models import Invoice

_CAME = "what came of it"
MOST_AT_ONCE = 50  # one page of the list: within seconds, and few enough that each is read before it is confirmed


@dataclass(frozen=True, slots=True)
class Fate:
    """What will become of one invoice, and the cents that it is about; or `refusal`: why nothing will."""

    invoice: Invoice
    words: str = ""
    cents: int = 0
    refusal: str = ""


def lead_to(request: HttpRequest, address: str, chosen: QuerySet[Any]) -> HttpResponse | None:
    """Go on from the list to the page that shows what becomes of the chosen ones; None back to the list."""
    ids = list(chosen.order_by().values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(ids) > MOST_AT_ONCE:
        messages.warning(request, f"Tick {MOST_AT_ONCE} invoices at most: each is looked at before it is confirmed.")
        return None
    return HttpResponseRedirect(f"{reverse(address)}?{urlencode({'of': ','.join(pk.hex for pk in ids)})}")


class TickedForm(StaffForm):
    """Subclasses tell the fate of each invoice and make the one call for each."""

    template_name = "admin/ticked_form.html"
    amount: ClassVar[str]  # what the added amounts are

    def fates(self, invoices: list[Invoice]) -> Iterable[Fate]:
        """Return what will become of each."""
        raise NotImplementedError

    def more_facts(self, able: list[Fate]) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        """Return what else must be seen before it is confirmed."""
        return ()

    def handle(self, invoice: Invoice, form: Any) -> str:
        """Make the call for one; return in words what came of it, or raise one of `expected`."""
        raise NotImplementedError

    def form_valid(self, form: Any) -> HttpResponse:
        """Do what was shown, one by one, and report; show it again when it would come out otherwise by now."""
        fates = self._fates()
        if form.cleaned_data["seen"] != _digest(fates):
            form.add_error(None, "It would come out otherwise by now: look again, then confirm.")
            form.data = form.data.copy()
            form.data["seen"] = _digest(fates)
            return self.render_to_response(self.get_context_data(form=form, fates=fates), status=CONFLICT)
        tried = [(fate, *self._try(fate, form)) for fate in fates if not fate.refusal]
        done = [_row(fate, words) for fate, was_done, words in tried if was_done]
        left = [_row(fate, words) for fate, was_done, words in tried if not was_done]
        left += [_row(fate, fate.refusal) for fate in fates if fate.refusal]
        context = self.of_page.admin_site.each_context(self.request) | {
            "title": self.title,
            "related_tables": [
                _table("Done", done, _CAME),
                *([_table("Not done, and why", left, _CAME)] if left else []),
            ],
            "totals": shown_totals(Invoice.objects.filter(pk__in=[fate.invoice.pk for fate in fates])),
            "back": self.back(),
        }
        return render(self.request, "admin/ticked_done.html", context)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what becomes of each."""
        fates: list[Fate] = kwargs.pop("fates", None) or self._fates()
        self.initial = {**self.initial, "seen": _digest(fates)}
        able, unable = [f for f in fates if not f.refusal], [f for f in fates if f.refusal]
        tables = [_table("What happens", [_row(fate, fate.words) for fate in able])] if able else []
        if unable:
            tables.append(_table("Not possible, and why", [_row(fate, fate.refusal) for fate in unable]))
        context = super().get_context_data(**kwargs)
        facts = [
            ("Will be done", f"{len(able)} of {len(fates)} ticked invoices"),
            (self.amount, _amounts(in_all(able))),
            *(self.more_facts(able) if able else []),
            *([("Not possible", f"{len(unable)}")] if unable else []),
        ]
        return context | {"related_tables": tables, "possible": bool(able), "facts": facts if fates else []}

    def _fates(self) -> list[Fate]:
        rows = self.of_page.get_queryset(self.request).filter(pk__in=_ids(self.request))
        return list(self.fates(list(rows.order_by("office__reference", "created_at", "pk"))))

    def _try(self, fate: Fate, form: Any) -> tuple[bool, str]:
        try:
            return True, self.handle(fate.invoice, form)
        except self.expected as error:
            return False, f"{error}."


def _ids(request: HttpRequest) -> list[UUID]:
    """Return what was ticked; what is no id is nothing that was."""
    words = request.GET.get("of", "").split(",")[:MOST_AT_ONCE]
    return [UUID(word) for word in words if len(word) == 32 and set(word) <= set("0123456789abcdef")]


def _digest(fates: list[Fate]) -> str:
    seen = "\n".join(
        f"{each.invoice.pk} {each.invoice.version} {each.words} {each.cents} {each.refusal}" for each in fates
    )
    return hashlib.sha256(seen.encode()).hexdigest()[:32]


def _row(fate: Fate, words: str) -> list[str]:
    invoice = fate.invoice
    return [
        linked("billing_invoice", invoice.pk, str(invoice.pk)[:8]),
        linked("offices_office", invoice.office_id, invoice.office.reference),
        words,
        unbroken(money_text(fate.cents, invoice.currency)),
        unbroken(invoice.cycle.key) if invoice.cycle else "-",
        invoice.get_status_display().capitalize(),
    ]


def _table(title: str, rows: list[list[str]], words: str = "what happens") -> RelatedTable:
    return RelatedTable(title, ["invoice", "office", words, "amount", "month", "status"], rows)


def in_all(fates: list[Fate]) -> Counter[str]:
    """Return the cents that these invoices are about, by currency."""
    sums: Counter[str] = Counter()
    for fate in fates:
        sums[fate.invoice.currency] += fate.cents
    return sums


def _amounts(sums: Counter[str]) -> str:
    return ", ".join(money_text(cents, currency) for currency, cents in sorted(sums.items())) or "0.00"
