"""Leaves to see one identity for a quarter of an hour, and the permission to ask for one."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

import offices.encryption


class Migration(migrations.Migration):
    dependencies = [("patients", "0003_patient_tokens")]

    operations = [
        migrations.CreateModel(
            name="RevealGrant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("actor", models.CharField(max_length=200)),
                ("reason", offices.encryption.EncryptedTextField()),
                ("granted_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                (
                    "patient",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="patients.patient"
                    ),
                ),
            ],
            options={
                "permissions": [("reveal_identity", "Can see who a patient is, for a reason and for 15 minutes")],
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=~models.Q(actor=""), name="reveal_grant_has_an_actor"),
                    models.CheckConstraint(
                        condition=models.Q(expires_at__gt=models.F("granted_at")), name="reveal_grant_expires"
                    ),
                ],
            },
        )
    ]
