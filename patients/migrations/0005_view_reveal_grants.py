"""Grants can be looked at by a permission, like every other row."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("patients", "0004_reveal_grant"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="revealgrant",
            options={
                "default_permissions": ("view",),
                "permissions": [("reveal_identity", "Can see who a patient is, for a reason and for 15 minutes")],
            },
        ),
    ]
