"""Roles as groups, the second factor of each account, and openings of the sealed account.

The table below is a frozen copy of billing/admin/roles.py as it was then; a page that comes later
adds its lines in a migration of its own.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import offices.encryption
from billing.role_grants import grant

ROLES = {"V": "Viewer", "B": "Biller", "A": "Approver", "U": "Auditor", "P": "Privacy officer", "O": "Operator"}
ROWS = [
    ("billing", "invoice", "view_invoice", "Can view invoice", "VBAUPO"),
    ("billing", "payment", "view_payment", "Can view payment", "VBAUO"),
    ("billing", "billingcycle", "view_billingcycle", "Can view billing cycle", "VBAUO"),
    ("billing", "billingrun", "view_billingrun", "Can view billing run", "VBAUO"),
    ("billing", "parkedoffice", "view_parkedoffice", "Can view parked office", "VBAUO"),
    ("offices", "office", "view_office", "Can view office", "VBAUPO"),
    ("offices", "plan", "view_plan", "Can view plan", "VBAUO"),
    ("offices", "planprice", "view_planprice", "Can view plan price", "VBAUO"),
    ("offices", "priceoverride", "view_priceoverride", "Can view price override", "VBAUO"),
    ("offices", "officestatuschange", "view_officestatuschange", "Can view office status change", "VBAUO"),
    ("offices", "officeplan", "view_officeplan", "Can view office plan", "VBAUO"),
    ("offices", "officezone", "view_officezone", "Can view office zone", "VBAUO"),
    ("billing", "lineitem", "view_lineitem", "Can view line item", "BAUP"),
    ("patients", "patient", "view_patient", "Can view patient", "BAUP"),
    ("patients", "activityperiod", "view_activityperiod", "Can view activity period", "BAUP"),
    ("patients", "patientidentity", "view_patientidentity", "Can view patient identity", "UP"),
    ("patients", "revealgrant", "view_revealgrant", "Can view reveal grant", "UP"),
    ("billing", "hostedinvoicepage", "view_hostedinvoicepage", "Can view hosted invoice page", "BA"),
    ("billing", "refund", "view_refund", "Can view refund", "VBAUO"),
    ("billing", "dispute", "view_dispute", "Can view dispute", "VBAUO"),
    ("billing", "creditnote", "view_creditnote", "Can view credit note", "VBAUO"),
    ("billing", "correction", "view_correction", "Can view correction", "BAU"),
    ("billing", "droppedline", "view_droppedline", "Can view dropped line", "BAU"),
    ("billing", "monthclose", "view_monthclose", "Can view month close", "VBAUO"),
    ("billing", "reconciliationrun", "view_reconciliationrun", "Can view reconciliation run", "BAUO"),
    ("billing", "stripeinvoicecopy", "view_stripeinvoicecopy", "Can view stripe invoice copy", "BAUO"),
    ("billing", "stripemoneycopy", "view_stripemoneycopy", "Can view stripe money copy", "BAUO"),
    ("billing", "stripecustomercopy", "view_stripecustomercopy", "Can view stripe customer copy", "BAUO"),
    ("billing", "discrepancy", "view_discrepancy", "Can view discrepancy", "BAU"),
    ("billing", "outboxmessage", "view_outboxmessage", "Can view outbox message", "BAUPO"),
    ("billing", "outboxstep", "view_outboxstep", "Can view outbox step", "UPO"),
    ("billing", "outboundrequest", "view_outboundrequest", "Can view outbound request", "AUPO"),
    ("billing", "stripeevent", "view_stripeevent", "Can view stripe event", "BAUO"),
    ("billing", "expectedevent", "view_expectedevent", "Can view expected event", "UO"),
    ("billing", "eventreplay", "view_eventreplay", "Can view event replay", "UO"),
    ("offices", "officestripeaccount", "view_officestripeaccount", "Can view office stripe account", "BAUO"),
    ("billing", "officeprofile", "view_officeprofile", "Can view office profile", "BAUP"),
    ("billing", "incident", "view_incident", "Can view incident", "UPO"),
    ("billing", "canaryrun", "view_canaryrun", "Can view canary run", "UPO"),
    ("billing", "officeapikey", "view_officeapikey", "Can view API key", "UO"),
    ("billing", "platformapikey", "view_platformapikey", "Can view platform API key", "UO"),
    ("billing", "platformkeyoffice", "view_platformkeyoffice", "Can view platform key office", "UO"),
    ("billing", "idempotentanswer", "view_idempotentanswer", "Can view idempotent answer", "UO"),
    ("audit", "auditentry", "view_auditentry", "Can view audit entry", "UP"),
    ("audit", "streamhead", "view_streamhead", "Can view stream head", "UP"),
    ("audit", "checkpoint", "view_checkpoint", "Can view checkpoint", "UPO"),
    ("audit", "sealedhead", "view_sealedhead", "Can view sealed head", "UPO"),
    ("auth", "user", "view_user", "Can view user", "UPO"),
    ("auth", "group", "view_group", "Can view group", "UPO"),
    ("billing", "staffdevice", "view_staffdevice", "Can view staff device", "UPO"),
    ("billing", "emergencyopening", "view_emergencyopening", "Can view emergency opening", "UPO"),
    ("billing", "correction", "request_correction", "Can ask for the correction of an invoice", "B"),
    ("billing", "correction", "approve_correction", "Can decide about a correction that somebody else asked for", "A"),
    ("billing", "discrepancy", "resolve_discrepancy", "Can look into a discrepancy and propose a repair", "B"),
    ("billing", "discrepancy", "approve_repair", "Can decide about a repair that somebody else proposed", "A"),
    ("billing", "monthclose", "sign_month", "Can sign a month", "BA"),
    ("billing", "officeprofile", "approve_profile", "Can approve what of an office may reach Stripe", "AP"),
    ("billing", "parkedoffice", "unpark_office", "Can let a parked office go on", "BO"),
    ("billing", "incident", "dispose_incident", "Can record what was found out about a blocked attempt", "P"),
    ("billing", "officeapikey", "add_officeapikey", "Can add API key", "O"),
    ("billing", "officeapikey", "change_officeapikey", "Can change API key", "O"),
    ("billing", "platformapikey", "add_platformapikey", "Can add platform API key", "O"),
    ("billing", "platformapikey", "change_platformapikey", "Can change platform API key", "O"),
    ("billing", "outboundrequest", "take_evidence", "Can see and take the evidence report of a month", "UP"),
    ("patients", "revealgrant", "reveal_identity", "Can see who a patient is, for a reason and for 15 minutes", "P"),
    ("billing", "invoice", "export_invoice", "Can export invoices", "BAU"),
    ("billing", "lineitem", "export_lineitem", "Can export line items", "BAU"),
    ("billing", "payment", "export_payment", "Can export payments", "BAU"),
    ("billing", "outboxmessage", "export_outboxmessage", "Can export messages to Stripe", "AU"),
    ("offices", "office", "export_office", "Can export offices", "BAU"),
]


def make_roles(apps, _schema_editor):
    grant(apps, ROWS, roles=ROLES)


def drop_roles(apps, _schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES.values()).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0003_checkpoints"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("billing", "0015_stripe_copies"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("offices", "0003_export_permission"),
        ("patients", "0005_view_reveal_grants"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

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
        migrations.AlterModelOptions(
            name="discrepancy",
            options={
                "permissions": [
                    ("resolve_discrepancy", "Can look into a discrepancy and propose a repair"),
                    ("approve_repair", "Can decide about a repair that somebody else proposed"),
                ]
            },
        ),
        migrations.AlterModelOptions(
            name="monthclose",
            options={"permissions": [("sign_month", "Can sign a month")]},
        ),
        migrations.AlterModelOptions(
            name="officeprofile",
            options={"permissions": [("approve_profile", "Can approve what of an office may reach Stripe")]},
        ),
        migrations.CreateModel(
            name="EmergencyOpening",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("person", models.CharField(max_length=100)),
                ("reason", offices.encryption.EncryptedTextField()),
                ("opened_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("alerted_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("person", ""), _negated=True), name="emergency_opening_has_a_person"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("opened_at"))), name="emergency_opening_ends"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StaffDevice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="The human-readable name of this device.", max_length=64)),
                ("confirmed", models.BooleanField(default=True, help_text="Is this device ready for use?")),
                (
                    "throttling_failure_timestamp",
                    models.DateTimeField(
                        blank=True,
                        default=None,
                        help_text="A timestamp of the last failed verification attempt."
                        " Null if last attempt succeeded.",
                        null=True,
                    ),
                ),
                (
                    "throttling_failure_count",
                    models.PositiveIntegerField(default=0, help_text="Number of successive failed attempts."),
                ),
                ("secret", offices.encryption.EncryptedTextField()),
                ("last_step", models.BigIntegerField(default=-1)),
                ("recovery_digests", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="staff_device",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("confirmed", True), ("ends_at__isnull", False), _connector="OR"),
                        name="staff_device_invitation_ends",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("confirmed", False), ("confirmed_at__isnull", False), _connector="OR"),
                        name="staff_device_confirmed_at_a_time",
                    ),
                ],
            },
        ),
        migrations.RunPython(make_roles, drop_roles),
    ]
