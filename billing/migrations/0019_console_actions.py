"""Offices that a person stopped, and what staff may do in the console since; the rows are a frozen copy."""

from django.db import migrations, models

from audit.database_rules import keeping_triggers
from billing.role_grants import grant

ROLES = {"B": "Biller", "A": "Approver", "U": "Auditor", "P": "Privacy officer", "O": "Operator"}
ROWS = [
    ("billing", "parkedoffice", "park_office", "Can stop an office", "BPO"),
    ("billing", "invoice", "close_invoice", "Can have an invoice whose month is over closed now", "BO"),
    ("billing", "invoice", "send_invoice", "Can have a closed invoice sent to Stripe now", "BO"),
    ("offices", "plan", "add_plan", "Can add plan", "A"),
    ("offices", "planprice", "add_planprice", "Can add plan price", "A"),
    ("offices", "priceoverride", "add_priceoverride", "Can add price override", "A"),
    ("offices", "officeplan", "add_officeplan", "Can add office plan", "A"),
    ("offices", "officestatuschange", "add_officestatuschange", "Can add office status change", "A"),
    ("patients", "activityperiod", "add_activityperiod", "Can add activity period", "B"),
    ("patients", "activityperiod", "change_activityperiod", "Can change activity period", "B"),
    ("billing", "refund", "export_refund", "Can export refunds", "BAU"),
    ("billing", "dispute", "export_dispute", "Can export disputes", "BAU"),
    ("billing", "creditnote", "export_creditnote", "Can export credit notes", "BAU"),
    ("billing", "correction", "export_correction", "Can export corrections", "BAU"),
]
_CODES = [
    "count_differs",
    "price_differs",
    "run_cap_exceeded",
    "no_price_version",
    "profile_email_missing",
    "stripe_total_differs",
    "stripe_object_unexpected",
    "stripe_refused",
    "request_blocked",
    "unexpected_error",
    "stopped_by_staff",
]


def give_permissions(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)


def take_permissions(apps, _schema_editor):
    permissions = apps.get_model("auth", "Permission").objects
    for app, model, codename, _name, _letters in ROWS:
        permission = permissions.filter(content_type__app_label=app, content_type__model=model, codename=codename)
        for row in permission:
            row.group_set.clear()


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_desk"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("offices", "0003_export_permission"),
        ("patients", "0005_view_reveal_grants"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="correction",
            options={
                "permissions": [
                    ("request_correction", "Can ask for the correction of an invoice"),
                    ("approve_correction", "Can decide about a correction that somebody else asked for"),
                    ("export_correction", "Can export corrections"),
                ]
            },
        ),
        migrations.AlterModelOptions(
            name="creditnote", options={"permissions": [("export_creditnote", "Can export credit notes")]}
        ),
        migrations.AlterModelOptions(
            name="dispute", options={"permissions": [("export_dispute", "Can export disputes")]}
        ),
        migrations.AlterModelOptions(
            name="invoice",
            options={
                "permissions": [
                    ("export_invoice", "Can export invoices"),
                    ("close_invoice", "Can have an invoice whose month is over closed now"),
                    ("send_invoice", "Can have a closed invoice sent to Stripe now"),
                ]
            },
        ),
        migrations.AlterModelOptions(
            name="parkedoffice",
            options={
                "permissions": [
                    ("unpark_office", "Can let a parked office go on"),
                    ("park_office", "Can stop an office"),
                ]
            },
        ),
        migrations.AlterModelOptions(name="refund", options={"permissions": [("export_refund", "Can export refunds")]}),
        *keeping_triggers(
            migrations.RemoveConstraint(model_name="parkedoffice", name="parked_office_code_known"),
            migrations.AddField(
                model_name="parkedoffice",
                name="park_reason",
                field=models.CharField(blank=True, db_default="", default="", max_length=200),
            ),
            migrations.AddField(
                model_name="parkedoffice",
                name="parked_by",
                field=models.CharField(blank=True, db_default="", default="", max_length=100),
            ),
            migrations.AlterField(
                model_name="parkedoffice",
                name="code",
                field=models.CharField(
                    choices=[(code, code.replace("_", " ").title()) for code in _CODES], max_length=40
                ),
            ),
            migrations.AddConstraint(
                model_name="parkedoffice",
                constraint=models.CheckConstraint(
                    condition=models.Q(("code__in", _CODES)), name="parked_office_code_known"
                ),
            ),
            migrations.AddConstraint(
                model_name="parkedoffice",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("code", "stopped_by_staff"), _negated=True),
                        models.Q(
                            models.Q(("parked_by", ""), _negated=True), models.Q(("park_reason", ""), _negated=True)
                        ),
                        _connector="OR",
                    ),
                    name="parked_office_stopped_by_somebody_for_a_reason",
                ),
            ),
        ),
        migrations.RunPython(give_permissions, take_permissions),
    ]
