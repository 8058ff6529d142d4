"""The second wall between offices, on PostgreSQL: what the API's role sees, row by row (decisions.md 40).

The API takes the role `clinic_billing_api` for the length of each of its transactions and says there for which offices
it acts; everything else keeps the role it logged in with. The role may do what the API's use cases do and nothing
more: a table that is not listed here is closed to it. FORCE, because the login role usually owns the tables; the
policies name the role instead of the owner, so that it does not matter who that is.

The role is the server's, not the database's: it is made once and never dropped. Making it needs CREATEROLE, or a
database administrator who has made it before (`CREATE ROLE clinic_billing_api NOLOGIN`, granted to the login role).
"""

from collections.abc import Mapping

from django.db import migrations

from audit.database_rules import database_rule

ROLE = "clinic_billing_api"

_MAKE_ROLE = f"""
    DO $$
    BEGIN
        CREATE ROLE {ROLE} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server, or a migration that runs at the same moment
    END $$
"""
_LET_US_TAKE_IT = f"""
    DO $$
    BEGIN
        IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
            EXECUTE format('GRANT {ROLE} TO %I', current_user);
        END IF;
    END $$
"""

# Transaction-local settings; outside a transaction of the API they are empty, and then no row belongs to it.
_OFFICES = "(SELECT string_to_array(current_setting('billing.api_offices', true), ','))::uuid[]"
_CREDENTIAL = "(SELECT current_setting('billing.api_credential', true))"

_OF_THE_OFFICE = f"office_id = ANY ({_OFFICES})"
# A value and not EXISTS: that one may be answered by hashing every invoice there is.
_OF_ITS_INVOICE = f"(SELECT i.office_id FROM billing_invoice i WHERE i.id = invoice_id) = ANY ({_OFFICES})"
_OF_THE_CREDENTIAL = f"credential = {_CREDENTIAL}"
_OF_A_STREAM = (
    f"stream = {_CREDENTIAL} OR stream = ANY "
    f"(ARRAY(SELECT 'office:' || o.reference FROM offices_office o WHERE o.id = ANY ({_OFFICES})))"
)

# Table: which rows, and what may be done with them.
WALLS: Mapping[str, tuple[str, str]] = {
    # UPDATE on one column is also what a row lock needs.
    "offices_office": (f"id = ANY ({_OFFICES})", "SELECT, UPDATE (first_cycle_opened_at, parked_at)"),
    "offices_officestatuschange": (_OF_THE_OFFICE, "SELECT"),
    "offices_officezone": (_OF_THE_OFFICE, "SELECT"),
    "offices_officeplan": (_OF_THE_OFFICE, "SELECT"),
    "offices_priceoverride": (_OF_THE_OFFICE, "SELECT"),
    "offices_officestripeaccount": (_OF_THE_OFFICE, "SELECT (office_id)"),  # whether there is one, not which
    "patients_patient": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "patients_activityperiod": (
        _OF_THE_OFFICE,
        "SELECT, INSERT, UPDATE (deactivated_at, deactivation_recorded_at)",
    ),
    "patients_patientidentity": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "patients_patienttoken": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "billing_billingcycle": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "billing_invoice": (
        _OF_THE_OFFICE,
        # The columns that closing a one-off writes.
        "SELECT, INSERT, UPDATE (total_cents, collection_method, days_until_due, closed_at, updated_at, status,"
        " paid_at, settlement_reason, version)",
    ),
    "billing_lineitem": (_OF_ITS_INVOICE, "SELECT, INSERT"),
    "billing_payment": (_OF_ITS_INVOICE, "SELECT"),
    "billing_hostedinvoicepage": (_OF_ITS_INVOICE, "SELECT"),
    "billing_outboxmessage": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "billing_officeprofile": (_OF_THE_OFFICE, "SELECT"),
    "billing_parkedoffice": (_OF_THE_OFFICE, "SELECT, INSERT"),
    "billing_idempotentanswer": (_OF_THE_CREDENTIAL, "SELECT, INSERT"),
    # The trail is appended to, never read.
    "audit_auditentry": (_OF_A_STREAM, "SELECT (id, stream), INSERT"),
    "audit_streamhead": (_OF_A_STREAM, "SELECT, INSERT, UPDATE (seq, digest, mac_key, mac)"),
}
# What is no office's: the price list, and which months are locked (the triggers that refuse a locked month ask).
SHARED: Mapping[str, str] = {
    "offices_plan": "SELECT",
    "offices_planprice": "SELECT",
    "billing_monthclose": "SELECT (key, locked_at)",
}


def _statements() -> list[str]:
    made = [_MAKE_ROLE, _LET_US_TAKE_IT, f"GRANT USAGE ON SCHEMA public TO {ROLE}"]
    for table, (rows, rights) in WALLS.items():
        made += [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_of_the_api ON {table} USING ((SELECT current_user <> '{ROLE}') OR {rows})",
            f"GRANT {rights} ON {table} TO {ROLE}",
        ]
    return made + [f"GRANT {rights} ON {table} TO {ROLE}" for table, rights in SHARED.items()]


def _undo() -> list[str]:
    undone = [f"REVOKE ALL ON {', '.join([*WALLS, *SHARED])} FROM {ROLE}", f"REVOKE ALL ON SCHEMA public FROM {ROLE}"]
    for table in WALLS:
        undone += [
            f"DROP POLICY {table}_of_the_api ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ]
    return undone


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_portal_api"),
        ("audit", "0002_append_only"),
        ("offices", "0002_standard_plan"),
        ("patients", "0004_reveal_grant"),
    ]

    operations = [
        database_rule(postgresql=_statements(), undo_postgresql=_undo(), sqlite=[], undo_sqlite=[]),
    ]
