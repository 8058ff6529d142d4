"""Platform keys, and the answers of calls that carried an idempotency key."""

import django.db.models.deletion
from django.db import migrations, models

import offices.encryption

_ONE_SCOPE = "(invoices:read|invoices:write|patients:read|patients:write|patients:identity|charges:write)"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_events"),
        ("offices", "0002_standard_plan"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotentAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("credential", models.CharField(max_length=40)),
                ("key_digest", models.CharField(max_length=64)),
                ("request_digest", models.CharField(max_length=64)),
                ("status_code", models.PositiveSmallIntegerField()),
                ("body", offices.encryption.EncryptedTextField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="idempotent_answer_by_age")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["credential", "key_digest"], name="idempotency_key_once_per_credential"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(status_code__gte=200, status_code__lt=300),
                        name="idempotent_answer_is_a_success",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlatformApiKey",
            fields=[
                (
                    "id",
                    models.CharField(editable=False, max_length=150, primary_key=True, serialize=False, unique=True),
                ),
                ("prefix", models.CharField(editable=False, max_length=8, unique=True)),
                ("hashed_key", models.CharField(editable=False, max_length=150)),
                ("created", models.DateTimeField(auto_now_add=True, db_index=True)),
                (
                    "name",
                    models.CharField(
                        default=None,
                        help_text="A free-form name for the API key. Need not be unique. 50 characters max.",
                        max_length=50,
                    ),
                ),
                (
                    "revoked",
                    models.BooleanField(
                        blank=True,
                        default=False,
                        help_text="If the API key is revoked, clients cannot use it anymore. (This cannot be undone.)",
                    ),
                ),
                (
                    "expiry_date",
                    models.DateTimeField(
                        blank=True,
                        help_text="Once API key expires, clients cannot use it anymore.",
                        null=True,
                        verbose_name="Expires",
                    ),
                ),
                ("scopes", models.CharField(max_length=200)),
            ],
            options={
                "verbose_name": "platform API key",
                "verbose_name_plural": "platform API keys",
                "ordering": ("-created",),
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(scopes__regex=rf"^{_ONE_SCOPE}( {_ONE_SCOPE})*$"),
                        name="platform_key_scopes_known",
                    ),
                    models.CheckConstraint(condition=models.Q(prefix__startswith="P-"), name="platform_key_is_marked"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlatformKeyOffice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "office",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="offices.office"
                    ),
                ),
                (
                    "platform_key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="key_offices",
                        to="billing.platformapikey",
                        to_field="prefix",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["platform_key", "office"], name="platform_key_names_an_office_once")
                ],
            },
        ),
    ]
