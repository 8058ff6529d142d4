"""Windows of events asked for again, events that are foreign or distrusted, discrepancies that an event tells."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_waived_adjustments"),
    ]

    operations = [
        migrations.CreateModel(
            name="EventReplay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("window_from", models.DateTimeField()),
                ("window_until", models.DateTimeField()),
                ("actor", models.CharField(max_length=100)),
                ("dry_run", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("events_seen", models.PositiveIntegerField(default=0)),
                ("events_new", models.PositiveIntegerField(default=0)),
                ("page_ends", models.TextField(blank=True, default="")),
                ("events_unreadable", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="stripeevent",
            name="stripe_event_status_known",
        ),
        migrations.AlterField(
            model_name="discrepancy",
            name="run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="billing.reconciliationrun",
            ),
        ),
        migrations.AlterField(
            model_name="stripeevent",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("done", "Done"),
                    ("ignored", "Ignored"),
                    ("quarantined", "Quarantined"),
                    ("dead", "Dead"),
                    ("foreign", "Foreign"),
                    ("distrusted", "Distrusted"),
                ],
                default="pending",
                max_length=12,
            ),
        ),
        migrations.AddIndex(
            model_name="stripeevent",
            index=models.Index(
                condition=models.Q(("error_code", ""), _negated=True),
                fields=["received_at"],
                name="stripe_event_trouble_by_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="stripeevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["pending", "done", "ignored", "quarantined", "dead", "foreign", "distrusted"])
                ),
                name="stripe_event_status_known",
            ),
        ),
        migrations.AddIndex(
            model_name="eventreplay",
            index=models.Index(fields=["-window_until"], name="event_replay_by_window"),
        ),
        migrations.AddConstraint(
            model_name="eventreplay",
            constraint=models.CheckConstraint(
                condition=models.Q(("window_from__lt", models.F("window_until"))), name="event_replay_window_not_empty"
            ),
        ),
    ]
