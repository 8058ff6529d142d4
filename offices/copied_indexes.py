"""Blind indexes that stand in other tables as copies, without the value that they were made from.

A model names them in COPIED_INDEXES: field -> "app.model.field" of the index copied. Such a copy cannot be made anew
after a rotation; it follows the original, in the same transaction, while both digests are at hand.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db.models import Case, Model, QuerySet, Value, When

_AT_ONCE = 200  # digests in one statement, each looked for in every row that holds one of them


def follow(model: type[Model], field: str, moved: Mapping[str, str]) -> int:
    """Write the new digest wherever an old one of this index was copied to; return in how many rows.

    Where the digest is the key of the row and the new one is there already, the older row stays as it is.
    """
    copies = list(_copies_of(f"{model._meta.label_lower}.{field}"))
    changed = 0
    for part in _parts(moved):
        for rows, name in copies:
            changed += _translate(rows, name, part)
    return changed


def _copies_of(index: str) -> "Iterator[tuple[QuerySet[Any, Any], str]]":
    for model in apps.get_models():
        for name, original in getattr(model, "COPIED_INDEXES", {}).items():
            if original == index:
                yield model._base_manager.all(), name


def _parts(moved: Mapping[str, str]) -> Iterator[dict[str, str]]:
    pairs = list(moved.items())
    for start in range(0, len(pairs), _AT_ONCE):
        yield dict(pairs[start : start + _AT_ONCE])


def _translate(rows: "QuerySet[Any, Any]", name: str, moved: dict[str, str]) -> int:
    if rows.model._meta.get_field(name).primary_key:
        there = set(rows.filter(pk__in=moved.values()).values_list("pk", flat=True))
        moved = {old: new for old, new in moved.items() if new not in there}
    if not moved:
        return 0
    cases = [When(**{name: old}, then=Value(new)) for old, new in moved.items()]
    return rows.filter(**{f"{name}__in": list(moved)}).update(**{name: Case(*cases)})
