"""The quick way to write rows writes what the serializers describe, to the letter."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from rest_framework import serializers

from billing.api.rows_as_json import as_json
from billing.api.strict import Total
from tests.billing.minimization.test_classification import answers

NUMBER = UUID("5f0c3a52-9d0e-4a57-8a53-6f0d4c1a2b3c")
VALUES = {
    serializers.UUIDField: NUMBER,
    serializers.DateField: date(2026, 3, 1),
    serializers.DateTimeField: datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC),
    serializers.IntegerField: 7,
    serializers.BooleanField: True,
    serializers.CharField: "2026-03",
    Total: -1205,
}
BESIDE = {"item_type": "one_off", "charge_reason": "training", "cycle_key": "2026-03"}  # what sentences are made of


def row_of(serializer, *, empty=False):
    """A row with a value in every field; with `empty`, None wherever that is allowed."""
    row = dict(BESIDE)
    for field in serializer().fields.values():
        if not isinstance(field, serializers.SerializerMethodField):
            row[field.source] = None if empty and field.allow_null else _value(field, empty=empty)
    return row


def _value(field, *, empty):
    if isinstance(field, serializers.ListSerializer):
        return [row_of(type(field.child), empty=empty)] * 2
    if isinstance(field, serializers.Serializer):
        return row_of(type(field), empty=empty)
    if isinstance(field, serializers.ChoiceField):
        return next(iter(field.choices))
    if isinstance(field, serializers.ListField):
        return ["2026-01", "2026-02"]
    return VALUES[type(field)]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("serializer", sorted(answers(), key=lambda each: each.__name__), ids=lambda s: s.__name__)
def test_every_answer_is_written_as_its_serializer_would(serializer, empty):
    row = row_of(serializer, empty=empty)
    assert as_json(serializer, row) == serializer(row).data
