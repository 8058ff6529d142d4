"""The oracle against examples worked out by hand from the written rules (the number of the rule stands beside each)."""

from datetime import date

from tests.oracle.examples import (
    activate,
    after,
    deactivate,
    imported,
    invoices,
    keys,
    office,
    outcomes,
    registered,
    run,
    said,
    utc,
)

# Calendar: rule 6, decision 9


def test_an_anchor_after_the_first_moment_gives_a_negative_index() -> None:
    books = after(office(anchor=date(2025, 3, 31)), run("2025-01-15 12:00"))
    (cycle,) = books.cycles
    assert (cycle.index, cycle.key, cycle.start_date, cycle.end_date) == (
        -3,
        "2024-12",
        date(2024, 12, 31),
        date(2025, 1, 31),
    )
    assert (cycle.start_at, cycle.end_at) == (utc("2024-12-30 18:30"), utc("2025-01-30 18:30"))


# Activation and carry-over: rules 1 to 4, decisions 3 and 4


def test_an_activation_on_the_last_second_of_a_cycle_pays_the_whole_price() -> None:
    books = after(office(), *registered("ann"), activate("ann", "2025-01-31 18:29:59"))
    assert said(books) == [("2025-01", "patient_activation", "ann", "2025-01", 200)]
    assert invoices(books) == [("2025-01", "open-draft", 200)]


def test_a_day_of_activity_costs_what_a_month_does() -> None:
    books = after(
        office(),
        *registered("ann", "bob"),
        activate("ann", "2025-01-02 12:00"),
        activate("bob", "2025-01-20 12:00"),
        deactivate("bob", "2025-01-21 12:00"),
        run("2025-02-01 12:00"),
    )
    assert invoices(books) == [("2025-01", "closed", 400), ("2025-02", "open-draft", 200)]


def test_activating_an_active_patient_changes_nothing_and_says_so() -> None:
    history = [office(), *registered("ann"), activate("ann", "2025-01-02 12:00"), activate("ann", "2025-01-03 12:00")]
    assert outcomes(*history)[-1] == "unchanged"
    assert after(*history) == after(*history[:-1])


def test_reactivation_in_a_cycle_already_billed_adds_nothing() -> None:
    history = [
        office(),
        *registered("ann"),
        activate("ann", "2025-01-02 12:00"),
        deactivate("ann", "2025-01-05 12:00"),
        activate("ann", "2025-01-09 12:00"),
    ]
    assert outcomes(*history)[-1] == "changed"
    assert said(after(*history)) == [("2025-01", "patient_activation", "ann", "2025-01", 200)]


def test_who_is_still_active_is_carried_over_and_who_is_not_is_not() -> None:
    books = after(
        office(),
        *registered("ann", "bob"),
        activate("ann", "2025-01-02 12:00"),
        activate("bob", "2025-01-02 12:00"),
        deactivate("bob", "2025-01-31 18:30"),
        run("2025-01-31 18:30"),
    )
    assert said(books)[2:] == [("2025-02", "active_patient", "ann", "2025-02", 200)]


def test_a_second_run_changes_nothing_and_an_earlier_one_neither() -> None:
    history = [office(), *registered("ann"), activate("ann", "2025-01-02 12:00"), run("2025-02-02 12:00")]
    assert outcomes(*history, run("2025-02-02 12:01"))[-1] == "unchanged"
    assert outcomes(*history, run("2025-02-02 12:01", as_of="2025-01-15 12:00"))[-1] == "unchanged"


def test_activation_at_the_very_start_is_an_activation_and_a_moment_before_it_is_carried_over() -> None:
    start = "2025-01-31 18:30"
    books = after(
        office(),
        *registered("ann", "bob"),
        activate("ann", "2025-01-31 18:29:59"),
        activate("bob", start),
        run("2025-02-02 12:00"),
    )
    assert said(books)[1:] == [
        ("2025-02", "patient_activation", "bob", "2025-02", 200),
        ("2025-02", "active_patient", "ann", "2025-02", 200),
    ]


def test_periods_that_touch_at_the_start_are_one_that_lies_across_it() -> None:
    start = "2025-01-31 18:30"
    books = after(
        office(),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00"),
        deactivate("ann", start),
        activate("ann", "2025-02-03 12:00", since=start),
    )
    assert said(books)[1:] == [("2025-02", "active_patient", "ann", "2025-02", 200)]


def test_activation_after_a_boundary_opens_the_new_cycle_without_carrying_over_until_the_run() -> None:
    history = [
        office(),
        *registered("ann", "bob"),
        activate("ann", "2025-01-10 12:00"),
        activate("bob", "2025-02-01 12:00"),
    ]
    assert said(after(*history))[1:] == [("2025-02", "patient_activation", "bob", "2025-02", 200)]
    assert [cycle.closed for cycle in after(*history).cycles] == [False, False]
    books = after(*history, run("2025-02-01 13:00"))
    assert said(books)[2:] == [("2025-02", "active_patient", "ann", "2025-02", 200)]
    assert [cycle.closed for cycle in books.cycles] == [True, False]


# Late facts: rule 5, decisions 5 and 6


def test_a_backdated_activation_becomes_one_adjustment_for_each_closed_cycle_since_the_first() -> None:
    books = after(
        office(),
        *registered("ann"),
        run("2025-01-15 12:00"),
        run("2025-03-05 12:00"),
        activate("ann", "2025-03-06 12:00", since="2024-11-20 12:00"),
    )
    assert said(books) == [
        ("2025-03", "adjustment", "ann", "2025-01", 200),
        ("2025-03", "adjustment", "ann", "2025-02", 200),
        ("2025-03", "active_patient", "ann", "2025-03", 200),
    ]
    assert keys(books) == ["2025-01", "2025-02", "2025-03"]


def test_a_backdated_activation_in_cycles_still_open_bills_each_with_its_own_type() -> None:
    books = after(
        office(),
        *registered("ann", "bob"),
        activate("bob", "2025-01-15 12:00"),
        activate("ann", "2025-02-06 12:00", since="2025-01-20 12:00"),
    )
    assert said(books)[1:] == [
        ("2025-01", "patient_activation", "ann", "2025-01", 200),
        ("2025-02", "active_patient", "ann", "2025-02", 200),
    ]


def test_a_backdated_deactivation_keeps_the_lines() -> None:
    books = after(
        office(),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00"),
        run("2025-02-05 12:00"),
        deactivate("ann", "2025-02-06 12:00", since="2025-01-20 12:00"),
        run("2025-03-05 12:00"),
    )
    assert [(line.cycle_key, line.unit_price) for line in books.lines] == [("2025-01", 200), ("2025-02", 200)]


def test_an_import_for_a_closed_cycle_is_an_adjustment_on_the_next_invoice_to_close() -> None:
    history = [
        office(),
        run("2025-01-15 12:00"),
        run("2025-02-05 12:00"),
        imported("ann", "2025-02-06 12:00", "2025-01-10 12:00", "2025-02-03 12:00"),
        run("2025-02-07 12:00"),
    ]
    assert outcomes(*history)[-1] == "unchanged"
    assert said(after(*history)) == []
    assert said(after(*history, run("2025-03-01 12:00"))) == [
        ("2025-02", "active_patient", "ann", "2025-02", 200),
        ("2025-02", "adjustment", "ann", "2025-01", 200),
    ]


def test_an_activation_charges_what_it_reaches_and_nothing_that_was_imported() -> None:
    books = after(
        office(),
        run("2025-01-15 12:00"),
        run("2025-02-05 12:00"),
        imported("ann", "2025-02-06 12:00", "2025-01-10 12:00", "2025-01-20 12:00"),
        activate("ann", "2025-02-07 12:00"),
    )
    assert said(books) == [("2025-02", "patient_activation", "ann", "2025-02", 200)]


def test_missed_cycles_are_caught_up_in_order_with_what_was_active_in_each() -> None:
    books = after(
        office(),
        imported("ann", "2025-01-02 12:00", "2024-10-01 12:00"),
        imported("bob", "2025-01-02 12:01", "2024-12-20 12:00", "2024-12-21 12:00"),
        run("2025-01-02 13:00"),
        deactivate("ann", "2025-02-10 12:00"),
        imported("cid", "2025-04-02 12:00", "2025-02-20 12:00"),
        run("2025-04-02 13:00"),
    )
    assert said(books) == [
        ("2025-01", "active_patient", "ann", "2025-01", 200),
        ("2025-02", "active_patient", "ann", "2025-02", 200),
        ("2025-02", "patient_activation", "cid", "2025-02", 200),
        ("2025-03", "active_patient", "cid", "2025-03", 200),
        ("2025-04", "active_patient", "cid", "2025-04", 200),
    ]
    assert [cycle.closed for cycle in books.cycles] == [True, True, True, False]


def test_a_cycle_in_which_nobody_was_active_is_settled_at_nothing() -> None:
    books = after(office(), run("2025-01-15 12:00"), run("2025-02-05 12:00"))
    assert invoices(books) == [("2025-01", "settled-zero", 0), ("2025-02", "open-draft", 0)]


def test_what_cannot_be_is_refused() -> None:
    history = [
        office(),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00", since="2025-01-11 12:00"),
        activate("eve", "2025-01-10 12:00"),
        activate("ann", "2025-01-10 12:00"),
        deactivate("ann", "2025-01-10 12:00"),
        deactivate("ann", "2025-01-12 12:00", since="2025-01-13 12:00"),
        deactivate("ann", "2025-01-12 12:00"),
        deactivate("ann", "2025-01-12 13:00"),
        activate("ann", "2025-01-13 12:00", since="2025-01-11 12:00"),
    ]
    assert outcomes(*history)[2:] == [
        "refused:future_time",
        "refused:unknown_patient",
        "changed",
        "refused:empty_period",
        "refused:future_time",
        "changed",
        "unchanged",
        "refused:overlap",
    ]


def test_an_import_takes_touching_periods_and_refuses_overlapping_empty_and_future_ones() -> None:
    history = [
        office(),
        imported("ann", "2025-01-12 12:00", "2025-01-10 12:00", "2025-01-12 12:00"),
        imported("ann", "2025-01-13 12:00", "2025-01-11 12:00", "2025-01-14 12:00"),
        imported("ann", "2025-01-13 12:00", "2025-01-11 12:00", "2025-01-12 13:00"),
        imported("ann", "2025-01-13 12:00", "2025-01-13 11:00", "2025-01-13 11:00"),
        imported("ann", "2025-01-13 12:00", "2025-01-12 12:00", "2025-01-12 13:00"),
    ]
    assert outcomes(*history)[1:] == [
        "changed",
        "refused:future_time",
        "refused:overlap",
        "refused:empty_period",
        "changed",
    ]


def test_an_import_may_repeat_a_period_and_fill_in_its_end() -> None:
    first = imported("ann", "2025-01-13 12:00", "2025-01-11 12:00")
    ended = imported("ann", "2025-01-14 12:00", "2025-01-11 12:00", "2025-01-12 12:00")
    assert outcomes(office(), first, first, ended, ended)[1:] == ["changed", "unchanged", "changed", "unchanged"]
