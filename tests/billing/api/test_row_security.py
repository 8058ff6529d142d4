"""The second wall, on PostgreSQL: the role of the API, what it may do, and which rows it sees (decisions.md 40)."""

from contextlib import contextmanager
from importlib import import_module

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEntry, StreamHead
from billing.api.credentials import Credential
from billing.api.tenants import ROLE, api_transaction
from billing.models import IdempotentAnswer, Invoice, LineItem, Refund, Scope
from offices.locking import OfficeNotFound, lock_office
from offices.models import Office
from patients.models import Patient
from tests.billing.api.conftest import NOW, Portal
from tests.billing.api.probes import Books
from tests.builders import make_office

pytestmark = pytest.mark.postgresql

wall = import_module("billing.migrations.0014_row_security")
later = import_module("billing.migrations.0017_portal_reads")
WALLS = {**wall.WALLS, **later.WALLS}


@pytest.fixture
def books(noon):
    """Two offices, each with everything; the first is the caller's."""
    return Books.made(), Books.made()


@contextmanager
def behind_the_wall(office):
    with api_transaction(Credential("api-key:x", frozenset({office.pk}), frozenset(Scope)), writes=True):
        yield


def _value(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def _rights():
    """What the role may do, by table: (privilege, column or None)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, privilege_type, NULL FROM information_schema.role_table_grants WHERE grantee = %s"
            " UNION SELECT c.table_name, c.privilege_type, c.column_name FROM information_schema.column_privileges c"
            " WHERE c.grantee = %s AND NOT EXISTS (SELECT FROM information_schema.role_table_grants t WHERE"
            " t.grantee = c.grantee AND t.table_name = c.table_name AND t.privilege_type = c.privilege_type)",
            [ROLE, ROLE],
        )
        return cursor.fetchall()


# --- The role ---
def test_every_call_of_a_key_runs_under_the_role_and_gives_it_back(office, ids):
    roles = set()

    def look(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "patients_patient" in sql:  # the statements of the action, not those of the authentication
            with connection.connection.cursor() as bare:
                roles.add(bare.execute("SELECT current_user").fetchone()[0])
        return result

    for call in (lambda p: p.get("patients"), lambda p: p.post(f"billing/patients/{ids['patient']}/deactivate")):
        roles.clear()
        with connection.execute_wrapper(look):
            assert call(Portal(office)).status_code == 200
        assert roles == {ROLE}
        assert _value("SELECT current_user") != ROLE
        assert _value("SELECT current_setting('billing.api_offices', true)") == ""


def test_the_role_cannot_log_in_passes_no_wall_and_owns_nothing(db):
    assert _value("SELECT rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = %s",
                  ROLE) is False  # fmt: skip
    assert _value("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", ROLE) == 0


def test_a_refusal_gives_the_role_back_too(office, neighbour, ids):
    assert neighbour.get(f"billing/payment-status/{ids['invoice']}").status_code == 404
    assert _value("SELECT current_user") != ROLE


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_nothing_of_the_caller_is_left_on_the_connection():
    office = make_office()
    assert Portal(office).get("patients").status_code == 200
    assert not connection.in_atomic_block
    assert _value("SELECT current_user") != ROLE
    assert not _value("SELECT current_setting('billing.api_offices', true)")


# --- Which tables ---
def test_every_table_the_role_reaches_has_a_wall_or_is_nobodys(db):
    reached = {table for table, _, _ in _rights()}
    assert reached == {*WALLS, *wall.SHARED}
    for table in WALLS:
        assert _value("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", table), (
            table
        )
        assert _value("SELECT count(*) FROM pg_policy WHERE polrelid = %s::regclass", table) == 1


def test_the_role_deletes_nothing_and_does_not_reach_keys_staff_or_sessions(db):
    assert {privilege for _, privilege, _ in _rights()} == {"SELECT", "INSERT", "UPDATE"}
    unreached = {"billing_officeapikey", "billing_platformapikey", "auth_user", "django_session", "billing_incident"}
    assert not unreached & {table for table, _, _ in _rights()}
    assert not {row for row in _rights() if row[1] == "UPDATE" and row[2] is None}  # never a whole row


def test_every_table_with_an_office_is_walled_or_closed_to_the_role(db):
    """A new model cannot be forgotten: without a grant the role does not reach it, with one it needs a policy."""
    of_an_office = {
        model._meta.db_table
        for model in apps.get_models()
        if any(field.attname == "office_id" for field in model._meta.concrete_fields)
    }
    assert {table for table, _, _ in _rights()} & of_an_office <= set(WALLS)


# --- Which rows ---
def test_the_role_sees_its_own_offices_rows_and_no_other(books):
    mine, theirs = books
    for model in (Office, Invoice, LineItem, Patient):
        everything = set(model.objects.values_list("pk", flat=True))
        with behind_the_wall(mine.office):
            own = {str(pk) for pk in model.objects.values_list("pk", flat=True)}
        assert own
        assert own < {str(pk) for pk in everything}
        assert not own & theirs.ids()


def test_without_an_office_the_role_sees_nothing(books):
    with api_transaction(Credential("api-key:x", frozenset(), frozenset()), writes=True):
        for table, (_, rights) in WALLS.items():
            if rights.startswith("SELECT,") or rights == "SELECT":
                assert _value(f"SELECT count(*) FROM {table}") == 0, table


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO patients_patient VALUES (gen_random_uuid(), now(), '{theirs}')",
        "INSERT INTO audit_streamhead VALUES ('office:{their_reference}', 5, 'x', '', '')",
        "UPDATE billing_invoice SET version = 9, office_id = '{theirs}'",
        "UPDATE offices_office SET name = 'x'",
        "DELETE FROM billing_lineitem",
        "TRUNCATE billing_idempotentanswer",
        "SELECT * FROM billing_officeapikey",
        "SELECT customer_id FROM offices_officestripeaccount",
        "SELECT payload FROM audit_auditentry",
        "SELECT note FROM billing_correction",
        "SELECT requested_by FROM billing_correction",
        "SELECT stripe_refund_id FROM billing_refund",
    ],
)
def test_the_database_refuses_what_the_use_cases_do_not_do(books, statement):
    mine, theirs = books
    names = {"theirs": theirs.office.pk, "their_reference": theirs.office.reference}
    with pytest.raises(DatabaseError), transaction.atomic(), behind_the_wall(mine.office):
        _value(statement.format(**names))


def test_a_foreign_row_cannot_be_changed_for_it_is_not_there(books):
    mine, theirs = books
    before = theirs.rows()
    with behind_the_wall(mine.office), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_invoice SET version = 99 WHERE office_id = %s", [theirs.office.pk])
        assert cursor.rowcount == 0
        cursor.execute("UPDATE audit_streamhead SET seq = 0 WHERE stream = %s", [f"office:{theirs.office.reference}"])
        assert cursor.rowcount == 0
    assert theirs.rows() == before
    assert StreamHead.objects.get(stream=f"office:{theirs.office.reference}").seq > 0


def test_a_statement_that_is_kept_planned_sees_no_more_behind_the_wall(books):
    """Planned where every row is seen, often enough to have become one plan for all values (audit/compiled.py)."""
    mine, theirs = books
    for _ in range(8):
        with transaction.atomic():
            assert lock_office(theirs.office.pk) == theirs.office
    with pytest.raises(OfficeNotFound), behind_the_wall(mine.office):
        lock_office(theirs.office.pk)
    with transaction.atomic():
        assert lock_office(theirs.office.pk) == theirs.office


def test_what_happened_to_the_money_of_another_office_is_not_there(books):
    mine, _ = books
    for book in books:
        Refund.objects.create(
            invoice=Invoice.objects.filter(office=book.office).first(), stripe_refund_id=f"re_{book.office.pk.hex}",
            status="succeeded", amount_cents=100, currency="USD", refunded_at=NOW, recorded_at=NOW,
        )  # fmt: skip
    with behind_the_wall(mine.office):
        assert [each.invoice.office_id for each in Refund.objects.only("invoice")] == [mine.office.pk]


def test_a_caller_sees_no_answer_kept_for_another(books):
    mine, _ = books
    words = {"key_digest": "k", "request_digest": "r", "status_code": 200, "body": "{}", "created_at": NOW}
    for credential in ("api-key:x", "api-key:y"):
        IdempotentAnswer.objects.create(credential=credential, **words)
    with behind_the_wall(mine.office):
        assert [each.credential for each in IdempotentAnswer.objects.all()] == ["api-key:x"]


def test_the_trail_can_be_written_and_not_read(books):
    mine, _ = books
    with pytest.raises(DatabaseError), transaction.atomic(), behind_the_wall(mine.office):
        list(AuditEntry.objects.all())
