"""What was asked for is what is done: a correction, its message and the link of a replacement never change."""

from django.db import migrations

from audit.database_rules import database_rule

_ABORT = "BEGIN SELECT RAISE(ABORT, '{rule}'); END"

# Table, rule, columns that may not change, and since when.
_FROZEN = [
    (
        "billing_correction",
        "correction_frozen",
        ("invoice_id", "kind", "reason", "amount_cents", "payback", "invoice_version", "requested_by", "requested_at"),
        "TRUE",
    ),
    ("billing_correction", "correction_decided_once", ("decided_by", "decided_at"), "OLD.decided_at IS NOT NULL"),
    ("billing_outboxmessage", "outbox_correction_frozen", ("correction_id",), "TRUE"),
    ("billing_invoice", "invoice_replaces_frozen", ("replaces_id",), "TRUE"),
    ("billing_droppedline", "dropped_line_frozen", ("correction_id", "line_item_id"), "TRUE"),
]
_KEPT = [
    ("billing_correction", "correction_kept"),
    ("billing_droppedline", "dropped_line_kept"),
    ("billing_creditnote", "credit_note_kept"),
    ("billing_refund", "refund_kept"),
    ("billing_dispute", "dispute_kept"),
]


def _postgresql() -> list[str]:
    frozen = [
        f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({since} AND ("
        + " OR ".join(f'OLD."{column}" IS DISTINCT FROM NEW."{column}"' for column in columns)
        + f")) EXECUTE FUNCTION refuse_change('{rule}')"
        for table, rule, columns, since in _FROZEN
    ]
    kept = [
        f"CREATE TRIGGER {rule} BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change('{rule}')"
        for table, rule in _KEPT
    ]
    return frozen + kept


def _sqlite() -> list[str]:
    frozen = [
        f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} WHEN {since} AND ("
        + " OR ".join(f'OLD."{column}" IS NOT NEW."{column}"' for column in columns)
        + ") "
        + _ABORT.format(rule=rule)
        for table, rule, columns, since in _FROZEN
    ]
    kept = [f"CREATE TRIGGER {rule} BEFORE DELETE ON {table} " + _ABORT.format(rule=rule) for table, rule in _KEPT]
    return frozen + kept


_RULES = [(table, rule) for table, rule, *_more in _FROZEN] + _KEPT


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_money_states")]

    operations = [
        database_rule(
            postgresql=_postgresql(),
            undo_postgresql=[f"DROP TRIGGER {rule} ON {table}" for table, rule in _RULES],
            sqlite=_sqlite(),
            undo_sqlite=[f"DROP TRIGGER {rule}" for _table, rule in _RULES],
        )
    ]
