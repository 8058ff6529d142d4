"""What may be told of an exception: its types and its places in the code; never its text nor any local variable."""

import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

DEEPEST = 25  # places told, the innermost last; more would be the framework's own
LONGEST_CHAIN = 5  # exceptions that led to one another


@dataclass(frozen=True, slots=True)
class ExceptionFacts:
    """The facts of one exception; `text` is set in DEBUG only."""

    incident: uuid.UUID
    types: list[str]
    places: list[str]
    text: str = ""


def facts_of(error: BaseException, *, with_text: bool) -> ExceptionFacts:
    """Return the types of the exception and of what caused it, and where it went through the code.

    An exception that carries an `incident` of ours keeps it, any other one gets a new one.
    """
    known = getattr(error, "incident", None)
    return ExceptionFacts(
        incident=known if isinstance(known, uuid.UUID) else uuid.uuid4(),
        types=[f"{type(each).__module__}.{type(each).__qualname__}" for each in _chain(error)],
        places=_places(error),
        text="".join(traceback.format_exception(error)) if with_text else "",
    )


def clear_text(template: str, arguments: Any) -> str:
    """Return the whole message of a record, for DEBUG; the template alone where the arguments do not fit."""
    try:
        return template % arguments if arguments else template
    except (TypeError, ValueError, KeyError):
        return template


def _chain(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__


def _places(error: BaseException) -> list[str]:
    """File, function and line of each frame; the last two parts of the path are enough to find it."""
    frames = list(traceback.walk_tb(error.__traceback__))[-DEEPEST:]
    return [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
        for frame, line in frames
    ]
