"""Billing runs that staff start in the console, each for a reason; the rows are a frozen copy."""

from django.db import migrations, models

from audit.database_rules import keeping_triggers
from billing.role_grants import grant

ROLES = {"B": "Biller", "O": "Operator"}
ROWS = [("billing", "billingrun", "start_run", "Can start a billing run", "BO")]
_STATUSES = ["asked", "running", "done", "needs_attention"]


def give_permissions(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)


def take_permissions(apps, _schema_editor):
    permissions = apps.get_model("auth", "Permission").objects
    for app, model, codename, _name, _letters in ROWS:
        permission = permissions.filter(content_type__app_label=app, content_type__model=model, codename=codename)
        for row in permission:
            row.group_set.clear()


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_console_actions")]

    operations = [
        migrations.AlterModelOptions(
            name="billingrun", options={"permissions": [("start_run", "Can start a billing run")]}
        ),
        *keeping_triggers(
            migrations.RemoveConstraint(model_name="billingrun", name="billing_run_status_known"),
            migrations.AddField(
                model_name="billingrun",
                name="reason",
                field=models.CharField(blank=True, db_default="", default="", max_length=200),
            ),
            migrations.AlterField(
                model_name="billingrun",
                name="status",
                field=models.CharField(
                    choices=[(status, status.replace("_", " ").title()) for status in _STATUSES],
                    default="running",
                    max_length=20,
                ),
            ),
            migrations.AddConstraint(
                model_name="billingrun",
                constraint=models.CheckConstraint(
                    condition=models.Q(("status__in", _STATUSES)), name="billing_run_status_known"
                ),
            ),
            migrations.AddConstraint(
                model_name="billingrun",
                constraint=models.UniqueConstraint(
                    condition=models.Q(("status", "asked")), fields=("status",), name="billing_run_one_asked_at_a_time"
                ),
            ),
            migrations.AddConstraint(
                model_name="billingrun",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("status", "asked"), _negated=True),
                        models.Q(("reason", ""), _negated=True),
                        _connector="OR",
                    ),
                    name="billing_run_asked_for_a_reason",
                ),
            ),
        ),
        migrations.RunPython(give_permissions, take_permissions),
    ]
