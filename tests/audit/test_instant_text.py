"""The database's text of an instant is the one that was hashed, and no edit of an instant keeps it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from audit import seal
from audit.chain import verify
from audit.instant_text import InstantText
from audit.models import AuditEntry
from tests.audit.conftest import NOW, tell
from tests.tampering import bare, execute

pytestmark = pytest.mark.django_db

INSTANTS = [
    NOW,
    NOW + timedelta(microseconds=1),
    NOW + timedelta(milliseconds=120),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 7, 1, 23, 59, 59, 999_999, tzinfo=UTC),
]


@pytest.mark.parametrize("at", INSTANTS, ids=str)
def test_the_database_writes_an_instant_as_it_was_hashed(at):
    tell("office:clinic-1", "a.opened")
    bare("audit_auditentry")
    AuditEntry.objects.update(at=at)
    assert AuditEntry.objects.values_list(InstantText("at"), flat=True).get() == seal.instant(at)


ON_POSTGRESQL = ["at - interval '4052 years'", "at + interval '10000 years'", "'infinity'"]  # the first: 2026 BC
ON_SQLITE = ["at || '.0000001'", "at || '.000000Z'", "substr(at, 1, 16)", "''", "x'00'"]


@pytest.mark.parametrize("edit", ON_POSTGRESQL + ON_SQLITE)
def test_an_edit_to_an_instant_that_python_cannot_even_hold_shows(edit):
    if (connection.vendor == "postgresql") != (edit in ON_POSTGRESQL):
        pytest.skip("the other database's")
    tell("office:clinic-1", "a.opened")
    bare("audit_auditentry")
    execute(f"UPDATE audit_auditentry SET at = {edit}")
    assert [each.code for each in verify()[1]] == ["entry_edited"]
