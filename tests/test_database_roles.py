"""The role that the program logs in with works with rows, and cannot touch what guards them."""

from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction

from tests.billing.scenes import close_month

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

ROLES = Path(__file__).resolve().parent.parent / "deploy/postgresql/roles.sql"
# Each would let a break-in through the program rewrite what is closed or sealed.
FORBIDDEN = [
    "ALTER TABLE audit_auditentry DISABLE TRIGGER ALL",
    "ALTER TABLE billing_lineitem DISABLE TRIGGER line_item_frozen_update",
    "DROP TRIGGER line_item_frozen_update ON billing_lineitem",
    "ALTER TABLE billing_invoice DISABLE ROW LEVEL SECURITY",
    "TRUNCATE billing_invoice CASCADE",
    "DROP TABLE audit_auditentry CASCADE",
    "CREATE TABLE public.mine (id int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET LOCAL session_replication_role = replica",
    "SET LOCAL ROLE clinic_billing_owner",
    "ALTER ROLE clinic_billing_app BYPASSRLS",
    "CREATE ROLE mine",
]


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def roles():
    """The roles as the file makes them, twice since it may be run again; gone with the test's transaction."""
    run("SET CONSTRAINTS ALL IMMEDIATE", ROLES.read_text(), ROLES.read_text())


@pytest.fixture
def app(roles):
    """Everything from here on happens as the program's own role."""
    run("SET LOCAL SESSION AUTHORIZATION clinic_billing_app")


def test_the_program_closes_a_month_with_it(app):
    assert close_month().closed_at


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_what_guards_the_rows_is_out_of_its_reach(app, statement):
    with pytest.raises(ProgrammingError), transaction.atomic():
        run(statement)


def test_it_may_use_what_a_later_migration_makes(roles):
    run(
        "SET LOCAL ROLE clinic_billing_owner",
        "CREATE TABLE public.later (id bigserial PRIMARY KEY)",
        "SET LOCAL ROLE clinic_billing_app",
        "INSERT INTO later DEFAULT VALUES",
    )


def test_a_migration_gives_up_after_three_seconds_without_its_lock(roles):
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolconfig FROM pg_roles WHERE rolname = 'clinic_billing_owner'")
        assert cursor.fetchone()[0] == ["lock_timeout=3s"]
