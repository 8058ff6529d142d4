"""The second wall made cheap, and the payment history let through it.

The policies of 0014 say the same rows as before, each with what is compared worked out once a statement: the offices
as ids (a cast outside the subselect was repeated for every row, and kept the planner from an index), and the streams of
their audit trail by the offices' own keys (it read every office there is, four times for each activation).

The API's role newly reads what happened to an invoice's money: refunds, credit notes, disputes and corrections, by
column. Who asked for a correction, who decided, why, and what they wrote stays closed to it.
"""

from collections.abc import Mapping

from django.db import migrations

from audit.database_rules import database_rule

ROLE = "clinic_billing_api"

# Transaction-local settings; outside a transaction of the API they are empty, and then no row belongs to it.
_IDS = "string_to_array(current_setting('billing.api_offices', true), ',')::uuid[]"
_OFFICES = f"ARRAY(SELECT unnest({_IDS}))"
_CREDENTIAL = "(SELECT current_setting('billing.api_credential', true))"

_OF_THE_OFFICE = f"office_id = ANY ({_OFFICES})"
# A value and not EXISTS: that one may be answered by hashing every invoice there is.
_OF_ITS_INVOICE = f"(SELECT i.office_id FROM billing_invoice i WHERE i.id = invoice_id) = ANY ({_OFFICES})"
_OF_A_STREAM = (
    f"stream = {_CREDENTIAL} OR stream = ANY (ARRAY(SELECT 'office:' ||"
    f" (SELECT o.reference FROM offices_office o WHERE o.id = mine.id) FROM unnest({_IDS}) mine(id)))"
)

ROWS: Mapping[str, str] = {
    "offices_office": f"id = ANY ({_OFFICES})",
    "offices_officestatuschange": _OF_THE_OFFICE,
    "offices_officezone": _OF_THE_OFFICE,
    "offices_officeplan": _OF_THE_OFFICE,
    "offices_priceoverride": _OF_THE_OFFICE,
    "offices_officestripeaccount": _OF_THE_OFFICE,
    "patients_patient": _OF_THE_OFFICE,
    "patients_activityperiod": _OF_THE_OFFICE,
    "patients_patientidentity": _OF_THE_OFFICE,
    "patients_patienttoken": _OF_THE_OFFICE,
    "billing_billingcycle": _OF_THE_OFFICE,
    "billing_invoice": _OF_THE_OFFICE,
    "billing_lineitem": _OF_ITS_INVOICE,
    "billing_payment": _OF_ITS_INVOICE,
    "billing_hostedinvoicepage": _OF_ITS_INVOICE,
    "billing_outboxmessage": _OF_THE_OFFICE,
    "billing_officeprofile": _OF_THE_OFFICE,
    "billing_parkedoffice": _OF_THE_OFFICE,
    "audit_auditentry": _OF_A_STREAM,
    "audit_streamhead": _OF_A_STREAM,
}

# Newly reached. Table: what may be read of a row.
WALLS: Mapping[str, tuple[str, str]] = {
    "billing_refund": (_OF_ITS_INVOICE, "SELECT (id, invoice_id, status, amount_cents, currency, refunded_at)"),
    "billing_creditnote": (
        _OF_ITS_INVOICE,
        "SELECT (id, invoice_id, status, amount_cents, before_payment_cents, currency, issued_at)",
    ),
    "billing_dispute": (_OF_ITS_INVOICE, "SELECT (id, invoice_id, status, amount_cents, currency, opened_at)"),
    "billing_correction": (
        _OF_ITS_INVOICE,
        "SELECT (id, invoice_id, kind, status, amount_cents, requested_at, ended_at)",
    ),
}


def _using(rows: str) -> str:
    return f"USING ((SELECT current_user <> '{ROLE}') OR {rows})"


def _statements() -> list[str]:
    made = [f"ALTER POLICY {table}_of_the_api ON {table} {_using(rows)}" for table, rows in ROWS.items()]
    for table, (rows, rights) in WALLS.items():
        made += [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_of_the_api ON {table} {_using(rows)}",
            f"GRANT {rights} ON {table} TO {ROLE}",
        ]
    return made


def _undo() -> list[str]:
    """Close the new tables; the older policies go with 0014, which drops them by name."""
    undone = [f"REVOKE ALL ON {', '.join(WALLS)} FROM {ROLE}"]
    for table in WALLS:
        undone += [
            f"DROP POLICY {table}_of_the_api ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ]
    return undone


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_staff_access")]

    operations = [
        database_rule(postgresql=_statements(), undo_postgresql=_undo(), sqlite=[], undo_sqlite=[]),
    ]
