"""Every kind of mismatch is found and typed as itself, nothing else is; a repair mends what Stripe decided, once."""

import pytest

from billing.models import Discrepancy, DiscrepancyStatus, RepairKind
from tests.billing.reconciliation.plants import PLANTS
from tests.billing.reconciliation.scene import Scene, found

SEEDS = 20
# CI plants all of them at once, and these alone: one of each way of being repaired.
SAMPLE = ("paid_there", "refund", "missing_at_stripe", "total_there", "profile_changed", "active_not_charged")


def check(scene: Scene, name: str) -> None:
    """Plant, find exactly that, repair, and see that a second repair finds nothing to do."""
    kind, plant = PLANTS[name]
    subject = plant(scene)
    expected = [(kind, subject)]

    summary = scene.reconcile()

    assert not summary.stopped
    assert found() == expected, name
    proposed = Discrepancy.objects.get(status=DiscrepancyStatus.OPEN).repair
    first = scene.reconcile(repair=True)
    still = [] if proposed == RepairKind.PULL else expected
    assert (found(), first.repaired.ended) == (still, int(proposed == RepairKind.PULL)), (name, first)
    again = scene.reconcile(repair=True)
    assert (found(), again.opened, again.repaired.pulled, again.gone) == (still, 0, 0, 0), (name, again)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.full) for name in PLANTS]
)
def test_a_mismatch_on_its_own_is_found_as_what_it_is_and_repaired_once(stripe, name):
    check(Scene(stripe, seed=len(name)), name)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.full if seed else ()) for seed in range(SEEDS)])
def test_all_mismatches_at_once_are_told_apart(stripe, seed):
    scene = Scene(stripe, seed=seed, offices=len(PLANTS) + 1)
    expected = plant_all(scene)

    scene.reconcile()
    assert found() == expected

    first = scene.reconcile(repair=True)
    left = Discrepancy.objects.filter(status=DiscrepancyStatus.OPEN)
    assert not left.filter(repair=RepairKind.PULL).exists()
    assert first.repaired.ended == len(expected) - left.count() > 0
    again = scene.reconcile(repair=True)
    assert (again.opened, again.gone, again.repaired.pulled, again.open) == (0, 0, 0, left.count())


def plant_all(scene: Scene) -> list[tuple[str, str]]:
    """Plant each mismatch at an office of its own, in an order that the seed decides."""
    names = list(PLANTS)
    scene.rng.shuffle(names)
    # This one lets the news arrive, that of what was planted before too.
    names.sort(key=lambda name: name != "charge_left_alive")
    expected = []
    for office, name in zip(scene.offices, names, strict=False):
        scene.focus = office
        kind, plant = PLANTS[name]
        expected.append((str(kind), plant(scene)))
    return sorted(expected)


@pytest.mark.full
@pytest.mark.django_db
def test_of_a_thousand_invoices_that_are_right_none_is_told(stripe):
    scene = Scene(stripe, offices=500)
    summary = scene.reconcile(repair=True)
    assert (summary.run.invoices_seen, found(), summary.opened) == (1_000, [], 0)


@pytest.mark.django_db
def test_where_nothing_differs_nothing_is_found(scene):
    summary = scene.reconcile(repair=True)
    assert (summary.stopped, found(), summary.opened, summary.repaired.pulled) == ("", [], 0, 0)
