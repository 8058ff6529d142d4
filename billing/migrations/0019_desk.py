"""What the reconciliation desk and the first page of the console need: progress, permissions, indexes."""

from django.db import migrations, models

from billing.role_grants import grant

ROLES = {"B": "Biller", "A": "Approver", "U": "Auditor", "O": "Operator"}
ROWS = [
    ("billing", "reconciliationrun", "compare_books", "Can have our books compared with Stripe's", "BO"),
    ("billing", "discrepancy", "export_discrepancy", "Can export discrepancies", "BAU"),
]
# It opened nothing: what moves or forgives money is a correction, and that has its own second person.
UNUSED = "approve_repair"


def give(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)
    apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="billing", content_type__model="discrepancy", codename=UNUSED
    ).delete()


def take_back(apps, _schema_editor):
    permissions = apps.get_model("auth", "Permission").objects
    permissions.filter(content_type__app_label="billing", codename__in=[row[2] for row in ROWS]).delete()
    words = "Can decide about a repair that somebody else proposed"
    grant(apps, [("billing", "discrepancy", UNUSED, words, "A")], roles={"A": "Approver"})


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0016_staff_access"),
        ("offices", "0003_export_permission"),
    ]

    operations = [
        migrations.RunPython(give, take_back),
        migrations.AlterModelOptions(
            name="discrepancy",
            options={
                "permissions": [
                    ("resolve_discrepancy", "Can look into a discrepancy and propose a repair"),
                    ("export_discrepancy", "Can export discrepancies"),
                ],
                "verbose_name_plural": "discrepancies",
            },
        ),
        migrations.AlterModelOptions(
            name="reconciliationrun",
            options={"permissions": [("compare_books", "Can have our books compared with Stripe's")]},
        ),
        migrations.AddField(
            model_name="billingrun",
            name="offices_done",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="billingrun",
            name="offices_due",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="advanced_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="compared",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="stopped",
            field=models.CharField(blank=True, max_length=30),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="total",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddIndex(
            model_name="billingcycle",
            index=models.Index(fields=["key"], name="billing_cycle_by_key"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                condition=models.Q(("status", "paid"), _negated=True),
                fields=["status"],
                name="invoice_not_paid_by_status",
            ),
        ),
    ]
