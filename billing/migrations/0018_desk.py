"""What the reconciliation desk and the first page of the console need: progress, permissions, indexes."""

from django.db import migrations, models

from audit.database_rules import database_rule
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


# Lines are written in the order of their months: a few kilobytes find a month among millions, and cost a month's end
# nothing. SQLite has no such index, and no such sizes.
_LINES_BY_MONTH = "CREATE INDEX line_item_by_month ON billing_lineitem USING brin (cycle_key) WITH (autosummarize = on)"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0017_portal_reads"),
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
            name="balances",
            field=models.TextField(blank=True),
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
            model_name="billingcycle",
            index=models.Index(fields=["end_at"], name="billing_cycle_by_end"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                condition=models.Q(("origin", "backfill")), fields=["cycle"], name="invoice_backfilled_by_cycle"
            ),
        ),
        migrations.AddIndex(
            model_name="billingrun",
            index=models.Index(fields=["-started_at"], name="billing_run_by_time"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                condition=models.Q(("status", "paid"), _negated=True),
                fields=["status"],
                name="invoice_not_paid_by_status",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                condition=models.Q(("invoice_type", "monthly"), _negated=True),
                fields=["invoice_type"],
                name="invoice_not_monthly_by_type",
            ),
        ),
        migrations.AddIndex(
            model_name="lineitem",
            index=models.Index(
                condition=models.Q(("item_type__in", ("patient_activation", "active_patient")), _negated=True),
                fields=["item_type", "id"],
                name="line_item_rare_types",
            ),
        ),
        migrations.AddIndex(
            model_name="lineitem",
            index=models.Index(condition=models.Q(("live", False)), fields=["id"], name="line_item_not_live"),
        ),
        migrations.AddIndex(
            model_name="lineitem",
            index=models.Index(
                condition=models.Q(("live", False)),
                fields=["patient_reference"],
                name="line_item_not_live_by_patient",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(fields=["-created_at", "id"], name="outbox_by_creation"),
        ),
        database_rule(
            postgresql=[_LINES_BY_MONTH],
            sqlite=[],
            undo_postgresql=["DROP INDEX line_item_by_month"],
            undo_sqlite=[],
        ),
    ]
