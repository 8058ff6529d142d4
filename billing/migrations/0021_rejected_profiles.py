"""What a person rejected of what an office calls itself: kept as it was written; the rows are a frozen copy."""

import django.db.models.deletion
from django.db import migrations, models

from audit.database_rules import database_rule
from billing.role_grants import grant

ROLES = {"B": "Biller", "A": "Approver", "U": "Auditor", "P": "Privacy officer"}
ROWS = [("billing", "profilerejection", "view_profilerejection", "Can view profile rejection", "BAUP")]
_TABLE = "billing_profilerejection"
_RULES = {"profile_rejection_frozen": "UPDATE", "profile_rejection_kept": "DELETE"}


def give_permissions(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)


def take_permissions(apps, _schema_editor):
    permissions = apps.get_model("auth", "Permission").objects
    for app, model, codename, _name, _letters in ROWS:
        permission = permissions.filter(content_type__app_label=app, content_type__model=model, codename=codename)
        for row in permission:
            row.group_set.clear()


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0020_asked_runs"),
        ("audit", "0002_append_only"),
        ("offices", "0003_export_permission"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProfileRejection",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=200)),
                ("rejected_by", models.CharField(max_length=100)),
                ("rejected_at", models.DateTimeField()),
                (
                    "office",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="profile_rejections",
                        to="offices.office",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="profile_rejection_has_a_reason"
                    )
                ],
            },
        ),
        database_rule(
            postgresql=[
                f"CREATE TRIGGER {rule} BEFORE {event} ON {_TABLE} FOR EACH ROW "
                f"EXECUTE FUNCTION refuse_change('{rule}')"
                for rule, event in _RULES.items()
            ],
            undo_postgresql=[f"DROP TRIGGER {rule} ON {_TABLE}" for rule in _RULES],
            sqlite=[
                f"CREATE TRIGGER {rule} BEFORE {event} ON {_TABLE} BEGIN SELECT RAISE(ABORT, '{rule}'); END"
                for rule, event in _RULES.items()
            ],
            undo_sqlite=[f"DROP TRIGGER {rule}" for rule in _RULES],
        ),
        migrations.RunPython(give_permissions, take_permissions),
    ]
