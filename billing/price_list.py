"""The price list: plans, and the dated versions of their prices. What was charged under it never changes.

A version holds for cycles that start on its day or later (decisions.md 2), so that only a day to come can be priced:
a cycle that is opened late, or by a backfill, finds what held at its start.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from audit.chain import Fact, record
from audit.seal import PayloadValue
from offices.models import BEGINNING_DAY, Office, OfficePlan, Plan, PlanPrice, PriceOverride
from offices.timeline import PriceBook
from patients.models import ActivityPeriod

STREAM = "billing:prices"
_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class PlanCodeMalformed(ValueError):
    """A plan's code has 1 to 40 lower-case letters, digits, hyphens and underscores."""


class PlanExists(Exception):
    """There is a plan with this code; its price changes by a new version."""


class PriceInThePast(ValueError):
    """A price begins on a day to come: what has begun is charged as it was."""


class PriceVersionExists(Exception):
    """The plan has a version from this very day."""


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan to add, with its first price, in cents."""

    code: str
    name: str
    setup_fee_cents: int
    unit_price_cents: int


@transaction.atomic
def add_plan(plan: NewPlan, *, actor: str, now: datetime) -> Plan:
    """Add a plan; offices are put under it one by one, each from its own moment on.

    Its first price holds since before any record (decisions.md 12): an office that is imported under the plan is
    billed for the cycle that has begun, and a backfill finds terms. Raises PlanCodeMalformed and PlanExists.
    """
    if not _CODE.fullmatch(plan.code):
        raise PlanCodeMalformed(PlanCodeMalformed.__doc__)
    if Plan.objects.filter(code=plan.code).exists():
        raise PlanExists("there is a plan with this code")
    row = Plan.objects.create(code=plan.code, name=plan.name, setup_fee_cents=plan.setup_fee_cents)
    PlanPrice.objects.create(plan=row, effective_on=BEGINNING_DAY, unit_price_cents=plan.unit_price_cents)
    about: dict[str, PayloadValue] = {
        "plan": row.code,
        "setup_fee_cents": row.setup_fee_cents,
        "unit_price_cents": plan.unit_price_cents,
    }
    record(Fact(STREAM, "plan.added", about), actor=actor, now=now)
    return row


@transaction.atomic
def add_price(*, plan_id: int, effective_on: date, unit_price_cents: int, actor: str, now: datetime) -> PlanPrice:
    """Let the plan cost this for cycles that start on `effective_on` or later.

    Raises PriceInThePast and PriceVersionExists.
    """
    if effective_on <= now.date():
        raise PriceInThePast("a price begins on a day to come")
    plan = Plan.objects.get(pk=plan_id)
    try:
        with transaction.atomic():
            row = PlanPrice.objects.create(plan=plan, effective_on=effective_on, unit_price_cents=unit_price_cents)
    except IntegrityError:
        raise PriceVersionExists("the plan has a version from this day") from None
    about: dict[str, PayloadValue] = {
        "plan": plan.code,
        "effective_on": effective_on.isoformat(),
        "unit_price_cents": unit_price_cents,
    }
    record(Fact(STREAM, "price.added", about), actor=actor, now=now)
    return row


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a new price of a plan reaches: offices without a price of their own that day, and their active accounts."""

    offices: int
    with_own_price: int
    active_accounts: int
    price_before_cents: int


def reach_of_price(plan: Plan, *, effective_on: date, now: datetime) -> Reach:
    """Count whom it reaches as things stand now; raise NoPriceVersion when the plan has no price that day."""
    under = _offices_under(plan, now)
    own = PriceOverride.objects.filter(office=OuterRef("pk"), starts_on__lte=effective_on, ends_on__gt=effective_on)
    reached = under.filter(~Exists(own))
    active = ActivityPeriod.objects.filter(deactivated_at__isnull=True, office__in=reached.values("pk"))
    offices = reached.count()
    return Reach(
        offices=offices,
        with_own_price=under.count() - offices,
        active_accounts=active.count(),
        price_before_cents=PriceBook().version_on(plan.pk, effective_on).unit_price_cents,
    )


def _offices_under(plan: Plan, now: datetime) -> QuerySet[Office]:
    plans = OfficePlan.objects.filter(office=OuterRef("pk"), effective_at__lte=now).order_by("-effective_at")
    return Office.objects.annotate(plan_now=Subquery(plans.values("plan")[:1])).filter(plan_now=plan.pk)
