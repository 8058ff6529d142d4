"""The statements of `hand_sql`, in the order in which a chunk runs them."""

OFFICES = "SELECT id FROM offices_office WHERE parked_at IS NULL ORDER BY id"

LOCK = "SELECT id FROM offices_office WHERE id = ANY(%(offices)s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"

# Cycle k starts k months after the anchor; PostgreSQL clamps to the month's last day just as the rule does.
OPEN_CYCLES = """
WITH place AS (
    SELECT o.id AS office_id, o.reference, o.currency, o.billing_cycle_anchor_date AS anchor, z.timezone AS zone,
           p.plan_id, s.status, last.index AS last_index, last.end_at AS last_end_at,
           (%(as_of)s AT TIME ZONE z.timezone)::date AS today
    FROM offices_office o
    CROSS JOIN LATERAL (SELECT timezone FROM offices_officezone WHERE office_id = o.id AND effective_at <= %(as_of)s
                        ORDER BY effective_at DESC LIMIT 1) z
    CROSS JOIN LATERAL (SELECT plan_id FROM offices_officeplan WHERE office_id = o.id AND effective_at <= %(as_of)s
                        ORDER BY effective_at DESC LIMIT 1) p
    CROSS JOIN LATERAL (SELECT status FROM offices_officestatuschange WHERE office_id = o.id
                        AND effective_at <= %(as_of)s ORDER BY effective_at DESC LIMIT 1) s
    LEFT JOIN LATERAL (SELECT index, end_at FROM billing_billingcycle WHERE office_id = o.id
                       ORDER BY index DESC LIMIT 1) last ON true
    WHERE o.id = ANY(%(offices)s) AND s.status IN ('trialing', 'active')
), counted AS (
    SELECT *, (extract(year FROM today) - extract(year FROM anchor)) * 12
              + extract(month FROM today) - extract(month FROM anchor) AS months
    FROM place
), numbered AS (
    SELECT *, coalesce(last_index + 1, (months
        - CASE WHEN (anchor + make_interval(months => months::int))::date > today THEN 1 ELSE 0 END)::int) AS index
    FROM counted
), dated AS (
    SELECT *, (anchor + make_interval(months => index))::date AS start_date,
              (anchor + make_interval(months => index + 1))::date AS end_date
    FROM numbered
), priced AS (
    SELECT d.*, coalesce(last_end_at, start_date::timestamp AT TIME ZONE zone) AS start_at,
           end_date::timestamp AT TIME ZONE zone AS end_at, v.id AS version_id, own.id AS override_id,
           CASE WHEN status = 'trialing' THEN 0 ELSE coalesce(own.unit_price_cents, v.unit_price_cents) END AS cents
    FROM dated d
    CROSS JOIN LATERAL (SELECT id, unit_price_cents FROM offices_planprice WHERE plan_id = d.plan_id
                        AND effective_on <= d.start_date ORDER BY effective_on DESC LIMIT 1) v
    LEFT JOIN LATERAL (SELECT id, unit_price_cents FROM offices_priceoverride WHERE office_id = d.office_id
                       AND starts_on <= d.start_date AND ends_on > d.start_date
                       ORDER BY created_at DESC, id DESC LIMIT 1) own ON true
), opened AS (
    INSERT INTO billing_billingcycle (office_id, index, key, start_date, end_date, start_at, end_at, zone, status,
        plan_id, price_version_id, price_override_id, unit_price_cents, opened_at)
    SELECT office_id, index, to_char(start_date, 'YYYY-MM'), start_date, end_date, start_at, end_at, zone, status,
        plan_id, version_id, override_id, cents, %(now)s FROM priced WHERE start_at <= %(as_of)s
    RETURNING id, office_id, index, key, start_at, end_at, zone, status, plan_id, unit_price_cents
), drafts AS (
    INSERT INTO billing_invoice (id, office_id, cycle_id, invoice_type, status, origin, currency, collection_method,
        settlement_reason, charge_reason, internal_note, version, attempt_count, overpaid_cents, created_at, updated_at)
    SELECT gen_random_uuid(), office_id, id, 'monthly', 'draft', 'live', currency, '', '', '', %(empty_note)s, 0, 0, 0,
        %(now)s, %(now)s FROM opened JOIN place USING (office_id)
    RETURNING id, cycle_id
), firsts AS (
    UPDATE offices_office o SET first_cycle_opened_at = %(now)s FROM place
    WHERE o.id = place.office_id AND place.last_index IS NULL
)
SELECT reference, key, opened.index, start_at, end_at, opened.zone, opened.status, opened.plan_id, unit_price_cents,
       drafts.id
FROM opened JOIN place USING (office_id) JOIN drafts ON drafts.cycle_id = opened.id
"""

DUE_CYCLES = """
SELECT id FROM billing_billingcycle
WHERE office_id = ANY(%(offices)s) AND closed_at IS NULL AND end_at <= %(as_of)s
"""

CYCLES_TO_CARRY_OVER = """
SELECT id FROM billing_billingcycle
WHERE office_id = ANY(%(offices)s) AND carried_over_at IS NULL AND start_at <= %(as_of)s
"""

# Ids are version 7 UUIDs, as the product's: time first.
INSERT_LINES = """
INSERT INTO billing_lineitem
    (id, invoice_id, item_type, cycle_key, patient_reference, quantity, unit_price_cents, live, created_at)
SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid, i.id,
    CASE WHEN bool_or(p.activated_at < c.start_at AND (p.deactivated_at IS NULL OR p.deactivated_at > c.start_at))
              OR (bool_or(p.deactivated_at = c.start_at) AND bool_or(p.activated_at = c.start_at))
         THEN 'active_patient' ELSE 'patient_activation' END,
    c.key, p.patient_id, 1, c.unit_price_cents, true, %(now)s
FROM billing_billingcycle c
JOIN billing_invoice i ON i.cycle_id = c.id AND i.invoice_type = 'monthly' AND i.status = 'draft'
JOIN patients_activityperiod p ON p.office_id = c.office_id AND p.activated_at < c.end_at
     AND (p.deactivated_at IS NULL OR p.deactivated_at >= c.start_at)
WHERE c.id = ANY(%(cycles)s) AND i.cycle_id = ANY(%(cycles)s) AND NOT EXISTS (
    SELECT 1 FROM billing_lineitem l WHERE l.patient_reference = p.patient_id AND l.cycle_key = c.key AND l.live)
GROUP BY i.id, c.key, c.unit_price_cents, p.patient_id
HAVING bool_or(p.deactivated_at IS NULL OR p.deactivated_at > c.start_at)
"""

MARK_CARRIED_OVER = "UPDATE billing_billingcycle SET carried_over_at = %(now)s WHERE id = ANY(%(cycles)s)"

FREEZE_INVOICES = """
WITH totals AS (
    SELECT i.id, c.key, c.status, o.reference, o.collection_method, o.days_until_due,
           coalesce(sum(l.quantity * l.unit_price_cents), 0)::bigint AS cents, count(l.id) AS lines
    FROM billing_invoice i
    JOIN billing_billingcycle c ON c.id = i.cycle_id
    JOIN offices_office o ON o.id = i.office_id
    LEFT JOIN billing_lineitem l ON l.invoice_id = i.id AND l.live
    WHERE i.cycle_id = ANY(%(cycles)s) AND i.invoice_type = 'monthly' AND i.status = 'draft'
    GROUP BY i.id, c.key, c.status, o.reference, o.collection_method, o.days_until_due
)
UPDATE billing_invoice i SET total_cents = cents, closed_at = %(now)s, updated_at = %(now)s,
    collection_method = t.collection_method, days_until_due = t.days_until_due,
    status = CASE WHEN cents = 0 THEN 'paid' ELSE 'draft' END,
    paid_at = CASE WHEN cents = 0 THEN %(now)s END,
    settlement_reason = CASE WHEN cents > 0 THEN '' WHEN t.status = 'trialing' THEN 'trial' ELSE 'nothing_due' END,
    version = CASE WHEN cents = 0 THEN 1 ELSE 0 END
FROM totals t WHERE t.id = i.id
RETURNING t.reference, i.id, t.key, i.total_cents, i.currency, i.settlement_reason, t.lines
"""

QUEUE_INVOICES = """
WITH items AS (
    SELECT l.invoice_id, l.item_type, l.unit_price_cents, sum(l.quantity) AS quantity
    FROM billing_lineitem l JOIN billing_invoice i ON i.id = l.invoice_id
    WHERE i.cycle_id = ANY(%(cycles)s) AND i.total_cents > 0 AND l.live AND l.unit_price_cents <> 0
    GROUP BY 1, 2, 3
), listed AS (
    SELECT invoice_id, string_agg(format('{"item_type":"%%s","quantity":%%s,"unit_price_cents":%%s}', item_type,
        quantity, unit_price_cents), ',' ORDER BY item_type, unit_price_cents) AS items
    FROM items GROUP BY 1
), documents AS (
    SELECT i.office_id, i.id AS invoice_id, format('{"collection_method":"%%s","currency":"%%s","cycle":"%%s",'
        '"days_until_due":%%s,"invoice":"%%s","invoice_type":"monthly","items":[%%s],"office":"%%s",'
        '"total_cents":%%s,"v":1}', i.collection_method, lower(i.currency), c.key, i.days_until_due, i.id,
        listed.items, i.office_id, i.total_cents) AS payload
    FROM listed JOIN billing_invoice i ON i.id = listed.invoice_id JOIN billing_billingcycle c ON c.id = i.cycle_id
)
INSERT INTO billing_outboxmessage (id, kind, office_id, invoice_id, payload, payload_digest, status, attempts,
    next_attempt_at, error_code, created_at)
SELECT gen_random_uuid(), 'invoice', office_id, invoice_id, payload,
    encode(sha256(convert_to(payload, 'UTF8')), 'hex'), 'pending', 0, %(now)s, '', %(now)s FROM documents
"""

QUEUE_CUSTOMERS = """
WITH documents AS (
    SELECT o.id, format('{"email":%%s,"name":"%%s","office":"%%s","v":1}', %(mailbox)s::text, o.opaque_name, o.id)
        AS payload
    FROM offices_office o JOIN billing_invoice i ON i.office_id = o.id
    WHERE i.cycle_id = ANY(%(cycles)s) AND i.total_cents > 0
      AND NOT EXISTS (SELECT 1 FROM offices_officestripeaccount a WHERE a.office_id = o.id)
      AND NOT EXISTS (SELECT 1 FROM billing_outboxmessage m WHERE m.office_id = o.id AND m.kind = 'customer')
)
INSERT INTO billing_outboxmessage (id, kind, office_id, payload, payload_digest, status, attempts, next_attempt_at,
    error_code, created_at)
SELECT gen_random_uuid(), 'customer', id, payload, encode(sha256(convert_to(payload, 'UTF8')), 'hex'), 'pending', 0,
    %(now)s, '', %(now)s FROM documents
"""

CLOSE_CYCLES = """
UPDATE billing_billingcycle c SET closed_at = %(now)s, carried_over_at = coalesce(c.carried_over_at, %(now)s),
    last_period_id = coalesce((SELECT max(id) FROM patients_activityperiod), 0),
    patient_count = (SELECT count(*) FROM billing_lineitem l JOIN billing_invoice i ON i.id = l.invoice_id
                     WHERE i.cycle_id = c.id AND l.live AND l.item_type IN ('active_patient', 'patient_activation'))
FROM offices_office o
WHERE c.id = ANY(%(cycles)s) AND o.id = c.office_id
RETURNING o.reference, c.key, c.patient_count, c.last_period_id
"""

LOCK_HEADS = """
SELECT stream, seq, digest FROM audit_streamhead WHERE stream = ANY(%(streams)s) ORDER BY stream FOR UPDATE
"""

COPY_ENTRIES = """
COPY audit_auditentry (stream, seq, at, actor, action, payload, previous, digest, mac_key, mac) FROM STDIN
"""

MOVE_HEADS = """
INSERT INTO audit_streamhead (stream, seq, digest, mac_key, mac)
SELECT stream, seq, digest, %(key)s, mac
FROM unnest(%(streams)s::text[], %(seqs)s::bigint[], %(digests)s::text[], %(macs)s::text[])
     AS t (stream, seq, digest, mac)
ON CONFLICT (stream) DO UPDATE
SET seq = excluded.seq, digest = excluded.digest, mac_key = excluded.mac_key, mac = excluded.mac
"""
