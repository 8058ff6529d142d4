"""Keyed tokens that recognise a patient in a text, and the trigger that deletes them with the identity."""

from django.db import migrations, models

from audit.database_rules import database_rule

KINDS = ["full_name", "last_name", "date_of_birth", "email", "phone", "record_number", "short_record_number"]


class Migration(migrations.Migration):
    dependencies = [("patients", "0002_periods_never_overlap"), ("audit", "0002_append_only")]

    operations = [
        migrations.CreateModel(
            name="PatientToken",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "patient_id",
                        "kind",
                        "digest",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("patient_id", models.UUIDField()),
                ("office_id", models.UUIDField()),
                (
                    "kind",
                    models.CharField(choices=[(kind, kind.replace("_", " ").title()) for kind in KINDS], max_length=20),
                ),
                ("digest", models.UUIDField()),
                ("key_id", models.CharField(max_length=16)),
            ],
            options={
                "indexes": [models.Index(fields=["digest"], name="patient_token_by_digest")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(kind__in=KINDS), name="patient_token_kind_known")
                ],
            },
        ),
        # Erasure must reach the tokens whoever deletes the identity, and an import must not pay for a foreign key.
        database_rule(
            postgresql=[
                """
                CREATE FUNCTION patient_tokens_go_with_the_identity() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    DELETE FROM patients_patienttoken WHERE patient_id = OLD.patient_id;
                    RETURN NULL;
                END $$
                """,
                """
                CREATE TRIGGER patient_tokens_go_with_the_identity AFTER DELETE ON patients_patientidentity
                FOR EACH ROW EXECUTE FUNCTION patient_tokens_go_with_the_identity()
                """,
            ],
            undo_postgresql=[
                "DROP TRIGGER patient_tokens_go_with_the_identity ON patients_patientidentity",
                "DROP FUNCTION patient_tokens_go_with_the_identity()",
            ],
            sqlite=[
                """
                CREATE TRIGGER patient_tokens_go_with_the_identity AFTER DELETE ON patients_patientidentity
                BEGIN DELETE FROM patients_patienttoken WHERE patient_id = OLD.patient_id; END
                """
            ],
            undo_sqlite=["DROP TRIGGER patient_tokens_go_with_the_identity"],
        ),
    ]
