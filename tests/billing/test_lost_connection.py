"""A database that is away is told from a fault of ours, also where the fault came of its going."""

import psycopg
import pytest
from django.db import IntegrityError, InterfaceError, OperationalError

from billing.lost_connection import is_lost_connection

pytestmark = pytest.mark.django_db


def raised(error, *, cause=None, context=None):
    error.__cause__, error.__context__ = cause, context
    return error


def lost():
    return raised(OperationalError("server closed the connection"), cause=psycopg.OperationalError("closed"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (lost(), True),
        (InterfaceError("closed"), True),
        (raised(OperationalError("going down"), cause=psycopg.errors.CrashShutdown("going down")), True),
        (raised(RuntimeError("what the reply was is not known"), cause=lost()), True),
        (raised(ValueError("said while it was handled"), context=lost()), True),
        (raised(OperationalError("busy"), cause=psycopg.errors.LockNotAvailable("busy")), False),
        (raised(IntegrityError("twice"), cause=psycopg.errors.UniqueViolation("twice")), False),
        (OperationalError("database is locked"), False),
        (ValueError("a fault of ours"), False),
    ],
)
def test_only_what_came_of_a_lost_connection_is_one(error, expected):
    assert is_lost_connection(error) is expected
