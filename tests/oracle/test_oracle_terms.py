"""Hand-worked examples of terms: trial, prices, cancellation, zones, and charges outside the month."""

from datetime import date

from tests.oracle import commands as c
from tests.oracle.billing import Readings
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
    status,
    utc,
)
from tests.oracle.ledger import replay

# Trial: rule 8, decision 2


def test_a_trial_charges_nothing_and_the_next_cycle_the_price() -> None:
    books = after(
        office(status="trialing"),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00"),
        status("2025-01-20 12:00", "active"),
        activate("ann", "2025-01-21 12:00"),
        run("2025-02-05 12:00"),
    )
    assert said(books) == [
        ("2025-01", "patient_activation", "ann", "2025-01", 0),
        ("2025-02", "active_patient", "ann", "2025-02", 200),
    ]
    assert invoices(books) == [("2025-01", "settled-zero", 0), ("2025-02", "open-draft", 200)]
    assert [cycle.trial for cycle in books.cycles] == [True, False]


def test_a_late_activation_for_a_trial_cycle_is_an_adjustment_of_nothing() -> None:
    books = after(
        office(status="trialing"),
        *registered("ann"),
        run("2025-01-10 12:00"),
        status("2025-01-20 12:00", "active"),
        run("2025-02-05 12:00"),
        activate("ann", "2025-02-06 12:00", since="2025-01-12 12:00"),
    )
    assert said(books) == [
        ("2025-02", "adjustment", "ann", "2025-01", 0),
        ("2025-02", "active_patient", "ann", "2025-02", 200),
    ]


def test_status_changed_at_the_boundary_itself_holds_for_the_cycle_and_a_second_later_does_not() -> None:
    for moment, trial in (("2025-01-31 18:30", False), ("2025-01-31 18:30:01", True)):
        books = after(
            office(status="trialing"), run("2025-01-10 12:00"), status(moment, "active"), run("2025-02-05 12:00")
        )
        assert books.cycles[1].trial is trial


# Prices: rule 10, decision 2


def test_a_price_version_holds_from_the_first_cycle_that_starts_on_its_date_or_later() -> None:
    books = after(
        office(),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00"),
        c.SetPrice(utc("2025-01-11 12:00"), date(2025, 2, 2), 300),
        c.SetPrice(utc("2025-01-11 12:01"), date(2025, 4, 1), 400),
        run("2025-04-05 12:00"),
    )
    assert [(line.cycle_key, line.unit_price) for line in books.lines] == [
        ("2025-01", 200),
        ("2025-02", 200),
        ("2025-03", 300),
        ("2025-04", 400),
    ]


def test_an_override_beats_the_plan_until_its_end_date_exclusive() -> None:
    books = after(
        office(),
        run("2025-01-10 12:00"),
        c.SetPrice(utc("2025-01-11 12:00"), date(2025, 2, 1), 300),
        c.SetOverride(utc("2025-01-11 12:00"), date(2025, 2, 1), date(2025, 3, 1), 50),
        run("2025-03-05 12:00"),
    )
    assert [cycle.unit_price for cycle in books.cycles] == [200, 50, 300]


def test_an_adjustment_costs_what_its_own_cycle_did() -> None:
    books = after(
        office(),
        *registered("ann"),
        run("2025-01-10 12:00"),
        c.SetPrice(utc("2025-01-11 12:00"), date(2025, 2, 1), 300),
        run("2025-02-05 12:00"),
        activate("ann", "2025-02-06 12:00", since="2025-01-20 12:00"),
    )
    assert said(books) == [
        ("2025-02", "adjustment", "ann", "2025-01", 200),
        ("2025-02", "active_patient", "ann", "2025-02", 300),
    ]


def test_the_terms_of_an_open_cycle_are_frozen() -> None:
    books = after(
        office(),
        *registered("ann"),
        run("2025-01-10 12:00"),
        c.SetPrice(utc("2025-01-11 12:00"), date(2024, 12, 1), 300),
        activate("ann", "2025-01-12 12:00"),
    )
    assert [line.unit_price for line in books.lines] == [200]


# Cancellation: rule 8, decisions 6 and 7


def canceled_from_15_january_to_10_march() -> list[c.Command]:
    return [
        office(),
        *registered("ann", "bob"),
        activate("ann", "2025-01-10 12:00"),
        activate("bob", "2025-01-10 12:00"),
        status("2025-01-15 12:00", "canceled"),
        deactivate("bob", "2025-03-05 12:00"),
        status("2025-03-10 12:00", "active"),
    ]


def test_a_canceled_office_keeps_its_draft_which_closes_and_no_cycle_follows() -> None:
    history = canceled_from_15_january_to_10_march()
    books = after(*history[:-1], run("2025-03-06 12:00"))
    assert invoices(books) == [("2025-01", "closed", 400)]


def test_activation_at_a_canceled_office_is_refused_and_deactivation_is_not() -> None:
    history = canceled_from_15_january_to_10_march()
    assert outcomes(*history[:-2], activate("ann", "2025-02-10 12:00"))[-1] == "refused:office_not_live"
    assert outcomes(*history)[-2] == "changed"


def test_billing_resumes_with_the_cycle_of_the_reactivation_and_nothing_between_is_caught_up() -> None:
    books = after(*canceled_from_15_january_to_10_march(), run("2025-03-12 12:00"))
    assert keys(books) == ["2025-01", "2025-03"]
    assert said(books)[2:] == [("2025-03", "active_patient", "ann", "2025-03", 200)]


def test_the_other_reading_charges_who_was_active_in_the_dead_part_of_a_living_cycle() -> None:
    history = [*canceled_from_15_january_to_10_march(), run("2025-03-12 12:00")]
    books = replay(history, Readings(usage_only_while_live=False))[-1].books
    assert said(books)[3:] == [("2025-03", "active_patient", "bob", "2025-03", 200)]


def test_an_import_for_the_time_of_a_cancellation_is_never_charged() -> None:
    books = after(
        *canceled_from_15_january_to_10_march(),
        imported("cid", "2025-03-11 12:00", "2025-01-20 12:00", "2025-02-20 12:00"),
        imported("dan", "2025-03-11 12:00", "2025-01-14 12:00", "2025-02-20 12:00"),
        run("2025-04-12 12:00"),
    )
    late = [(line.patient, line.item_type, line.cycle_key) for line in books.lines if line.patient in {"cid", "dan"}]
    assert late == [("dan", "patient_activation", "2025-01")]


def test_a_late_run_finds_the_cycles_before_a_cancellation() -> None:
    books = after(
        office(),
        *registered("ann"),
        activate("ann", "2025-01-10 12:00"),
        status("2025-02-15 12:00", "inactive"),
        run("2025-05-12 12:00"),
    )
    assert invoices(books) == [("2025-01", "closed", 200), ("2025-02", "closed", 200)]


def test_the_run_of_an_office_that_never_lived_opens_nothing() -> None:
    history = [office(status="inactive"), *registered("ann"), run("2025-01-10 12:00")]
    assert outcomes(*history)[-1] == "unchanged"
    assert keys(after(*history)) == []


def test_a_cancellation_at_the_boundary_itself_leaves_the_next_cycle_out_and_a_run_there_closes_the_last() -> None:
    boundary = "2025-01-31 18:30"
    books = after(office(), run("2025-01-10 12:00"), status(boundary, "canceled"), run(boundary))
    assert [(cycle.key, cycle.closed) for cycle in books.cycles] == [("2025-01", True)]


def test_a_cycle_resumed_midway_has_the_terms_of_its_first_live_moment() -> None:
    books = after(
        office(status="inactive"),
        status("2025-01-10 12:00", "trialing"),
        status("2025-01-20 12:00", "active"),
        run("2025-01-25 12:00"),
    )
    assert [(cycle.key, cycle.trial) for cycle in books.cycles] == [("2025-01", True)]


def test_as_of_a_moment_before_the_reactivation_its_cycle_is_not_due() -> None:
    history = canceled_from_15_january_to_10_march()
    assert keys(after(*history, run("2025-03-12 12:00", as_of="2025-03-09 12:00"))) == ["2025-01"]
    assert keys(after(*history, run("2025-03-12 12:00", as_of="2025-03-10 12:00"))) == ["2025-01", "2025-03"]


# Zones: rule 6, decision 9


def test_after_a_change_of_zone_the_next_cycle_starts_where_the_last_one_ended() -> None:
    books = after(
        office(zone="America/Los_Angeles", anchor=date(2025, 1, 31)),
        run("2025-02-10 12:00"),
        c.ChangeZone(utc("2025-02-11 12:00"), "Europe/Berlin"),
        run("2025-04-10 12:00"),
    )
    rows = [(each.key, each.zone, each.start_at, each.end_at) for each in books.cycles]
    assert rows == [
        ("2025-01", "America/Los_Angeles", utc("2025-01-31 08:00"), utc("2025-02-28 08:00")),
        ("2025-02", "Europe/Berlin", utc("2025-02-28 08:00"), utc("2025-03-30 22:00")),
        ("2025-03", "Europe/Berlin", utc("2025-03-30 22:00"), utc("2025-04-29 22:00")),
    ]


def test_a_cycle_that_starts_on_a_night_without_midnight_starts_an_hour_later_by_the_clock() -> None:
    books = after(
        office(zone="America/Havana", anchor=date(2025, 1, 9)), run("2025-02-10 12:00"), run("2025-03-10 12:00")
    )
    assert [each.start_at for each in books.cycles] == [utc("2025-02-09 05:00"), utc("2025-03-09 05:00")]
    assert books.cycles[1].end_at == utc("2025-04-09 04:00")


# Other charges: rule 7, decisions 7 and 8


def test_the_setup_fee_is_charged_once_and_neither_it_nor_a_one_off_in_a_trial() -> None:
    history = [
        office(status="trialing"),
        c.SetupFee(utc("2025-01-02 12:00")),
        c.OneOff(utc("2025-01-02 12:00"), 700),
        status("2025-01-03 12:00", "active"),
        c.SetupFee(utc("2025-01-04 12:00")),
        c.SetupFee(utc("2025-01-04 12:01")),
        c.OneOff(utc("2025-01-05 12:00"), 700),
        status("2025-01-06 12:00", "canceled"),
        c.OneOff(utc("2025-01-07 12:00"), 800),
    ]
    assert outcomes(*history)[1:] == [
        "refused:trialing",
        "refused:trialing",
        "changed",
        "changed",
        "refused:setup_fee_exists",
        "changed",
        "changed",
        "changed",
    ]
    assert invoices(after(*history)) == [
        ("setup_fee", "closed", 5000),
        ("one_off", "closed", 700),
        ("one_off", "closed", 800),
    ]


def test_the_anchor_may_change_until_the_first_cycle_has_opened() -> None:
    later = c.ChangeAnchor(utc("2025-01-02 12:00"), date(2025, 1, 15))
    assert outcomes(office(), later)[-1] == "changed"
    assert outcomes(office(), run("2025-01-02 11:00"), later)[-1] == "refused:anchor_fixed"
    assert keys(after(office(), later, run("2025-01-02 13:00"))) == ["2024-12"]
