"""Entries are append-only, and writers at once never fork a stream."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit.chain import Fact, record, record_many, verify
from audit.models import AuditEntry, StreamHead
from tests.audit.conftest import NOW, tell
from tests.billing.scenes import at_once
from tests.tampering import execute

postgresql = pytest.mark.postgresql


def refused(sql: str) -> None:
    with pytest.raises(IntegrityError, match="audit_entry_append_only"), transaction.atomic():
        execute(sql)
    assert verify() == (10, [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditentry SET actor = 'x' WHERE seq = 1",
        "UPDATE audit_auditentry SET actor = actor",
        "DELETE FROM audit_auditentry WHERE seq = 5",
        "DELETE FROM audit_auditentry",
    ],
)
def test_an_entry_cannot_be_changed_or_deleted(streams, sql):
    refused(sql)


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["INSERT OR REPLACE", "REPLACE"])
def test_an_entry_cannot_be_replaced(streams, word):
    if connection.vendor != "sqlite":
        pytest.skip("a word of SQLite's")
    refused(f"{word} INTO audit_auditentry SELECT * FROM audit_auditentry WHERE seq = 2")


@pytest.mark.django_db
def test_the_orm_cannot_either(streams):
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditEntry.objects.first().delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditEntry.objects.first().save()


@postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["TRUNCATE audit_auditentry", "TRUNCATE audit_auditentry CASCADE"])
def test_the_trail_cannot_be_truncated(streams, sql):
    refused(sql)


@postgresql
@pytest.mark.django_db
def test_the_trigger_fires_for_a_session_that_skips_triggers_too(streams):
    execute("SET LOCAL session_replication_role = replica")
    refused("UPDATE audit_auditentry SET actor = 'x'")


@pytest.mark.django_db
def test_a_second_entry_at_a_position_is_refused(streams):
    copy = AuditEntry.objects.first()
    copy.pk, copy.previous = None, "1" * 64
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save(force_insert=True)


@pytest.mark.django_db
def test_a_second_entry_after_the_same_one_is_refused(streams):
    """A fork: two entries that name the same predecessor."""
    copy = AuditEntry.objects.first()
    copy.pk, copy.seq = None, 77
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save(force_insert=True)


def append(stream: str, number: int):
    def work() -> None:
        with transaction.atomic():
            record(Fact(stream, "x.changed", {"number": number}), actor="staff:7", now=NOW)

    return work


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_never_fork_a_stream():
    """A new stream, so that they meet at its head's birth too."""
    writers = 24 if connection.vendor == "postgresql" else 8
    results = at_once([append("office:clinic-1", number) for number in range(writers * 4)], connections=writers)

    assert [each for each in results if each is not None] == []
    assert verify() == (writers * 4, [])
    assert StreamHead.objects.get().seq == writers * 4


@postgresql
@pytest.mark.django_db(transaction=True)
def test_writers_of_many_streams_at_once_do_not_lock_each_other_out():
    """Heads are locked in the order of their names, whatever the order of the facts: no deadlock."""
    streams = [f"office:clinic-{number}" for number in range(6)]

    def write(number: int):
        facts = [Fact(stream, "x.changed", {"number": number}) for stream in streams]
        facts = facts[::-1] if number % 2 else facts

        def work() -> None:
            with transaction.atomic():
                record_many(facts, actor="staff:7", now=NOW)

        return work

    results = at_once([write(number) for number in range(40)], connections=16)

    assert [each for each in results if each is not None] == []
    assert verify() == (240, [])


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_fails_leaves_the_others_chain_whole():
    def fail() -> None:
        with transaction.atomic():
            record(Fact("office:clinic-1", "y.changed"), actor="staff:7", now=NOW)
            raise DatabaseError("the business change failed")

    tell("office:clinic-1", "a.opened")
    calls = [fail if number % 3 == 0 else append("office:clinic-1", number) for number in range(24)]
    at_once(calls, connections=8)

    assert verify() == (1 + 16, [])
