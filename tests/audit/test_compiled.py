"""Statements compiled once answer as the queryset they were made from, with each call's own values."""

import pytest
from django.db import connection
from django.db.models import CharField, Exists, IntegerField, OuterRef, Value
from django.test.utils import CaptureQueriesContext

from audit.chain import Fact, record
from audit.compiled import Parameter, Statement
from audit.models import AuditEntry, StreamHead
from tests.builders import ACTOR, utc

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-20T12:00")


@pytest.fixture(autouse=True)
def two_streams():
    for stream in ("office:a", "office:b"):
        record(Fact(stream, "thing.done", {"number": 1}), actor=ACTOR, now=NOW)


def _entries():
    heads = StreamHead.objects.filter(stream=OuterRef("stream"), seq__gte=Parameter("seq", IntegerField()))
    entries = AuditEntry.objects.filter(stream=Parameter("stream", CharField(max_length=100)))
    return entries.order_by("pk").values("stream", "at", has_head=Exists(heads), fixed=Value("x"))


def test_each_call_has_its_own_values():
    statement = Statement(_entries)
    for stream, seq in (("office:a", 1), ("office:b", 2), ("office:c", 1)):
        expected = [
            {"stream": stream, "at": NOW, "has_head": seq == 1, "fixed": "x"}
            for _ in AuditEntry.objects.filter(stream=stream)
        ]
        assert statement.rows(stream=stream, seq=seq) == expected


def test_the_queryset_is_built_once():
    built = []
    statement = Statement(lambda: built.append(1) or _entries())
    for _ in range(3):
        statement.rows(stream="office:a", seq=1)
    assert built == [1]


def test_objects_are_whole():
    statement = Statement(lambda: StreamHead.objects.filter(stream=Parameter("stream", CharField())))
    (head,) = statement.objects(stream="office:a")
    assert head == StreamHead.objects.get(stream="office:a")
    assert {name: getattr(head, name) for name in ("seq", "digest", "mac")} == {
        name: getattr(StreamHead.objects.get(stream="office:a"), name) for name in ("seq", "digest", "mac")
    }
    assert not head._state.adding


def test_a_value_that_is_missing_is_a_bug_and_not_an_empty_answer():
    with pytest.raises(KeyError):
        Statement(_entries).rows(stream="office:a")


def test_counters_of_queries_see_them():
    with CaptureQueriesContext(connection) as queries:
        Statement(_entries).rows(stream="office:a", seq=1)
    assert len(queries) == 1


@pytest.mark.postgresql
def test_postgresql_keeps_them_planned():
    statement = Statement(_entries)
    for _ in range(3):
        statement.rows(stream="office:a", seq=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ["%has_head%"])
        assert cursor.fetchone() == (1,)
