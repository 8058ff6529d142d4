"""Columns of the console: what a row shows, the same in a list, on a detail page and in a table of related rows.

They lie in the lowest app because the pages of every app above are made of them.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.utils import quote
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

SHORT_ID = 8  # as many digits of a UUID as tell rows of a page apart

Shown = str | None


class Column:
    """One value of a row, as text. Django's admin takes it wherever it takes a callable."""

    def __init__(self, name: str, show: Callable[[Any], Shown], *, title: str = "", order: str | None = None) -> None:
        self.__name__ = name
        self.short_description = title or name.replace("_", " ").removesuffix(" cents")
        self.admin_order_field = order
        self._show = show

    def __call__(self, row: Any) -> Shown:
        """Return what the row shows here, or None when it has nothing to show."""
        return self._show(row)


def text(name: str, *, title: str = "", order: str | None = None) -> Column:
    """Show a field as it is; a choice is shown by its label."""

    def show(row: Any) -> Shown:
        labelled = getattr(row, f"get_{name}_display", None)
        value = labelled().capitalize() if labelled else getattr(row, name)
        return None if value is None or value == "" else str(value)

    return Column(name, show, title=title, order=order)


def code(name: str, *, title: str = "") -> Column:
    """Show text without spaces, such as JSON: it may break anywhere."""
    plain = text(name)

    def show(row: Any) -> Shown:
        words = plain(row)
        return (
            format_html('<span style="display: block; min-width: 14rem; word-break: break-all">{}</span>', words)
            if words
            else None
        )

    return Column(name, show, title=title)


def when(name: str, *, title: str = "", order: str | None = None) -> Column:
    """Show an instant to the minute, in UTC."""

    def show(row: Any) -> Shown:
        at: datetime | None = getattr(row, name)
        return unbroken(f"{at:%Y-%m-%d %H:%M}") if at else None

    return Column(name, show, title=title or name.removesuffix("_at").replace("_", " "), order=order)


def day(name: str, *, title: str = "", order: str | None = None) -> Column:
    """Show a calendar day, or the day (in UTC) of an instant."""

    def show(row: Any) -> Shown:
        value: date | None = getattr(row, name)
        return unbroken(f"{value:%Y-%m-%d}") if value else None

    return Column(name, show, title=title or name.removesuffix("_at").replace("_", " "), order=order)


def label(name: str, colours: dict[str, str], *, title: str = "") -> Column:
    """Show a choice as a coloured label; colours are unfold's: info, success, warning, danger."""
    plain = text(name)

    def show(row: Any) -> Shown:
        words = plain(row)
        return None if words is None else coloured(words, colours.get(getattr(row, name), ""))

    return Column(name, show, title=title)


def yes(name: str, *, title: str = "", colour: str = "success") -> Column:
    """Show a fact as a label when it is so, and nothing when it is not."""

    def show(row: Any) -> Shown:
        return coloured("yes", colour) if getattr(row, name) else None

    return Column(name, show, title=title)


def short_id(name: str = "pk", *, title: str = "id", order: str | None = None) -> Column:
    """Show the first digits of a UUID; the whole of it on hover."""

    def show(row: Any) -> Shown:
        return _short(getattr(row, name))

    return Column(name, show, title=title, order=order)


def link(name: str, page: str, *, title: str = "", caption: str = "") -> Column:
    """Link to the page (`app_model`) of the row whose key the attribute `name` holds, without loading that row.

    `caption` is a dotted path to what the link says; without one it says the key.
    """

    def show(row: Any) -> Shown:
        key = getattr(row, name)
        return None if key is None else linked(page, key, follow(row, caption) if caption else _short(key))

    return Column(name, show, title=title or name.removesuffix("_id").replace("_", " "))


def linked(page: str, key: Any, words: str) -> str:
    """Return a link to the page of one row."""
    address = reverse(f"admin:{page}_change", args=[quote(key)])
    return format_html('<a href="{}" class="text-link whitespace-nowrap">{}</a>', address, words)


def unbroken(words: str) -> str:
    """Return words that stay on one line."""
    return format_html('<span class="whitespace-nowrap">{}</span>', words)


def shortened(words: str, length: int) -> str:
    """Return the beginning of an id; the whole of it on hover."""
    return format_html('<span class="whitespace-nowrap" title="{}">{}…</span>', words, words[:length])


def coloured(words: str, colour: str) -> str:
    """Return words as unfold's label."""
    return render_to_string("unfold/helpers/label.html", {"text": words, "variant": colour})


def _short(key: object) -> str:
    words = str(key)
    if not isinstance(key, UUID):
        return words
    return format_html('<span class="font-mono" title="{}">{}</span>', words, words[:SHORT_ID])


def follow(row: Any, path: str) -> str:
    """Return the text at the end of a dotted path of attributes."""
    for step in path.split("."):
        row = getattr(row, step)
    return str(row)
