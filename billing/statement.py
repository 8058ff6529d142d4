"""An office's statement: month by month what was owed, billed, credited, paid and written off, by our own books.

The movements are those of the balance that both sides are held against (docs/reconciliation.md), so that a statement
never says anything else than the books do. Months are those of UTC; cents.
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO
from uuid import UUID

from audit.seal import PayloadValue
from billing.exports.formats import CsvFile, XlsxFile
from billing.exports.sheet import Cell
from billing.handed_out import record_handed_out
from billing.models import Invoice, InvoiceStatus
from billing.money import to_text
from billing.payment_state import money_of
from billing.reconciliation.balance import Balance
from billing.reconciliation.movements import ours_of
from offices.models import Office

HEADERS = ("month", "opening", "billed", "credited", "paid", "written off", "closing", "currency")
MOST_OPEN = 100  # unpaid invoices that a statement lists; an office with more is looked at in the list


@dataclass(frozen=True, slots=True)
class StatementMonth:
    """One month, `YYYY-MM`, and what moved in it."""

    month: str
    balance: Balance


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice that is still owed, wholly or in part, in cents."""

    invoice: Invoice
    due_cents: int


def statement_of(office_id: UUID) -> list[StatementMonth]:
    """Return every month in which something moved, the oldest first; nine queries, however many months."""
    moved: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for movement in ours_of(office_id):
        moved[movement.month][movement.column] += movement.cents
    months, opening = [], 0
    for month in sorted(moved):
        balance = Balance(opening=opening, **moved[month])
        months.append(StatementMonth(month, balance))
        opening = balance.closing
    return months


def open_invoices(office_id: UUID) -> list[OpenInvoice]:
    """Return what the closing balance consists of, the oldest first."""
    unpaid = Invoice.objects.filter(office=office_id, status__in=[InvoiceStatus.SENT, InvoiceStatus.FAILED])
    waiting = Invoice.objects.filter(office=office_id, status=InvoiceStatus.DRAFT, closed_at__isnull=False)
    rows = (unpaid | waiting).select_related("cycle").defer("internal_note").order_by("closed_at", "pk")
    invoices = list(rows[:MOST_OPEN])
    due = money_of(invoices)
    return [OpenInvoice(each, due[each.pk].due) for each in invoices if due[each.pk].due]


def write_statement(
    office: Office, file: IO[bytes], *, file_format: CsvFile | XlsxFile, actor: str, now: datetime
) -> int:
    """Write the statement and record who took it in which format, before a byte leaves; return the months."""
    months = statement_of(office.pk)
    lines = itertools.chain([list[Cell](HEADERS)], (_line(each, office.currency) for each in months))
    file_format.write(lines, file)
    payload: dict[str, PayloadValue] = {
        "office": office.reference, "format": file_format.get_extension(), "rows": len(months),
    }  # fmt: skip
    record_handed_out("statement.exported", payload, actor=actor, now=now)
    return len(months)


def _line(each: StatementMonth, currency: str) -> list[Cell]:
    balance = each.balance
    sums = (balance.opening, balance.billed, balance.credited, balance.paid, balance.written_off, balance.closing)
    return [each.month, *(Decimal(to_text(cents)) for cents in sums), currency]
