"""The chart of the first page: bars of what was billed and of what came in of it, drawn by the server.

An SVG in the page needs no script, and says its numbers to who cannot see it.
"""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.read_only import list_of
from billing.admin.columns import money_text
from billing.money_overview import MonthFigures

# Of the drawing's own units: as many as it has pixels on a desk, so that words keep their size.
WIDTH, HEIGHT = 900, 260
FLOOR, CEILING = 216, 24  # where bars stand, and where the highest one ends
GAP = 0.2  # of a month's width, on either side of its two bars


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it stands, and whether it is what was billed or what was collected."""

    x: float
    y: float
    width: float
    height: float
    billed: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The two bars of a month, with what they say and where they lead."""

    bars: tuple[Bar, Bar]
    middle: float
    month: str
    year: str
    words: str
    address: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All months, oldest first, in one currency; `highest` is what the highest bar stands for."""

    groups: Sequence[Group]
    currency: str
    highest: str
    others: Sequence[str]  # currencies that are not drawn

    width: int = WIDTH
    height: int = HEIGHT
    floor: int = FLOOR
    ceiling: int = CEILING


def chart_of(months: Sequence[str], figures: Mapping[str, MonthFigures]) -> Chart | None:
    """Draw the months in the currency that most was billed in; None when nothing was billed in any of them."""
    sums: dict[str, int] = {}
    for key in months:
        for currency, cents in figures[key].billed.items():
            sums[currency] = sums.get(currency, 0) + cents
    if not any(sums.values()):
        return None
    currency = max(sums, key=lambda each: sums[each])
    highest = max(max(_pair(figures[key], currency)) for key in months)
    step = WIDTH / len(months)
    groups = [_group(number * step, step, key, figures[key], currency, highest) for number, key in enumerate(months)]
    return Chart(groups, currency, money_text(highest, currency), sorted(sums.keys() - {currency}))


def _pair(of_month: MonthFigures, currency: str) -> tuple[int, int]:
    return of_month.billed.get(currency, 0), of_month.collected.get(currency, 0)


def _group(left: float, step: float, key: str, of_month: MonthFigures, currency: str, highest: int) -> Group:
    billed, collected = _pair(of_month, currency)
    width = step * (1 - 2 * GAP) / 2
    first = left + step * GAP
    share = f" ({collected * 100 / billed:.0f} %)" if billed else ""
    return Group(
        bars=(_bar(first, width, billed, highest, billed=True), _bar(first + width, width, collected, highest)),
        middle=round(left + step / 2, 1),
        month=calendar.month_abbr[int(key[5:])],
        year=key[:4] if key.endswith("-01") or left == 0 else "",
        words=f"{key}: billed {money_text(billed, currency)}, collected {money_text(collected, currency)}{share}",
        address=list_of("billing_invoice", cycle=key),
    )


def _bar(x: float, width: float, cents: int, highest: int, *, billed: bool = False) -> Bar:
    height = (FLOOR - CEILING) * max(cents, 0) / highest
    return Bar(round(x, 1), round(FLOOR - height, 1), round(width, 1), round(height, 1), billed)
