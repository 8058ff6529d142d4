"""Synthetic offices and patients to bill: the same rows for the same size, on every database.

Mostly ordinary offices, and a share of each kind that takes another path: trials (settled at zero), price overrides,
offices that Stripe does not know yet, patients who came in the middle of the cycle or came back after a pause.
"""

import random
import uuid
from datetime import UTC, date, datetime, timedelta

from django.db import transaction

from bench.scenario import Size
from offices.models import (
    BEGINNING,
    Office,
    OfficePlan,
    OfficeStatus,
    OfficeStatusChange,
    OfficeStripeAccount,
    OfficeZone,
    Plan,
    PriceOverride,
)
from patients.models import ActivityPeriod, Patient

_ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
_LONG_AGO = datetime(2025, 3, 10, 15, tzinfo=UTC)
_PAUSE = timedelta(days=60)
_WITHIN_THE_FIRST_CYCLE = datetime(2026, 1, 30, 15, tzinfo=UTC)
_EVERY_TRIAL, _EVERY_OVERRIDE, _EVERY_UNKNOWN_TO_STRIPE = 50, 20, 25  # every 50th office is a trial, and so on
_EVERY_NEWCOMER, _EVERY_RETURNER = 25, 20  # patients
_BATCH = 100  # offices whose patients are in memory at a time


def seed(size: Size) -> None:
    """Fill an empty, migrated database."""
    draw = random.Random(2026)
    plan = Plan.objects.get(code="standard")
    for start in range(0, size.offices, _BATCH):
        numbers = range(start, min(start + _BATCH, size.offices))
        with transaction.atomic():
            offices = [_office(number, draw) for number in numbers]
            Office.objects.bulk_create(offices)
            _add_terms(offices, numbers, plan)
            _add_patients(offices, size.patients, draw)


def _new_id(draw: random.Random) -> uuid.UUID:
    return uuid.UUID(int=draw.getrandbits(128), version=4)


def _office(number: int, draw: random.Random) -> Office:
    return Office(
        id=_new_id(draw),
        reference=f"bench-{number:06}",
        name=f"Practice {number}",
        billing_email="",
        opaque_name=f"Office {number:08}",
        billing_cycle_anchor_date=date(2025, 1 + number % 12, 1 + number % 28),
        created_at=_LONG_AGO,
    )


def _add_terms(offices: list[Office], numbers: range, plan: Plan) -> None:
    numbered = list(zip(numbers, offices, strict=True))
    OfficeStatusChange.objects.bulk_create(
        OfficeStatusChange(
            office=office,
            status=OfficeStatus.ACTIVE if number % _EVERY_TRIAL else OfficeStatus.TRIALING,
            effective_at=BEGINNING,
        )
        for number, office in numbered
    )
    OfficeZone.objects.bulk_create(
        OfficeZone(office=office, timezone=_ZONES[number % len(_ZONES)], effective_at=BEGINNING)
        for number, office in numbered
    )
    OfficePlan.objects.bulk_create(OfficePlan(office=office, plan=plan, effective_at=BEGINNING) for office in offices)
    _add_what_some_have(numbered)


def _add_what_some_have(numbered: list[tuple[int, Office]]) -> None:
    PriceOverride.objects.bulk_create(
        PriceOverride(
            office=office,
            unit_price_cents=175,
            starts_on=date(2025, 1, 1),
            ends_on=date(2027, 1, 1),
            reason="agreed",
            created_at=_LONG_AGO,
        )
        for number, office in numbered
        if number % _EVERY_OVERRIDE == 1
    )
    OfficeStripeAccount.objects.bulk_create(
        OfficeStripeAccount(
            office=office,
            customer_id=f"cus_{number:014}",
            customer_index=f"{number:064x}",
            customer_index_key="bench",
            created_at=_LONG_AGO,
        )
        for number, office in numbered
        if number % _EVERY_UNKNOWN_TO_STRIPE
    )


def _add_patients(offices: list[Office], patients: int, draw: random.Random) -> None:
    accounts = [
        Patient(reference=_new_id(draw), office=office, created_at=_LONG_AGO)
        for office in offices
        for _ in range(patients)
    ]
    Patient.objects.bulk_create(accounts, batch_size=5000)
    periods = [period for number, account in enumerate(accounts) for period in _periods(number, account)]
    ActivityPeriod.objects.bulk_create(periods, batch_size=5000)


def _periods(number: int, account: Patient) -> list[ActivityPeriod]:
    """Everybody is active at both boundaries that matter, so each run makes one line for each patient."""
    if number % _EVERY_NEWCOMER == 0:
        return [_period(account, _WITHIN_THE_FIRST_CYCLE, None)]
    if number % _EVERY_RETURNER == 1:
        return [
            _period(account, _LONG_AGO, _LONG_AGO + _PAUSE),
            _period(account, _LONG_AGO + 2 * _PAUSE, None),
        ]
    return [_period(account, _LONG_AGO, None)]


def _period(account: Patient, start: datetime, end: datetime | None) -> ActivityPeriod:
    return ActivityPeriod(
        patient=account,
        office_id=account.office_id,
        activated_at=start,
        deactivated_at=end,
        deactivation_recorded_at=end,
    )
