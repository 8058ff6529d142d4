"""What must hold after any history at all; and that the comparison with a product sees what it should."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from tests.oracle import commands as c
from tests.oracle.books import Books
from tests.oracle.driver import METHODS, compare, first_difference, same_verdict
from tests.oracle.examples import activate, after, deactivate, office, registered, run, utc
from tests.oracle.histories import Flavour, describe, histories
from tests.oracle.ledger import Ledger, Step, replay

EVERYTHING = Flavour(
    future_runs=True, early_zone_change=True, retroactive_prices=True, to_trial=True, fees_while_not_live=True
)
# Nothing that is taken back later: then a late run must charge what timely ones do.
PUNCTUAL = Flavour(backdated_deactivation=False, past_runs=False)

some = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@some
@given(histories(EVERYTHING))
def test_cycles_neither_gap_nor_overlap_and_one_starts_in_each_month(history: c.History) -> None:
    cycles = replay(history)[-1].books.cycles
    assert len({cycle.key for cycle in cycles}) == len(cycles)
    for cycle in cycles:
        assert cycle.start_at < cycle.end_at
        assert (cycle.end_date.year * 12 + cycle.end_date.month) - (
            cycle.start_date.year * 12 + cycle.start_date.month
        ) == 1
    for before, following in pairwise(cycles):
        assert before.end_at <= following.start_at
        if before.index + 1 == following.index:
            assert (before.end_at, before.end_date) == (following.start_at, following.start_date)


@some
@given(histories(EVERYTHING))
def test_a_patient_is_charged_at_most_once_for_a_cycle_and_never_for_one_that_does_not_exist(
    history: c.History,
) -> None:
    books = replay(history)[-1].books
    charged = Counter((line.patient, line.cycle_key) for line in books.lines if line.patient)
    assert set(charged.values()) <= {1}
    assert {key for _, key in charged} <= {cycle.key for cycle in books.cycles}


@some
@given(histories(EVERYTHING))
def test_closed_invoices_never_change_again_and_lines_never_go(history: c.History) -> None:
    steps = replay(history)
    for before, following in pairwise(steps):
        assert not Counter(before.books.lines) - Counter(following.books.lines)
        done = Counter(each for each in before.books.invoices if each.status != "open-draft")
        assert not done - Counter(following.books.invoices)


@some
@given(histories(EVERYTHING))
def test_every_cent_is_explained_by_a_line_at_the_price_of_the_cycle_it_is_for(history: c.History) -> None:
    books = replay(history)[-1].books
    prices = {cycle.key: 0 if cycle.trial else cycle.unit_price for cycle in books.cycles}
    assert all(line.unit_price == prices[line.cycle_key] for line in books.lines if line.cycle_key)
    for cycle in books.cycles:
        on_it = sum(line.unit_price for line in books.lines if line.on_cycle == cycle.key)
        assert [each.total for each in books.invoices if each.cycle_key == cycle.key] == [on_it]


@some
@given(histories(Flavour(cancellations=False)))
def test_whoever_was_active_in_a_closed_cycle_is_charged_once_for_it_as_soon_as_a_run_closes_one(
    history: c.History,
) -> None:
    steps = replay(history)
    for before, step in pairwise(steps):
        if closed_keys(step.books) - closed_keys(before.books) and always_live(history):
            charged = {(line.patient, line.cycle_key) for line in step.books.lines}
            assert active_in_closed_cycles(step.books) <= charged


def closed_keys(books: Books) -> set[str]:
    return {cycle.key for cycle in books.cycles if cycle.closed}


def always_live(history: c.History) -> bool:
    return history[0].status in {"active", "trialing"}


def active_in_closed_cycles(books: Books) -> set[tuple[str, str]]:
    """Written from rule 1 alone: active at any moment of the cycle."""
    return {
        (period.patient, cycle.key)
        for cycle in books.cycles
        for period in books.periods
        if cycle.closed
        and period.activated_at < cycle.end_at
        and (period.deactivated_at is None or cycle.start_at < period.deactivated_at)
    }


@some
@given(histories(PUNCTUAL))
def test_a_late_run_charges_what_timely_runs_do(history: c.History) -> None:
    """Runs may decide which cycle is the first, so they stay until it is open; then one run at the end against all."""
    opened = next((number for number, step in enumerate(replay(history)) if step.books.cycles), len(history))
    late = tuple(each for number, each in enumerate(history) if number <= opened or not isinstance(each, c.Run))
    last = history[-1].at
    # A canceled office has no invoice left for what was imported after its last close: let it live once more.
    end = (c.ChangeStatus(last + timedelta(seconds=1), "active"), c.Run(last + timedelta(days=80)))
    assert charges((*history, *end)) == charges((*late, *end))


def charges(history: c.History) -> set[tuple[str | None, str | None, int]]:
    return {(line.patient, line.cycle_key, line.unit_price) for line in replay(history)[-1].books.lines}


@some
@given(histories(EVERYTHING))
def test_the_same_run_again_is_unchanged(history: c.History) -> None:
    ledger = Ledger()
    for command in history:
        ledger.apply(command)
        if isinstance(command, c.Run):
            assert ledger.apply(command) == "unchanged"


@some
@given(histories(EVERYTHING))
def test_what_is_refused_or_unchanged_leaves_the_books_alone(history: c.History) -> None:
    steps: list[Step] = replay(history)
    for before, step in pairwise(steps):
        if step.outcome != "changed":
            assert step.books == before.books


@some
@given(histories(EVERYTHING))
def test_the_wall_clock_of_a_history_never_goes_back(history: c.History) -> None:
    instants: list[datetime] = [command.at for command in history]
    assert instants == sorted(instants)
    assert len(describe(history).splitlines()) == len(history)


class Echo:
    """A driver that is the oracle again, with one way to lie."""

    def __init__(self, lie: Callable[[Books], Books] = lambda books: books) -> None:
        self.ledger, self.lie = Ledger(), lie

    def __getattr__(self, name: str) -> Callable[[c.Command], str]:
        if name not in METHODS.values():
            raise AttributeError(name)
        return self.ledger.apply

    def books(self) -> Books:
        return self.lie(self.ledger.books())


A_MONTH = (
    office(),
    *registered("ann"),
    activate("ann", "2025-01-10 12:00"),
    deactivate("ann", "2025-01-20 12:00"),
    run("2025-02-05 12:00"),
)


@some
@given(histories(EVERYTHING))
def test_a_product_that_does_the_same_has_no_difference(history: c.History) -> None:
    assert first_difference(history, Echo()) == ""


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (
            lambda books: replace(books, lines=books.lines[:-1]),
            "line missing in the product (1x): patient_activation ann",
        ),
        (lambda books: replace(books, lines=books.lines * 2), "line only in the product (1x): patient_activation ann"),
        (lambda books: replace(books, cycles=books.cycles[1:]), "cycle 2025-01: missing in the product"),
        (lambda books: replace(books, cycles=books.cycles * 2), "cycle 2025-01: the product has 2 of it"),
        (
            lambda books: replace(books, cycles=tuple(replace(each, unit_price=201) for each in books.cycles)),
            "cycle 2025-01: unit_price should be 200, the product has 201",
        ),
        (
            lambda books: replace(books, invoices=tuple(replace(each, total=1) for each in books.invoices)),
            "invoice only in the product (1x): monthly 2025-01 open-draft total=1",
        ),
        (lambda books: replace(books, periods=()), "period missing in the product (1x): ann"),
    ],
)
def test_a_product_that_errs_is_told_where(lie: Callable[[Books], Books], words: str) -> None:
    assert words in first_difference(A_MONTH, Echo(lie))


def test_two_refusals_with_other_codes_can_be_taken_as_the_same_verdict() -> None:
    assert same_verdict("refused:overlap", "refused:future_time")
    assert not same_verdict("refused:overlap", "unchanged")


def test_periods_are_compared_merged_and_only_when_told() -> None:
    books = after(*A_MONTH)
    (period,) = books.periods
    middle = utc("2025-01-15 12:00")
    halves = (replace(period, deactivated_at=middle), replace(period, activated_at=middle))
    assert compare(books, replace(books, periods=halves)) == []
    assert compare(books, replace(books, periods=None)) == []
