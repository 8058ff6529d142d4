"""Words that somebody typed at Stripe: judged by whoever asks for it while a reply is parsed, then forgotten.

The judge is passed in, for the gateway knows no patient: it is handed the words and answers with codes. Without one
nothing is looked at. The words stay in the frames of the parser and never enter what it returns.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from billing.stripe_gateway import strict_fields as read
from billing.stripe_gateway.outbound_values import CATALOGUE, StripeId

# The customer whose object it is, and the words; returns what speaks against them, as codes.
Judge = Callable[[StripeId, str], Iterable[str]]

# Longer than any field of Stripe's; nobody judges a novel.
_LONGEST = 5_000
_PLAIN = ("description", "number", "footer", "statement_descriptor")

_judge: ContextVar[Judge | None] = ContextVar("judge_of_words", default=None)


@contextmanager
def judged_by(judge: Judge) -> Iterator[None]:
    """Let `judge` look at foreign words in the replies that are parsed meanwhile, in this thread."""
    token = _judge.set(judge)
    try:
        yield
    finally:
        _judge.reset(token)


def codes_of(fields: read.Fields, customer: StripeId, foreign: Iterable[str]) -> tuple[str, ...]:
    """Return what speaks against the words in these foreign places of an invoice, sorted; none without a judge."""
    judge, places = _judge.get(), set(foreign)
    if judge is None or not places:
        return ()
    codes = {code for words in _words(fields, places) for code in judge(customer, words[:_LONGEST])}
    return tuple(sorted(codes))


def _words(fields: read.Fields, places: set[str]) -> Iterator[str]:
    for name in places.intersection(_PLAIN):
        yield from _texts(fields.get(name))
    if "custom_fields" in places:
        yield from _texts(fields.get("custom_fields"))
    if "metadata" in places:
        yield from _texts(fields.get("metadata"))
    if "lines" in places:
        for line in read.rows(read.mapping(fields.get("lines"), "lines"), "data"):
            shown = read.mapping(line, "line")
            yield from (text for text in _texts(shown.get("description")) if text not in CATALOGUE)
            yield from _texts(shown.get("metadata"))


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, names of metadata too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from (*_texts(name), *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
