from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_evidence_sealed")]

    operations = [
        migrations.AddIndex(
            model_name="lineitem",
            index=models.Index(
                condition=models.Q(("item_type", "adjustment"), ("live", False)),
                fields=["patient_reference", "cycle_key"],
                name="line_item_waived_adjustment",
            ),
        ),
    ]
