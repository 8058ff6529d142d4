"""What is frozen stays frozen, in the database: lines and totals after close, a cycle's terms, an outbox payload.

On PostgreSQL the line rule looks at whole statements (transition tables): a row trigger would cost seconds in a
month end of a million lines.
"""

from django.db import migrations

from audit.database_rules import database_rule

_LINES_POSTGRESQL = [
    """
    CREATE FUNCTION line_item_frozen_after_close() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE broken boolean;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            SELECT EXISTS (
                SELECT 1 FROM (SELECT DISTINCT invoice_id FROM new_lines) n
                JOIN billing_invoice i ON i.id = n.invoice_id WHERE i.closed_at IS NOT NULL
            ) INTO broken;
        ELSIF TG_OP = 'DELETE' THEN
            SELECT EXISTS (
                SELECT 1 FROM old_lines o JOIN billing_invoice i ON i.id = o.invoice_id WHERE i.closed_at IS NOT NULL
            ) INTO broken;
        ELSE
            -- Only `live` may fall, and only when the invoice is canceled (decisions.md 15).
            SELECT EXISTS (
                SELECT 1 FROM old_lines o
                JOIN billing_invoice i ON i.id = o.invoice_id AND i.closed_at IS NOT NULL
                LEFT JOIN new_lines n ON n.id = o.id
                WHERE n.id IS NULL OR NOT (
                    i.status = 'canceled' AND NOT n.live
                    AND (to_jsonb(n) - 'live') = (to_jsonb(o) - 'live')
                )
            ) OR EXISTS (
                SELECT 1 FROM new_lines n
                JOIN billing_invoice i ON i.id = n.invoice_id AND i.closed_at IS NOT NULL
                WHERE NOT EXISTS (SELECT 1 FROM old_lines o WHERE o.id = n.id AND o.invoice_id = n.invoice_id)
            ) INTO broken;
        END IF;
        IF broken THEN
            RAISE EXCEPTION 'line_item_frozen_after_close'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'line_item_frozen_after_close';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER line_item_frozen_insert AFTER INSERT ON billing_lineitem
    REFERENCING NEW TABLE AS new_lines FOR EACH STATEMENT EXECUTE FUNCTION line_item_frozen_after_close()
    """,
    """
    CREATE TRIGGER line_item_frozen_update AFTER UPDATE ON billing_lineitem
    REFERENCING OLD TABLE AS old_lines NEW TABLE AS new_lines
    FOR EACH STATEMENT EXECUTE FUNCTION line_item_frozen_after_close()
    """,
    """
    CREATE TRIGGER line_item_frozen_delete AFTER DELETE ON billing_lineitem
    REFERENCING OLD TABLE AS old_lines FOR EACH STATEMENT EXECUTE FUNCTION line_item_frozen_after_close()
    """,
    """
    CREATE TRIGGER line_item_frozen_truncate BEFORE TRUNCATE ON billing_lineitem
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('line_item_frozen_after_close')
    """,
]

_CLOSED = "(SELECT closed_at FROM billing_invoice WHERE id = {row}.invoice_id) IS NOT NULL"
_ABORT = "BEGIN SELECT RAISE(ABORT, '{rule}'); END"
_LINE_COLUMNS = (
    "id", "invoice_id", "item_type", "cycle_key", "patient_reference", "quantity", "unit_price_cents", "created_at",
)  # fmt: skip

_LINES_SQLITE = [
    f"CREATE TRIGGER line_item_frozen_insert BEFORE INSERT ON billing_lineitem WHEN {_CLOSED.format(row='NEW')} "
    + _ABORT.format(rule="line_item_frozen_after_close"),
    f"CREATE TRIGGER line_item_frozen_delete BEFORE DELETE ON billing_lineitem WHEN {_CLOSED.format(row='OLD')} "
    + _ABORT.format(rule="line_item_frozen_after_close"),
    f"CREATE TRIGGER line_item_frozen_update BEFORE UPDATE ON billing_lineitem WHEN "
    f"({_CLOSED.format(row='OLD')} OR {_CLOSED.format(row='NEW')}) AND NOT ("
    "(SELECT status FROM billing_invoice WHERE id = OLD.invoice_id) = 'canceled' AND NOT NEW.live AND "
    + " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _LINE_COLUMNS)
    + ") "
    + _ABORT.format(rule="line_item_frozen_after_close"),
]

# Table, rule, columns that may not change, and since when.
_FROZEN_COLUMNS = [
    (
        "billing_invoice",
        "invoice_frozen_after_close",
        ("office_id", "cycle_id", "invoice_type", "origin", "currency", "total_cents", "closed_at"),
        "OLD.closed_at IS NOT NULL",
    ),
    (
        "billing_billingcycle",
        "billing_cycle_terms_frozen",
        ("office_id", "index", "key", "start_date", "end_date", "start_at", "end_at", "zone", "status", "plan_id",
         "price_version_id", "price_override_id", "unit_price_cents"),
        "TRUE",
    ),
    (
        "billing_outboxmessage",
        "outbox_payload_frozen",
        ("kind", "office_id", "invoice_id", "payload", "payload_digest", "created_at"),
        "TRUE",
    ),
]  # fmt: skip


def _frozen_columns() -> tuple[list[str], list[str], list[str], list[str]]:
    postgresql, undo_postgresql, sqlite, undo_sqlite = [], [], [], []
    for table, rule, columns, since in _FROZEN_COLUMNS:
        changed = {
            "postgresql": " OR ".join(f'OLD."{column}" IS DISTINCT FROM NEW."{column}"' for column in columns),
            "sqlite": " OR ".join(f'OLD."{column}" IS NOT NEW."{column}"' for column in columns),
        }
        postgresql += [
            f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({since} AND ({changed['postgresql']})) EXECUTE FUNCTION refuse_change('{rule}')",
        ]
        undo_postgresql += [f"DROP TRIGGER {rule} ON {table}"]
        sqlite += [
            f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} WHEN {since} AND ({changed['sqlite']}) "
            + _ABORT.format(rule=rule)
        ]
        undo_sqlite += [f"DROP TRIGGER {rule}"]
    return postgresql, undo_postgresql, sqlite, undo_sqlite


_POSTGRESQL, _UNDO_POSTGRESQL, _SQLITE, _UNDO_SQLITE = _frozen_columns()

_NEVER_DELETED_POSTGRESQL = """
    CREATE TRIGGER {rule} BEFORE DELETE ON {table} FOR EACH ROW WHEN ({since})
    EXECUTE FUNCTION refuse_change('{rule}')
"""
_DELETES = [
    ("billing_invoice", "invoice_kept_after_close", "OLD.closed_at IS NOT NULL"),
    ("billing_billingcycle", "billing_cycle_kept_after_close", "OLD.closed_at IS NOT NULL"),
    ("billing_outboxmessage", "outbox_message_kept", "OLD.created_at IS NOT NULL"),
    ("billing_outboundrequest", "outbound_request_kept", "OLD.sent_at IS NOT NULL"),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("audit", "0002_append_only")]

    operations = [
        database_rule(
            postgresql=_LINES_POSTGRESQL,
            undo_postgresql=[
                *(
                    f"DROP TRIGGER line_item_frozen_{event} ON billing_lineitem"
                    for event in ("insert", "update", "delete", "truncate")
                ),
                "DROP FUNCTION line_item_frozen_after_close()",
            ],
            sqlite=_LINES_SQLITE,
            undo_sqlite=[f"DROP TRIGGER line_item_frozen_{event}" for event in ("insert", "update", "delete")],
        ),
        database_rule(
            postgresql=_POSTGRESQL,
            undo_postgresql=_UNDO_POSTGRESQL,
            sqlite=_SQLITE,
            undo_sqlite=_UNDO_SQLITE,
        ),
        database_rule(
            postgresql=[_NEVER_DELETED_POSTGRESQL.format(table=t, rule=r, since=s) for t, r, s in _DELETES],
            undo_postgresql=[f"DROP TRIGGER {rule} ON {table}" for table, rule, _since in _DELETES],
            sqlite=[
                f"CREATE TRIGGER {rule} BEFORE DELETE ON {table} WHEN {since} " + _ABORT.format(rule=rule)
                for table, rule, since in _DELETES
            ],
            undo_sqlite=[f"DROP TRIGGER {rule}" for _table, rule, _since in _DELETES],
        ),
    ]
