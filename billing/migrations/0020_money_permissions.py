"""Permissions to ask for a correction, to decide about one, to sign a month and to settle a discrepancy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_stripe_copies")]

    operations = [
        migrations.AlterModelOptions(
            name="correction",
            options={
                "permissions": [
                    ("request_correction", "Can ask for the correction of an invoice"),
                    ("approve_correction", "Can decide about a correction that somebody else asked for"),
                ]
            },
        ),
        migrations.AlterModelOptions(name="monthclose", options={"permissions": [("sign_month", "Can sign a month")]}),
        migrations.AlterModelOptions(
            name="discrepancy",
            options={"permissions": [("settle_discrepancy", "Can look into a discrepancy, accept it or repair it")]},
        ),
    ]
