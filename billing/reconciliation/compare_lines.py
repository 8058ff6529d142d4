"""Do two sets of lines say the same, and if not, what differs: how many, how much of each, or the price? Pure."""

from collections.abc import Sequence

from billing.models import DiscrepancyKind
from billing.reconciliation.sides import Line


def what_differs(ours: Sequence[Line], theirs: Sequence[Line]) -> DiscrepancyKind | None:
    """Return LINE_COUNT, LINE_QUANTITY or LINE_PRICE, None when both say the same; the order does not matter.

    A line whose text was changed at Stripe has no type; it is matched by its numbers, for its text is another kind's.
    """
    left, other = _unmatched(list(ours), list(theirs))
    if len(left) != len(other):
        return DiscrepancyKind.LINE_COUNT
    if not left:
        return None
    mispriced = all(any(_is_like(mine, yours) and mine.quantity == yours.quantity for yours in other) for mine in left)
    return DiscrepancyKind.LINE_PRICE if mispriced else DiscrepancyKind.LINE_QUANTITY


def _unmatched(ours: list[Line], theirs: list[Line]) -> tuple[list[Line], list[Line]]:
    other = []
    # Typed lines first, so that one without a type does not take the place of the line that is meant.
    for yours in sorted(theirs, key=lambda line: line.item_type is None):
        mine = next((mine for mine in ours if _is_same(mine, yours)), None)
        if mine is None:
            other.append(yours)
        else:
            ours.remove(mine)
    return ours, other


def _is_same(mine: Line, yours: Line) -> bool:
    numbers = (mine.unit_price_cents, mine.quantity, mine.amount_cents)
    return _is_like(mine, yours) and numbers == (yours.unit_price_cents, yours.quantity, yours.amount_cents)


def _is_like(mine: Line, yours: Line) -> bool:
    return yours.item_type in {mine.item_type, None}
