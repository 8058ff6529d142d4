"""Permissions for exports, evidence, incidents and un-parking; indexes for what the metrics count."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_month_close"),
        ("offices", "0003_export_permission"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="incident",
            options={"permissions": [("dispose_incident", "Can record what was found out about a blocked attempt")]},
        ),
        migrations.AlterModelOptions(
            name="invoice",
            options={"permissions": [("export_invoice", "Can export invoices")]},
        ),
        migrations.AlterModelOptions(
            name="lineitem",
            options={"permissions": [("export_lineitem", "Can export line items")]},
        ),
        migrations.AlterModelOptions(
            name="outboundrequest",
            options={"permissions": [("take_evidence", "Can see and take the evidence report of a month")]},
        ),
        migrations.AlterModelOptions(
            name="outboxmessage",
            options={"permissions": [("export_outboxmessage", "Can export messages to Stripe")]},
        ),
        migrations.AlterModelOptions(
            name="parkedoffice",
            options={"permissions": [("unpark_office", "Can let a parked office go on")]},
        ),
        migrations.AlterModelOptions(
            name="payment",
            options={"permissions": [("export_payment", "Can export payments")]},
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("status__in", ["dead", "parked"])), fields=["status"], name="outbox_stuck_by_status"
            ),
        ),
        migrations.AddIndex(
            model_name="stripeevent",
            index=models.Index(fields=["-received_at", "event_id"], name="stripe_event_by_receipt"),
        ),
        migrations.AddIndex(
            model_name="stripeevent",
            index=models.Index(condition=models.Q(("status", "dead")), fields=["status"], name="stripe_event_dead"),
        ),
    ]
