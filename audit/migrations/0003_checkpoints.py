"""Checkpoints and the heads they sealed, append-only on both databases like the entries."""

import django.db.models.deletion
from django.db import migrations, models

from audit.database_rules import database_rule

_TABLES = {"audit_checkpoint_append_only": "audit_checkpoint", "sealed_head_append_only": "audit_sealedhead"}


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("streams", models.BigIntegerField()),
                ("entries", models.BigIntegerField()),
                ("root", models.CharField(max_length=64)),
                ("previous", models.CharField(max_length=64)),
                ("digest", models.CharField(max_length=64)),
                ("public_key", models.CharField(max_length=64)),
                ("signature", models.CharField(max_length=128)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("previous",), name="audit_checkpoint_chain_never_forks"),
                    models.CheckConstraint(
                        condition=models.Q(("seq__gte", 1)), name="audit_checkpoint_positions_start_at_one"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SealedHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.BigIntegerField()),
                ("stream", models.CharField(max_length=100)),
                ("seq", models.BigIntegerField()),
                ("digest", models.CharField(max_length=64)),
                (
                    "checkpoint",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="heads",
                        to="audit.checkpoint",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("checkpoint", "place"), name="sealed_head_once_per_checkpoint"),
                    models.UniqueConstraint(fields=("stream", "seq"), name="sealed_head_once_per_position"),
                    models.CheckConstraint(
                        condition=models.Q(("place__gte", 0)), name="sealed_head_place_not_negative"
                    ),
                ],
            },
        ),
        database_rule(
            postgresql=[
                statement
                for rule, table in _TABLES.items()
                for statement in (
                    f"CREATE TRIGGER {rule} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                    f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('{rule}')",
                    # ALWAYS: also when session_replication_role is set to skip triggers.
                    f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {rule}",
                )
            ],
            undo_postgresql=[f"DROP TRIGGER {rule} ON {table}" for rule, table in _TABLES.items()],
            sqlite=[
                f"CREATE TRIGGER {rule}_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{rule}'); END"
                for rule, table in _TABLES.items()
                for event in ("UPDATE", "DELETE")
            ],
            undo_sqlite=[f"DROP TRIGGER {rule}_{event}" for rule in _TABLES for event in ("update", "delete")],
        ),
    ]
