"""Cycles of an office never overlap (decisions.md 1)."""

from django.db import migrations

from audit.database_rules import database_rule


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_frozen_after_close"), ("patients", "0002_periods_never_overlap")]

    operations = [
        database_rule(
            postgresql=[
                """
                ALTER TABLE billing_billingcycle ADD CONSTRAINT billing_cycle_never_overlaps
                EXCLUDE USING gist (office_id WITH =, tstzrange(start_at, end_at) WITH &&)
                """
            ],
            undo_postgresql=["ALTER TABLE billing_billingcycle DROP CONSTRAINT billing_cycle_never_overlaps"],
            sqlite=[
                # Boundaries of a cycle never change (billing_cycle_terms_frozen), so inserts are all there is to check.
                """
                CREATE TRIGGER billing_cycle_never_overlaps BEFORE INSERT ON billing_billingcycle
                WHEN EXISTS (
                    SELECT 1 FROM billing_billingcycle other
                    WHERE other.office_id = NEW.office_id
                      AND other.start_at < NEW.end_at AND other.end_at > NEW.start_at
                )
                BEGIN SELECT RAISE(ABORT, 'billing_cycle_never_overlaps'); END
                """
            ],
            undo_sqlite=["DROP TRIGGER billing_cycle_never_overlaps"],
        )
    ]
