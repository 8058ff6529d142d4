"""Did both sides make the same rows? One fingerprint for each table, of everything but random ids."""

from typing import Any

from psycopg import Connection

# For each table: what makes a row what it is. Random ids are written as the office and the month that they stand for;
# digests over random ids cannot agree, so they are checked against their own row.
_ROWS = {
    "cycles": """
        SELECT c.office_id, c.index, c.key, c.start_at, c.end_at, c.zone, c.status, c.plan_id, c.price_version_id,
               c.price_override_id, c.unit_price_cents, c.carried_over_at, c.closed_at, c.last_period_id,
               c.patient_count
        FROM billing_billingcycle c""",
    "invoices": """
        SELECT i.office_id, c.key, i.invoice_type, i.status, i.origin, i.currency, i.total_cents,
               i.collection_method, i.days_until_due, i.settlement_reason, i.version, i.closed_at, i.paid_at
        FROM billing_invoice i LEFT JOIN billing_billingcycle c ON c.id = i.cycle_id""",
    "lines": """
        SELECT i.office_id, i.cycle_id, l.item_type, l.cycle_key, l.patient_reference, l.quantity,
               l.unit_price_cents, l.live, l.created_at
        FROM billing_lineitem l JOIN (SELECT i.id, i.office_id, c.key AS cycle_id FROM billing_invoice i
             JOIN billing_billingcycle c ON c.id = i.cycle_id) i ON i.id = l.invoice_id""",
    "messages": """
        SELECT m.kind, m.office_id, m.status, m.next_attempt_at, replace(m.payload, m.invoice_id::text, ''),
               m.payload_digest = encode(sha256(convert_to(m.payload, 'UTF8')), 'hex')
        FROM billing_outboxmessage m""",
    "audit entries": r"""
        SELECT e.stream, e.seq, e.at, e.actor, e.action,
               regexp_replace(e.payload, '"invoice":"[^"]*"', ''), length(e.digest), length(e.mac)
        FROM audit_auditentry e""",
    "offices": "SELECT o.id, o.first_cycle_opened_at, o.parked_at FROM offices_office o",
}


def fingerprint(connection: Connection[Any]) -> dict[str, tuple[int, int]]:
    """Return for each table the number of its rows and the sum of their hashes, whatever their order."""
    found = {}
    for table, rows in _ROWS.items():
        query = f"SELECT count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) FROM ({rows}) r"
        count, digest = connection.execute(query).fetchone()
        found[table] = (int(count), int(digest))
    return found


def billed_cents(connection: Connection[Any]) -> int:
    """Return the sum of all frozen totals."""
    return int(connection.execute("SELECT coalesce(sum(total_cents), 0) FROM billing_invoice").fetchone()[0])
