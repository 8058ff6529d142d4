"""Give the roles that look at invoices as Stripe shows them its money and customers too."""

from django.db import migrations

from billing.role_grants import grant

ROLES = {"B": "Biller", "A": "Approver", "U": "Auditor", "O": "Operator"}
ROWS = [
    ("billing", "stripemoneycopy", "view_stripemoneycopy", "Can view stripe money copy", "BAUO"),
    ("billing", "stripecustomercopy", "view_stripecustomercopy", "Can view stripe customer copy", "BAUO"),
]


def give(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_staff_access")]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
