"""A permission to export offices, apart from the one to view them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("offices", "0002_standard_plan"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="office",
            options={"permissions": [("export_office", "Can export offices")]},
        ),
    ]
