"""What only billing shows: money, offices, months, and the colours of its statuses."""

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.html import format_html

from audit.columns import Column, Shown, follow, link, shortened, unbroken
from billing import money
from billing.models import EventStatus, InvoiceStatus, MessageStatus, PaymentStatus, RunStatus
from offices.models import OfficeStatus

STRIPE_ID = 12  # characters of one of Stripe's ids that a list shows

INVOICE_COLOURS: dict[str, str] = {
    InvoiceStatus.SENT: "info",
    InvoiceStatus.PAID: "success",
    InvoiceStatus.FAILED: "danger",
    InvoiceStatus.CANCELED: "warning",
}
MESSAGE_COLOURS: dict[str, str] = {
    MessageStatus.LEASED: "info",
    MessageStatus.DONE: "success",
    MessageStatus.PARKED: "warning",
    MessageStatus.DEAD: "danger",
}
EVENT_COLOURS: dict[str, str] = {
    EventStatus.PENDING: "info",
    EventStatus.DONE: "success",
    EventStatus.QUARANTINED: "warning",
    EventStatus.DEAD: "danger",
    EventStatus.DISTRUSTED: "danger",
}
PAYMENT_COLOURS: dict[str, str] = {PaymentStatus.OPEN: "info", PaymentStatus.PAID: "success"}
RUN_COLOURS: dict[str, str] = {
    RunStatus.ASKED: "info",
    RunStatus.RUNNING: "info",
    RunStatus.DONE: "success",
    RunStatus.NEEDS_ATTENTION: "warning",
}
OFFICE_COLOURS: dict[str, str] = {OfficeStatus.ACTIVE: "success", OfficeStatus.TRIALING: "info"}


def amount(name: str, *, currency: str = "currency", title: str = "", none: Shown = None) -> Column:
    """Show cents as decimal text with the row's currency; `none` says what an absent amount means."""

    def show(row: Any) -> Shown:
        cents: int | None = getattr(row, name)
        return none if cents is None else unbroken(money_text(cents, follow(row, currency)))

    return Column(name, show, title=title)


def money_text(cents: int, currency: str) -> str:
    """Return an amount as the console writes it: `1284.00 USD`."""
    return f"{money.to_text(cents)} {currency}"


def office(path: str = "office") -> Column:
    """Link to the office of the row; the row must have been read with its office."""
    return link(f"{path}_id", "offices_office", title="office", caption=f"{path}.reference")


def stripe_id(name: str, *, title: str) -> Column:
    """Show the beginning of one of Stripe's ids, which are long; the page of the row shows the whole of it."""

    def show(row: Any) -> Shown:
        words: str | None = getattr(row, name)
        return shortened(words, STRIPE_ID) if words else None

    return Column(name, show, title=title)


def computed(title: str, show: Callable[[Any], Shown]) -> Column:
    """Show what no single field holds."""
    return Column(title.replace(" ", "_"), show, title=title)


def listed(title: str, page: str, words: str, **filters: str) -> Column:
    """Link to the rows of another list that belong to this one: each filter names an attribute of this row."""

    def show(row: Any) -> Shown:
        query = "&".join(f"{name}={getattr(row, attribute)}" for name, attribute in filters.items())
        return format_html(
            '<a href="{}?{}" class="text-link">{}</a>', reverse(f"admin:{page}_changelist"), query, words
        )

    return Column(title.replace(" ", "_"), show, title=title)
