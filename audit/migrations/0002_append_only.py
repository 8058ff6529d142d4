"""Audit entries are append-only on both databases (privacy.md, 164.312(c) integrity)."""

from django.db import migrations

from audit.database_rules import database_rule


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        database_rule(
            postgresql=[
                # One function for every rule that only says no; the rule's name is the trigger's argument.
                """
                CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
                END $$
                """,
                """
                CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_auditentry
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_entry_append_only')
                """,
                # ALWAYS: also when session_replication_role is set to skip triggers.
                "ALTER TABLE audit_auditentry ENABLE ALWAYS TRIGGER audit_entry_append_only",
            ],
            undo_postgresql=[
                "DROP TRIGGER audit_entry_append_only ON audit_auditentry",
                "DROP FUNCTION refuse_change()",
            ],
            sqlite=[
                f"""
                CREATE TRIGGER audit_entry_append_only_{event.lower()} BEFORE {event} ON audit_auditentry
                BEGIN SELECT RAISE(ABORT, 'audit_entry_append_only'); END
                """
                for event in ("UPDATE", "DELETE")
            ],
            undo_sqlite=[f"DROP TRIGGER audit_entry_append_only_{event}" for event in ("update", "delete")],
        )
    ]
