"""Ids that the database makes for lines: random, and in the order of time."""

import time
import uuid

import pytest

from billing.models import NewUUID
from offices.models import Plan


def new_ids():
    return list(Plan.objects.annotate(made=NewUUID()).values_list("made", flat=True))


@pytest.mark.django_db
def test_the_database_makes_version_7_uuids_that_grow_with_time():
    Plan.objects.bulk_create(Plan(code=f"plan-{number}", name="Plan") for number in range(200))
    before = time.time() * 1000
    ids = new_ids()
    time.sleep(0.003)
    later = new_ids()

    assert len({*ids, *later}) == len(ids) + len(later)
    assert {made.version for made in ids} == {7}
    assert {made.variant for made in ids} == {uuid.RFC_4122}
    assert max(ids) < min(later)
    assert abs((ids[0].int >> 80) - before) < 5_000  # milliseconds since 1970
