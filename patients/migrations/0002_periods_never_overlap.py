"""Activity periods of a patient never overlap; periods that touch may (decisions.md 3)."""

from django.db import migrations

from audit.database_rules import database_rule

_SQLITE_OVERLAP = """
    CREATE TRIGGER activity_period_never_overlaps_{event} BEFORE {event} ON patients_activityperiod
    WHEN EXISTS (
        SELECT 1 FROM patients_activityperiod other
        WHERE other.patient_id = NEW.patient_id AND other.id IS NOT NEW.id
          AND (NEW.deactivated_at IS NULL OR other.activated_at < NEW.deactivated_at)
          AND (other.deactivated_at IS NULL OR other.deactivated_at > NEW.activated_at)
    )
    BEGIN SELECT RAISE(ABORT, 'activity_period_never_overlaps'); END
"""


class Migration(migrations.Migration):
    dependencies = [("patients", "0001_initial"), ("audit", "0002_append_only")]

    operations = [
        database_rule(
            postgresql=[
                "CREATE EXTENSION IF NOT EXISTS btree_gist",
                """
                ALTER TABLE patients_activityperiod ADD CONSTRAINT activity_period_never_overlaps
                EXCLUDE USING gist (patient_id WITH =, tstzrange(activated_at, deactivated_at) WITH &&)
                """,
            ],
            undo_postgresql=["ALTER TABLE patients_activityperiod DROP CONSTRAINT activity_period_never_overlaps"],
            sqlite=[_SQLITE_OVERLAP.format(event=event) for event in ("INSERT", "UPDATE")],
            undo_sqlite=[f"DROP TRIGGER activity_period_never_overlaps_{event}" for event in ("INSERT", "UPDATE")],
        )
    ]
