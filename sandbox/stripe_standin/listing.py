"""Cursor pages: Stripe's list object, newest first, over a consistent state."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, resource_missing

# https://docs.stripe.com/api/pagination
DEFAULT_LIMIT, GREATEST_LIMIT = 10, 100
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def page(account: Account, kind: str, params: Json, url: str, *, keep: Callable[[Json], bool] | None = None) -> Json:
    """Return one page of a kind; parameters named after a field filter on it, `keep` adds a condition."""
    limit = _limit(params)
    rows = (row for row in _candidates(account, kind, params) if _fits(row, params) and (keep is None or keep(row)))
    return page_of(rows, params, limit, url)


def page_of(newest_first: Iterable[Json], params: Json, limit: int, url: str) -> Json:
    """Cut one page out of rows that are already filtered and ordered."""
    if "starting_after" in params and "ending_before" in params:
        message = "You may only specify one of these parameters: starting_after, ending_before."
        raise invalid_parameter(message, param="ending_before", code="parameter_unknown")
    if "ending_before" in params:
        before = list(_until(newest_first, params["ending_before"]))
        return _envelope(before[-limit:], url, has_more=len(before) > limit)
    rows = iter(newest_first)
    if "starting_after" in params:
        for _row in _until(rows, params["starting_after"], param="starting_after"):
            pass
    found = list(islice(rows, limit + 1))
    return _envelope(found[:limit], url, has_more=len(found) > limit)


def _limit(params: Json) -> int:
    limit: int = params.get("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= GREATEST_LIMIT:
        code = "parameter_invalid_integer"
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {GREATEST_LIMIT}"
        raise invalid_parameter(f"This value must be {bound}.", param="limit", code=code)
    return limit


def _candidates(account: Account, kind: str, params: Json) -> Iterator[Json]:
    table = account.state.tables[kind]
    for field in params:
        if table.has_index(field):
            return reversed(table.where(field, params[field]))
    return table.newest_first()


# Parameters that name no field of the rows; the callers that accept them judge them through `keep`.
_NO_FIELDS = frozenset(
    {
        "limit",
        "starting_after",
        "ending_before",
        "expand",
        "type",
        "types",
        "delivery_success",
        "payment",
        "pending",
        "ids",
    }
)


def _fits(row: Json, params: Json) -> bool:
    if row.get("deleted"):
        return False
    return all(_matches(row.get(name), wanted) for name, wanted in params.items() if name not in _NO_FIELDS)


def _matches(value: object, wanted: object) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, int) and all(_COMPARE[word](value, bound) for word, bound in wanted.items())
    return value == wanted


def _until(rows: Iterable[Json], cursor: str, param: str = "ending_before") -> Iterator[Json]:
    for row in rows:
        if row["id"] == cursor:
            return
        yield row
    raise resource_missing("object", cursor, param=param, status=400)


def _envelope(rows: list[Json], url: str, *, has_more: bool) -> Json:
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}
