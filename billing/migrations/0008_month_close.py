"""Months that two people signed, and the triggers that lock them (decisions.md 41)."""

from django.db import migrations, models

from audit.database_rules import database_rule

_POSTGRESQL = [
    """
    CREATE FUNCTION month_locked() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE locked_key text;
    BEGIN
        IF TG_TABLE_NAME = 'billing_billingcycle' THEN
            locked_key := COALESCE(NEW.key, OLD.key);
        ELSE
            SELECT c.key INTO locked_key FROM billing_billingcycle c WHERE c.id = NEW.cycle_id;
        END IF;
        IF EXISTS (SELECT 1 FROM billing_monthclose WHERE key = locked_key AND locked_at IS NOT NULL) THEN
            RAISE EXCEPTION 'month_locked' USING ERRCODE = 'check_violation', CONSTRAINT = 'month_locked';
        END IF;
        RETURN COALESCE(NEW, OLD);
    END $$
    """,
    "CREATE TRIGGER month_locked_cycle BEFORE INSERT OR UPDATE OR DELETE ON billing_billingcycle "
    "FOR EACH ROW EXECUTE FUNCTION month_locked()",
    "CREATE TRIGGER month_locked_invoice BEFORE INSERT ON billing_invoice "
    "FOR EACH ROW WHEN (NEW.cycle_id IS NOT NULL) EXECUTE FUNCTION month_locked()",
    "CREATE TRIGGER month_locked_cancel BEFORE UPDATE ON billing_invoice FOR EACH ROW "
    "WHEN (NEW.cycle_id IS NOT NULL AND NEW.status = 'canceled' AND OLD.status <> 'canceled') "
    "EXECUTE FUNCTION month_locked()",
    "CREATE TRIGGER month_close_frozen BEFORE UPDATE OR DELETE ON billing_monthclose FOR EACH ROW "
    "WHEN (OLD.locked_at IS NOT NULL) EXECUTE FUNCTION refuse_change('month_close_frozen')",
]
_ABORT = "BEGIN SELECT RAISE(ABORT, '{rule}'); END"
_LOCKED = "EXISTS (SELECT 1 FROM billing_monthclose WHERE key = {key} AND locked_at IS NOT NULL)"
_KEY_OF_CYCLE = "(SELECT key FROM billing_billingcycle WHERE id = NEW.cycle_id)"
_LOCK_ABORT = _ABORT.format(rule="month_locked")
_SQLITE = [
    *(
        f"CREATE TRIGGER month_locked_cycle_{event.lower()} BEFORE {event} ON billing_billingcycle "
        f"WHEN {_LOCKED.format(key=f'{row}.key')} {_LOCK_ABORT}"
        for event, row in (("INSERT", "NEW"), ("UPDATE", "OLD"), ("DELETE", "OLD"))
    ),
    f"CREATE TRIGGER month_locked_invoice BEFORE INSERT ON billing_invoice "
    f"WHEN {_LOCKED.format(key=_KEY_OF_CYCLE)} {_LOCK_ABORT}",
    "CREATE TRIGGER month_locked_cancel BEFORE UPDATE ON billing_invoice "
    f"WHEN NEW.status = 'canceled' AND OLD.status <> 'canceled' AND {_LOCKED.format(key=_KEY_OF_CYCLE)} {_LOCK_ABORT}",
    *(
        f"CREATE TRIGGER month_close_frozen_{event.lower()} BEFORE {event} ON billing_monthclose "
        f"WHEN OLD.locked_at IS NOT NULL {_ABORT.format(rule='month_close_frozen')}"
        for event in ("UPDATE", "DELETE")
    ),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_corrections_frozen")]

    operations = [
        migrations.CreateModel(
            name="MonthClose",
            fields=[
                ("key", models.CharField(max_length=7, primary_key=True, serialize=False)),
                ("first_signed_by", models.CharField(max_length=100)),
                ("first_signed_at", models.DateTimeField()),
                ("second_signed_by", models.CharField(blank=True, max_length=100)),
                ("locked_at", models.DateTimeField(blank=True, null=True)),
                ("signed", models.TextField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("key__regex", "^[0-9]{4}-(0[1-9]|1[0-2])$")),
                        name="month_close_key_is_a_month",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("locked_at__isnull", True), ("second_signed_by", "")),
                            models.Q(models.Q(("second_signed_by", ""), _negated=True), ("locked_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="month_close_locked_with_the_second_signature",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("second_signed_by", models.F("first_signed_by")), _negated=True),
                        name="month_close_signed_by_two_people",
                    ),
                ]
            },
        ),
        database_rule(
            postgresql=_POSTGRESQL,
            undo_postgresql=[
                "DROP TRIGGER month_locked_cycle ON billing_billingcycle",
                "DROP TRIGGER month_locked_invoice ON billing_invoice",
                "DROP TRIGGER month_locked_cancel ON billing_invoice",
                "DROP TRIGGER month_close_frozen ON billing_monthclose",
                "DROP FUNCTION month_locked()",
            ],
            sqlite=_SQLITE,
            undo_sqlite=[
                "DROP TRIGGER month_locked_cycle_insert",
                "DROP TRIGGER month_locked_cycle_update",
                "DROP TRIGGER month_locked_cycle_delete",
                "DROP TRIGGER month_locked_invoice",
                "DROP TRIGGER month_locked_cancel",
                "DROP TRIGGER month_close_frozen_update",
                "DROP TRIGGER month_close_frozen_delete",
            ],
        ),
    ]
