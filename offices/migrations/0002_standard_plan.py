"""The default plan: $2.00 per patient account and cycle from 2000-01-01 (decisions.md 12)."""

from datetime import date

from django.db import migrations


def add_standard_plan(apps, _schema_editor):
    plan = apps.get_model("offices", "Plan").objects.create(code="standard", name="Standard", setup_fee_cents=25_000)
    apps.get_model("offices", "PlanPrice").objects.create(
        plan=plan, effective_on=date(2000, 1, 1), unit_price_cents=200
    )


class Migration(migrations.Migration):
    dependencies = [("offices", "0001_initial")]

    operations = [migrations.RunPython(add_standard_plan, migrations.RunPython.noop)]
