"""The printed account of the demo: what happened, in tables that read well on a terminal and in a pipe."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q, QuerySet, Sum
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from billing.models import Invoice, InvoiceStatus, InvoiceType, ItemType, LineItem
from billing.money import to_text
from sandbox.demo.findings import Check
from sandbox.demo.privacy import PrivacyFindings

PIPE_WIDTH = 110  # columns, where no terminal says how many there are


@dataclass(frozen=True, slots=True)
class Month:
    """One billing month over all offices."""

    key: str
    invoices: int
    carried_over: int
    activated: int
    adjusted: int
    settled_at_zero: int
    total_cents: int


def months() -> list[Month]:
    """Return the closed billing months, oldest first."""
    closed = Invoice.objects.filter(invoice_type=InvoiceType.MONTHLY, closed_at__isnull=False)
    by_month = (
        closed.order_by("cycle__key")
        .values("cycle__key")
        .annotate(n=Count("pk"), cents=Sum("total_cents"), zero=Count("pk", filter=Q(total_cents=0)))
    )
    of_type = _lines_by_month_and_type()
    return [
        Month(
            key=row["cycle__key"],
            invoices=row["n"],
            carried_over=of_type.get((row["cycle__key"], ItemType.ACTIVE_PATIENT), 0),
            activated=of_type.get((row["cycle__key"], ItemType.PATIENT_ACTIVATION), 0),
            adjusted=of_type.get((row["cycle__key"], ItemType.ADJUSTMENT), 0),
            settled_at_zero=row["zero"],
            total_cents=row["cents"],
        )
        for row in by_month
    ]


def _lines_by_month_and_type() -> dict[tuple[str, str], int]:
    lines = LineItem.objects.filter(invoice__closed_at__isnull=False, invoice__cycle__isnull=False)
    rows = lines.order_by().values_list("invoice__cycle__key", "item_type").annotate(n=Count("pk"))
    return {(key, item_type): number for key, item_type, number in rows}


def invoices_by_status() -> list[tuple[str, int, int, int]]:
    """Return (status, monthly, other, cents) of the closed invoices; what is still open has no total."""
    invoices: QuerySet[Invoice] = Invoice.objects.filter(closed_at__isnull=False)
    is_monthly = Q(invoice_type=InvoiceType.MONTHLY)
    rows = {
        row["status"]: (row["monthly"], row["other"], row["cents"])
        for row in invoices.order_by()
        .values("status")
        .annotate(
            monthly=Count("pk", filter=is_monthly), other=Count("pk", filter=~is_monthly), cents=Sum(F("total_cents"))
        )
    }
    return [(status, *rows.get(status, (0, 0, 0))) for status in InvoiceStatus.values if status != InvoiceStatus.DRAFT]


class Account:
    """Prints the account; without colours when nobody looks, and in ASCII where the output knows no more."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tick, self._cross = ("✓", "✗") if _shows(console, "✓✗") else ("ok", "FAILS")

    def headline(self, text: str) -> None:
        """Print a heading."""
        self._console.print()
        self._console.print(f"[bold]{escape(text)}[/bold]")

    def event(self, at: datetime, text: str) -> None:
        """Print what happened on a day."""
        self._console.print(f"  {at:%Y-%m-%d}  {escape(text)}", highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Print a plain line."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def months(self, rows: Sequence[Month]) -> None:
        """Print the billing months."""
        self.headline("Billing months (an office's month begins on its own day)")
        names = ("month", "invoices", "carried over", "activated", "adjustments", "settled at 0.00", "total USD")
        table = self._table(names)
        for row in rows:
            counts = (row.invoices, row.carried_over, row.activated, row.adjusted, row.settled_at_zero)
            table.add_row(row.key, *(f"{count:,}" for count in counts), to_text(row.total_cents))
        table.add_section()
        sums = [sum(column) for column in zip(_NOTHING, *map(_numbers, rows), strict=True)]
        table.add_row("all", *(f"{count:,}" for count in sums[:-1]), to_text(sums[-1]))
        self._console.print(table)

    def statuses(self, rows: Iterable[tuple[str, int, int, int]], still_open: int) -> None:
        """Print the invoices by status."""
        self.headline("Invoices by status")
        table = self._table(("status", "monthly", "one-off and set-up", "total USD"))
        for status, monthly, other, cents in rows:
            table.add_row(status, f"{monthly:,}", f"{other:,}", to_text(cents))
        table.add_row("draft, still open", f"{still_open:,}", "", "")
        self._console.print(table)

    def stripe(self, counts: Mapping[str, int], facts: Iterable[tuple[str, str]], descriptions: Iterable[str]) -> None:
        """Print what Stripe saw."""
        self.headline("What Stripe saw")
        table = self._table(("request", "number"))
        for label, number in sorted(counts.items()):
            table.add_row(label, f"{number:,}")
        table.add_section()
        table.add_row("all", f"{sum(counts.values()):,}")
        self._console.print(table)
        for name, value in facts:
            self.line(f"  {name}: {value}")
        self.line("  distinct descriptions:")
        for text in descriptions:
            self.line(f"    {text}")

    def privacy(self, findings: PrivacyFindings) -> None:
        """Print what was searched, and for how much; never a value."""
        scan, proof = findings.scan, findings.proof
        self.headline("Patient identifiers in what Stripe saw")
        self.line(f"  searched: {scan.size:,} bytes of {scan.requests:,} requests, plain, URL-encoded, base64, hex")
        self.line(f"  for: {scan.needles:,} spellings of names, dates, contacts, record numbers and references")
        self.line(f"  found: {scan.found.total():,}")
        for kind, number in sorted(scan.found.items()):
            self.line(f"    {kind.value}: {number:,}")
        self.line(f"  planted to prove the search: {proof.planted:,}, found: {proof.found:,}")

    def checks(self, checks: Iterable[Check]) -> None:
        """Print each sentence with its tick or cross."""
        self.headline("What must be true")
        for check in checks:
            mark = f"[green]{self._tick}[/green]" if check.holds else f"[bold red]{self._cross}[/bold red]"
            self._console.print(f"  {mark} {escape(check.sentence)}", highlight=False)

    def _table(self, names: Sequence[str]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 2))
        for position, name in enumerate(names):
            table.add_column(name, justify="right" if position else "left", no_wrap=True)
        return table


_NOTHING = (0,) * 6


def _numbers(row: Month) -> tuple[int, ...]:
    return (row.invoices, row.carried_over, row.activated, row.adjusted, row.settled_at_zero, row.total_cents)


def _shows(console: Console, text: str) -> bool:
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
