"""Large books for the console's benchmark, written by the database itself: a million invoices take minutes.

Shapes and numbers are as in real books; chains, digests and sealed texts are not: the pages that read those are not
measured on these rows. Triggers are off while it writes, and the indexes of the lines are made afterwards.
"""

import time
from dataclasses import dataclass

import psycopg

# Ids are numbers in the shape of a UUID of version 4; the digit after "8" says of what.
_ID = "('00000000-0000-4000-8{kind}00-' || lpad(to_hex({number}), 12, '0'))::uuid"


def row_id(kind: int, number: int) -> str:
    """Return the id of this number: of an office 1, invoice 2, patient 3, line 4, message 5, run 6, difference 7."""
    return f"00000000-0000-4000-8{kind}00-{number:012x}"


def _id(kind: int, number: str) -> str:
    return _ID.format(kind=kind, number=f"({number})::bigint")


@dataclass(frozen=True, slots=True)
class BooksSize:
    """How many offices, how many months of each, and how many lines of each month's invoice."""

    offices: int
    cycles: int
    lines: int

    @property
    def invoices(self) -> int:
        """One a month and office."""
        return self.offices * self.cycles


def statements(size: BooksSize) -> list[tuple[str, str]]:
    """Return what is written: a name for each, and its SQL. `n` numbers invoices, office by office, oldest first."""
    n, cycles, lines = size.invoices, size.cycles, size.lines
    # The last month is open; of the others one in forty is unpaid or failed, one in a hundred canceled.
    office, back = f"((n - 1) / {cycles} + 1)", f"({cycles} - (n - 1) % {cycles} - 1)"
    start = f"(date_trunc('month', now(), 'UTC') - make_interval(months => {back}::int))"
    end = f"(date_trunc('month', now(), 'UTC') - make_interval(months => {back}::int - 1))"
    status = f"""CASE WHEN {back} = 0 THEN 'draft' WHEN n % 100 = 3 THEN 'canceled' WHEN n % 80 = 5 THEN 'sent'
        WHEN n % 80 = 7 THEN 'failed' ELSE 'paid' END"""
    closed = f"CASE WHEN {back} > 0 THEN {end} END"
    # Month by month, as real books grow; the database keeps rows in the order in which they were written.
    of_all = f"""(SELECT g + 1 AS at, g % {size.offices} * {cycles} + g / {size.offices} + 1 AS n
        FROM generate_series(0, {n} - 1) AS g) AS numbers"""
    month = f"to_char({start} AT TIME ZONE 'UTC', 'YYYY-MM')"
    return [
        (
            "offices",
            f"""INSERT INTO offices_office (id, reference, name, billing_email, opaque_name,
            billing_cycle_anchor_date,
                collection_method, days_until_due, currency, created_at, first_cycle_opened_at)
            SELECT {_id(1, "g")}, 'office-' || lpad(g::text, 6, '0'), 'Practice ' || g, '', 'Office ' || g,
            '2018-01-01',
                'send_invoice', 30, 'USD', now() - interval '9 years', now() - interval '9 years'
            FROM generate_series(1, {size.offices}) AS g""",
        ),
        (
            "statuses",
            f"""INSERT INTO offices_officestatuschange (office_id, status, effective_at)
            SELECT {_id(1, "g")}, 'active', '2000-01-01' FROM generate_series(1, {size.offices}) AS g""",
        ),
        (
            "patients",
            f"""INSERT INTO patients_patient (reference, created_at, office_id)
            SELECT {_id(3, "g")}, now() - interval '9 years', {_id(1, f"(g - 1) / {lines} + 1")}
            FROM generate_series(1, {size.offices * lines}) AS g""",
        ),
        (
            "periods",
            f"""INSERT INTO patients_activityperiod (activated_at, office_id, patient_id)
            SELECT now() - interval '9 years', {_id(1, f"(g - 1) / {lines} + 1")}, {_id(3, "g")}
            FROM generate_series(1, {size.offices * lines}) AS g""",
        ),
        (
            "cycles",
            f"""INSERT INTO billing_billingcycle (id, index, key, start_date, end_date, start_at, end_at, zone, status,
                unit_price_cents, opened_at, carried_over_at, closed_at, last_period_id, patient_count, office_id,
                plan_id, price_version_id)
            SELECT at, {cycles} - {back}, {month}, {start}::date, {end}::date, {start}, {end}, 'UTC', 'active', 200,
            {start},
                {start}, {closed}, CASE WHEN {back} > 0 THEN 1 END, CASE WHEN {back} > 0 THEN {lines} END,
                {_id(1, office)}, (SELECT min(id) FROM offices_plan), (SELECT min(id) FROM offices_planprice)
            FROM {of_all}""",
        ),
        (
            "invoices",
            f"""INSERT INTO billing_invoice (id, invoice_type, status, origin, currency, total_cents,
            collection_method,
                days_until_due, settlement_reason, charge_reason, internal_note, stripe_invoice_id, version,
                attempt_count, created_at, updated_at, closed_at, sent_at, due_at, paid_at, failed_at, canceled_at,
                cycle_id, office_id, overpaid_cents)
            SELECT {_id(2, "n")}, 'monthly', made.status, 'live', 'USD', CASE WHEN b > 0 THEN {200 * lines} END,
                'send_invoice', 30, '', '', '', CASE WHEN b > 0 THEN 'in_' || n END, 1, 0,
                s + n % 600 * interval '1 s', s,
                c, c, c + interval '30 days', CASE WHEN made.status = 'paid' THEN c + interval '9 days' END,
                CASE WHEN made.status = 'failed' THEN c + interval '31 days' END,
                CASE WHEN made.status = 'canceled' THEN c + interval '3 days' END, at, office, 0
            FROM (SELECT at, n, {status} AS status, {back} AS b, {start} AS s, {closed} AS c,
                {_id(1, office)} AS office FROM {of_all}) AS made""",
        ),
        (
            "lines",
            f"""INSERT INTO billing_lineitem (id, item_type, cycle_key, patient_reference, quantity, unit_price_cents,
                live, created_at, invoice_id)
            SELECT {_id(4, f"(n - 1) * {lines} + l")}, 'active_patient', {month},
                {_id(3, f"((n - 1) / {cycles}) * {lines} + l")}, 1, 200, {status} <> 'canceled', {start}, {_id(2, "n")}
            FROM {of_all}, generate_series(1, {lines}) AS l""",
        ),
        (
            "payments",
            f"""INSERT INTO billing_payment (stripe_payment_id, payment_intent_id, charge_id, status,
                amount_requested_cents, amount_paid_cents, currency, paid_at, recorded_at, invoice_id, channel,
                processing)
            SELECT 'inpay_' || n, 'pi_' || n, 'ch_' || n, 'paid', {200 * lines}, {200 * lines}, 'USD',
                {end} + interval '9 days', {end} + interval '9 days', {_id(2, "n")}, 'stripe', false
            FROM {of_all} WHERE {status} = 'paid'""",
        ),
        (
            "messages",
            f"""INSERT INTO billing_outboxmessage (id, kind, payload, payload_digest, status, attempts,
            next_attempt_at,
                error_code, created_at, done_at, invoice_id, office_id)
            SELECT {_id(5, "n")}, 'invoice', '', '', 'done', 1, {end}, '', {end}, {end}, {_id(2, "n")}, {_id(1, office)}
            FROM {of_all} WHERE {back} > 0""",
        ),
        (
            "events",
            f"""INSERT INTO billing_stripeevent (event_id, event_type, object_id, created, api_version, livemode,
            digest,
                received_at, status, attempts, next_attempt_at, processed_at, error_code)
            SELECT 'evt_' || n, 'invoice.paid', 'in_' || n, {end}, '2026-06-24', false, '', {end}, 'done', 1, {end},
            {end},
                '' FROM {of_all} WHERE {status} = 'paid'""",
        ),
        (
            "a comparison",
            f"""INSERT INTO billing_reconciliationrun (id, actor, cycle_key, window_from, window_until, phase, cursor,
                started_at, finished_at, invoices_seen, found, repaired, dry_run, advanced_at, balances, compared,
                stopped, total)
            VALUES ('{row_id(6, 1)}', 'system:beat', '', now() - interval '9 years', now(), 'done', '', now(), now(),
                {n}, 0, 0, false, now(), '', {n}, '', {n})""",
        ),
        (
            "invoices at Stripe",
            f"""INSERT INTO billing_stripeinvoicecopy (stripe_invoice_id, own_invoice_id, own_cycle_key, own_kind,
                customer_index, status, currency, total_cents, amount_paid_cents, amount_remaining_cents,
                overpaid_cents,
                credited_cents, attempt_count, finalization_failed, unreadable_field, foreign_fields, foreign_codes,
                created, finalized_at, paid_at, voided_at, lines, seen_at, run_id)
            SELECT 'in_' || n, {_id(2, "n")}, {month}, 'monthly', '', CASE {status} WHEN 'canceled' THEN 'void'
                WHEN 'paid' THEN 'paid' ELSE 'open' END, 'USD', {200 * lines},
                CASE WHEN {status} = 'paid' THEN {200 * lines} ELSE 0 END,
                CASE WHEN {status} = 'paid' THEN 0 ELSE {200 * lines} END, 0, 0, 0, false, '', '', '', {end}, {end},
                CASE WHEN {status} = 'paid' THEN {end} + interval '9 days' END,
                CASE WHEN {status} = 'canceled' THEN {end} + interval '3 days' END, '[]', now(), '{row_id(6, 1)}'
            FROM {of_all} WHERE {back} > 0""",
        ),
        (
            "payments at Stripe",
            f"""INSERT INTO billing_stripemoneycopy (stripe_id, kind, stripe_invoice_id, payment_intent_id,
            customer_index,
                status, amount_cents, before_payment_cents, out_of_band_cents, has_foreign_text, unreadable_field,
                moved_at, seen_at, run_id)
            SELECT 'inpay_' || n, 'payment', 'in_' || n, 'pi_' || n, '', 'paid', {200 * lines}, 0, 0, false, '',
                {end} + interval '9 days', now(), '{row_id(6, 1)}' FROM {of_all} WHERE {status} = 'paid'""",
        ),
        (
            "differences",
            f"""INSERT INTO billing_discrepancy (id, kind, status, subject, cycle_key, amount_cents, ours, theirs,
            repair,
                found_at, last_seen_at, owner, note, ended_at, ended_by, invoice_id, office_id, run_id)
            SELECT {_id(7, "n")}, 'paid_there', CASE WHEN n % 10000 = 1 THEN 'open' ELSE 'repaired' END,
                'invoice:' || n, {month}, {200 * lines}, '{{"status": "sent"}}', '{{"status": "paid"}}', 'pull',
                {end}, {end},
                '', '', CASE WHEN n % 10000 = 1 THEN NULL ELSE now() END,
                CASE WHEN n % 10000 = 1 THEN '' ELSE 'system:beat' END, {_id(2, "n")}, {_id(1, office)}, '{
                row_id(6, 1)
            }'
            FROM {of_all} WHERE n % 50 = 1 AND {back} > 0""",
        ),
        (
            "the audit trail",
            f"""INSERT INTO audit_auditentry (stream, seq, at, actor, action, payload, previous, digest, mac_key, mac)
            SELECT 'office:office-' || lpad({office}::text, 6, '0'), n, {end}, 'system:beat', 'invoice.closed',
                '{{}}', md5((n - 1)::text), md5(n::text), '', '' FROM {of_all}""",
        ),
    ]


# What is enough to measure lists of invoices and lines, the first page and the close of a month.
LEAN = (
    "offices",
    "statuses",
    "patients",
    "periods",
    "cycles",
    "invoices",
    "lines",
    "payments",
    "a comparison",
    "differences",
)


def write(connection: psycopg.Connection, size: BooksSize, *, lean: bool) -> None:
    """Write it all, or with `lean` the parts named above, and say how long each took."""
    connection.execute("SET session_replication_role = replica")  # neither triggers nor foreign keys
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("SET synchronous_commit = off")
    indexes = _set_aside(connection)
    for name, statement in statements(size):
        if name in LEAN or not lean:
            _timed(name, lambda statement=statement: connection.execute(statement))
    for definition in indexes:
        _timed(definition.split(" USING ")[0], lambda definition=definition: connection.execute(definition))
    _timed("vacuum", lambda: connection.execute("VACUUM ANALYZE"))


def _set_aside(connection: psycopg.Connection) -> list[str]:
    """Drop what slows the writing of millions of rows; return how it is made again, in a tenth of the time.

    Exclusion constraints stay away: these rows keep to them, and no page reads their indexes.
    """
    tables = (
        "('billing_lineitem', 'billing_billingcycle', 'billing_invoice', 'billing_payment', 'patients_activityperiod')"
    )
    constraints = connection.execute(
        f"""SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype IN ('u', 'x') AND conrelid::regclass::text IN {tables}"""
    ).fetchall()
    again = [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
        for table, name, kind, definition in constraints
        if kind in {"u", b"u"}
    ]
    for table, name, _kind, _definition in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.execute(
        f"""SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid::regclass::text IN {tables} AND NOT indisprimary"""
    ).fetchall()
    for name, _definition in indexes:
        connection.execute(f"DROP INDEX {name}")
    return [*(definition for _name, definition in indexes), *again]


def _timed(name, do) -> None:
    started = time.monotonic()
    do()
    print(f"  {name}: {time.monotonic() - started:.0f} s", flush=True)
