import uuid

import django.db.models.deletion
from django.db import migrations, models

import offices.encryption
from audit.database_rules import keeping_triggers


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0005_office_profile_and_incident"),
        ("offices", "0002_standard_plan"),
    ]

    operations = keeping_triggers(
        migrations.CreateModel(
            name="Correction",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("cancel", "Cancel"),
                            ("replace", "Replace"),
                            ("credit", "Credit"),
                            ("write_off", "Write Off"),
                            ("offline_payment", "Offline Payment"),
                            ("retry", "Retry"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("approved", "Approved"),
                            ("done", "Done"),
                            ("overtaken", "Overtaken"),
                            ("rejected", "Rejected"),
                            ("expired", "Expired"),
                        ],
                        default="requested",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("duplicate", "Duplicate"),
                            ("billed_in_error", "Billed In Error"),
                            ("wrong_price", "Wrong Price"),
                            ("service_issue", "Service Issue"),
                            ("goodwill", "Goodwill"),
                            ("uncollectible", "Uncollectible"),
                            ("paid_by_check", "Paid By Check"),
                            ("paid_by_wire", "Paid By Wire"),
                            ("payment_retry", "Payment Retry"),
                            ("fraud", "Fraud"),
                        ],
                        max_length=20,
                    ),
                ),
                ("note", offices.encryption.EncryptedTextField(blank=True, default="")),
                ("amount_cents", models.BigIntegerField(blank=True, null=True)),
                (
                    "payback",
                    models.CharField(
                        blank=True, choices=[("stripe", "Stripe"), ("out_of_band", "Out Of Band")], max_length=12
                    ),
                ),
                ("invoice_version", models.PositiveIntegerField()),
                ("requested_by", models.CharField(max_length=100)),
                ("requested_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("decided_by", models.CharField(blank=True, max_length=100)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("outcome", models.CharField(blank=True, max_length=60)),
            ],
        ),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("stripe_credit_note_id", models.CharField(max_length=80)),
                ("status", models.CharField(choices=[("issued", "Issued"), ("void", "Void")], max_length=10)),
                ("amount_cents", models.BigIntegerField()),
                ("before_payment_cents", models.BigIntegerField()),
                ("out_of_band_cents", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("issued_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Discrepancy",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("missing_at_stripe", "Missing At Stripe"),
                            ("unknown_to_us", "Unknown To Us"),
                            ("duplicate_at_stripe", "Duplicate At Stripe"),
                            ("total", "Total"),
                            ("currency", "Currency"),
                            ("customer", "Customer"),
                            ("line_count", "Line Count"),
                            ("line_quantity", "Line Quantity"),
                            ("line_price", "Line Price"),
                            ("paid_there", "Paid There"),
                            ("paid_here", "Paid Here"),
                            ("canceled_there", "Canceled There"),
                            ("canceled_here", "Canceled Here"),
                            ("failed_there", "Failed There"),
                            ("sent_there", "Sent There"),
                            ("written_off_there", "Written Off There"),
                            ("paid_after_cancel", "Paid After Cancel"),
                            ("payment_missing", "Payment Missing"),
                            ("out_of_band_payment", "Out Of Band Payment"),
                            ("overpaid", "Overpaid"),
                            ("underpaid", "Underpaid"),
                            ("refund", "Refund"),
                            ("partial_refund", "Partial Refund"),
                            ("dispute", "Dispute"),
                            ("credit_note", "Credit Note"),
                            ("customer_balance", "Customer Balance"),
                            ("stuck_draft", "Stuck Draft"),
                            ("finalization_failed", "Finalization Failed"),
                            ("text_changed", "Text Changed"),
                            ("metadata_changed", "Metadata Changed"),
                            ("profile_changed", "Profile Changed"),
                            ("customer_deleted", "Customer Deleted"),
                            ("customer_duplicate", "Customer Duplicate"),
                            ("invoice_deleted", "Invoice Deleted"),
                            ("charge_without_invoice", "Charge Without Invoice"),
                            ("active_not_charged", "Active Not Charged"),
                            ("charged_never_active", "Charged Never Active"),
                            ("late_event", "Late Event"),
                            ("orphan_message", "Orphan Message"),
                            ("orphan_item", "Orphan Item"),
                            ("books_changed_by_hand", "Books Changed By Hand"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("repaired", "Repaired"),
                            ("gone", "Gone"),
                            ("accepted", "Accepted"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("subject", models.CharField(max_length=120)),
                ("cycle_key", models.CharField(blank=True, max_length=7)),
                ("amount_cents", models.BigIntegerField(default=0)),
                ("ours", models.TextField(default="{}")),
                ("theirs", models.TextField(default="{}")),
                (
                    "repair",
                    models.CharField(
                        choices=[
                            ("pull", "Pull"),
                            ("send", "Send"),
                            ("cancel", "Cancel"),
                            ("replace", "Replace"),
                            ("credit", "Credit"),
                            ("bill", "Bill"),
                            ("update_profile", "Update Profile"),
                            ("new_customer", "New Customer"),
                            ("look", "Look"),
                        ],
                        max_length=20,
                    ),
                ),
                ("found_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("owner", models.CharField(blank=True, max_length=100)),
                ("note", offices.encryption.EncryptedTextField(blank=True, default="")),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ended_by", models.CharField(blank=True, max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name="Dispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stripe_dispute_id", models.CharField(max_length=80)),
                ("payment_intent_id", models.CharField(blank=True, max_length=80)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("warning_needs_response", "Warning Needs Response"),
                            ("warning_under_review", "Warning Under Review"),
                            ("warning_closed", "Warning Closed"),
                            ("needs_response", "Needs Response"),
                            ("under_review", "Under Review"),
                            ("won", "Won"),
                            ("lost", "Lost"),
                            ("prevented", "Prevented"),
                        ],
                        max_length=30,
                    ),
                ),
                ("amount_cents", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("opened_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DroppedLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
        ),
        migrations.CreateModel(
            name="ExpectedEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stripe_object_id", models.CharField(max_length=80)),
                ("event_type", models.CharField(max_length=80)),
                ("registered_at", models.DateTimeField()),
                ("expected_by", models.DateTimeField()),
                ("heard_at", models.DateTimeField(blank=True, null=True)),
                ("pulled_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ReconciliationRun",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("actor", models.CharField(max_length=100)),
                ("cycle_key", models.CharField(blank=True, max_length=7)),
                ("window_from", models.DateTimeField()),
                ("window_until", models.DateTimeField()),
                (
                    "phase",
                    models.CharField(
                        choices=[
                            ("invoices", "Invoices"),
                            ("refunds", "Refunds"),
                            ("disputes", "Disputes"),
                            ("credit_notes", "Credit Notes"),
                            ("customers", "Customers"),
                            ("items", "Items"),
                            ("compare", "Compare"),
                            ("books", "Books"),
                            ("done", "Done"),
                        ],
                        default="invoices",
                        max_length=20,
                    ),
                ),
                ("cursor", models.CharField(blank=True, max_length=80)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("invoices_seen", models.PositiveIntegerField(default=0)),
                ("found", models.PositiveIntegerField(default=0)),
                ("repaired", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stripe_refund_id", models.CharField(max_length=80)),
                ("payment_intent_id", models.CharField(blank=True, max_length=80)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("requires_action", "Requires Action"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                        ],
                        max_length=20,
                    ),
                ),
                ("amount_cents", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("refunded_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="StripeInvoiceCopy",
            fields=[
                ("stripe_invoice_id", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("own_invoice_id", models.UUIDField(blank=True, null=True)),
                ("own_cycle_key", models.CharField(blank=True, max_length=7)),
                ("customer_index", models.CharField(max_length=64)),
                ("status", models.CharField(max_length=20)),
                ("currency", models.CharField(max_length=3)),
                ("total_cents", models.BigIntegerField()),
                ("amount_paid_cents", models.BigIntegerField()),
                ("amount_remaining_cents", models.BigIntegerField()),
                ("overpaid_cents", models.BigIntegerField(default=0)),
                ("credited_cents", models.BigIntegerField(default=0)),
                ("attempt_count", models.PositiveIntegerField(default=0)),
                ("unreadable_field", models.CharField(blank=True, max_length=60)),
                ("foreign_fields", models.CharField(blank=True, max_length=200)),
                ("lines_digest", models.CharField(blank=True, max_length=64)),
                ("line_count", models.PositiveIntegerField(default=0)),
                ("created", models.DateTimeField()),
                ("finalized_at", models.DateTimeField(blank=True, null=True)),
                ("seen_at", models.DateTimeField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="outboxmessage",
            name="outbox_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="outboxmessage",
            name="outbox_invoice_message_names_its_invoice",
        ),
        migrations.AddField(
            model_name="invoice",
            name="overpaid_cents",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="invoice",
            name="replaces",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replacement",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="written_off_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="channel",
            field=models.CharField(
                choices=[("stripe", "Stripe"), ("out_of_band", "Out Of Band")], default="stripe", max_length=12
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="processing",
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name="outboxmessage",
            name="kind",
            field=models.CharField(
                choices=[
                    ("customer", "Customer"),
                    ("invoice", "Invoice"),
                    ("profile", "Profile"),
                    ("correction", "Correction"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="stripe_payment_id",
            field=models.CharField(blank=True, max_length=80, null=True),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["payment_intent_id"], name="payment_by_intent"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["charge_id"], name="payment_by_charge"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("overpaid_cents__gte", 0)), name="invoice_overpaid_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("channel", "out_of_band")),
                fields=("invoice",),
                name="payment_out_of_band_once_per_invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("channel", "stripe"), ("stripe_payment_id__isnull", False)),
                    models.Q(("channel", "out_of_band"), ("status", "paid"), ("stripe_payment_id__isnull", True)),
                    _connector="OR",
                ),
                name="payment_through_stripe_has_its_id",
            ),
        ),
        migrations.AddField(
            model_name="correction",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="corrections", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="correction",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="outbox_message",
                to="billing.correction",
            ),
        ),
        migrations.AddConstraint(
            model_name="outboxmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["customer", "invoice", "profile", "correction"])),
                name="outbox_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="outboxmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("invoice__isnull", False), ("kind__in", ["invoice", "correction"])),
                    models.Q(
                        models.Q(("kind__in", ["invoice", "correction"]), _negated=True), ("invoice__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="outbox_invoice_message_names_its_invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="outboxmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("correction__isnull", False), ("kind", "correction")),
                    models.Q(models.Q(("kind", "correction"), _negated=True), ("correction__isnull", True)),
                    _connector="OR",
                ),
                name="outbox_correction_message_names_its_correction",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credit_notes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="invoice",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="office",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="offices.office",
            ),
        ),
        migrations.AddField(
            model_name="dispute",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="disputes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="droppedline",
            name="correction",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="dropped_lines", to="billing.correction"
            ),
        ),
        migrations.AddField(
            model_name="droppedline",
            name="line_item",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.lineitem"
            ),
        ),
        migrations.AddField(
            model_name="expectedevent",
            name="step",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="expected_event", to="billing.outboxstep"
            ),
        ),
        migrations.AddField(
            model_name="reconciliationrun",
            name="office",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="offices.office",
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="billing.reconciliationrun",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="stripeinvoicecopy",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="copies", to="billing.reconciliationrun"
            ),
        ),
        migrations.AddIndex(
            model_name="correction",
            index=models.Index(
                condition=models.Q(("status", "requested")), fields=["expires_at"], name="correction_waiting_by_expiry"
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ("requested", "approved"))),
                fields=("invoice",),
                name="correction_one_open_per_invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["cancel", "replace", "credit", "write_off", "offline_payment", "retry"])
                ),
                name="correction_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["requested", "approved", "done", "overtaken", "rejected", "expired"])
                ),
                name="correction_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind__in", ("cancel", "replace", "credit", "write_off", "offline_payment")), _negated=True
                    ),
                    models.Q(("status__in", ["approved", "done", "overtaken"]), _negated=True),
                    models.Q(
                        models.Q(("decided_by", ""), _negated=True),
                        models.Q(("decided_by", models.F("requested_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="correction_approved_by_a_second_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "credit"), _negated=True),
                    models.Q(("amount_cents__gt", 0), ("amount_cents__isnull", False)),
                    _connector="OR",
                ),
                name="correction_credit_has_an_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="correction",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("requested_at"))), name="correction_expires_later"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.UniqueConstraint(fields=("stripe_credit_note_id",), name="credit_note_stripe_id_once"),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["issued", "void"])), name="credit_note_status_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_cents__gt", 0), ("before_payment_cents__gte", 0), ("out_of_band_cents__gte", 0)
                ),
                name="credit_note_amounts_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.UniqueConstraint(fields=("stripe_dispute_id",), name="dispute_stripe_id_once"),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "warning_needs_response",
                            "warning_under_review",
                            "warning_closed",
                            "needs_response",
                            "under_review",
                            "won",
                            "lost",
                            "prevented",
                        ],
                    )
                ),
                name="dispute_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_cents__gte", 0)), name="dispute_amount_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="droppedline",
            constraint=models.UniqueConstraint(
                fields=("correction", "line_item"), name="dropped_line_once_per_correction"
            ),
        ),
        migrations.AddIndex(
            model_name="expectedevent",
            index=models.Index(
                condition=models.Q(("heard_at__isnull", True), ("pulled_at__isnull", True)),
                fields=["expected_by"],
                name="expected_event_by_deadline",
            ),
        ),
        migrations.AddIndex(
            model_name="expectedevent",
            index=models.Index(fields=["stripe_object_id"], name="expected_event_by_object"),
        ),
        migrations.AddIndex(
            model_name="reconciliationrun",
            index=models.Index(fields=["-started_at"], name="reconciliation_run_by_time"),
        ),
        migrations.AddConstraint(
            model_name="reconciliationrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "phase__in",
                        [
                            "invoices",
                            "refunds",
                            "disputes",
                            "credit_notes",
                            "customers",
                            "items",
                            "compare",
                            "books",
                            "done",
                        ],
                    )
                ),
                name="reconciliation_run_phase_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciliationrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("finished_at__isnull", True), ("phase", "done"), _connector="OR"),
                name="reconciliation_run_finished_when_done",
            ),
        ),
        migrations.AddIndex(
            model_name="discrepancy",
            index=models.Index(
                condition=models.Q(("status", "open")), fields=["-found_at"], name="discrepancy_open_by_time"
            ),
        ),
        migrations.AddIndex(
            model_name="discrepancy",
            index=models.Index(fields=["office", "-found_at"], name="discrepancy_by_office"),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "open")),
                fields=("kind", "subject"),
                name="discrepancy_open_once_per_subject",
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "missing_at_stripe",
                            "unknown_to_us",
                            "duplicate_at_stripe",
                            "total",
                            "currency",
                            "customer",
                            "line_count",
                            "line_quantity",
                            "line_price",
                            "paid_there",
                            "paid_here",
                            "canceled_there",
                            "canceled_here",
                            "failed_there",
                            "sent_there",
                            "written_off_there",
                            "paid_after_cancel",
                            "payment_missing",
                            "out_of_band_payment",
                            "overpaid",
                            "underpaid",
                            "refund",
                            "partial_refund",
                            "dispute",
                            "credit_note",
                            "customer_balance",
                            "stuck_draft",
                            "finalization_failed",
                            "text_changed",
                            "metadata_changed",
                            "profile_changed",
                            "customer_deleted",
                            "customer_duplicate",
                            "invoice_deleted",
                            "charge_without_invoice",
                            "active_not_charged",
                            "charged_never_active",
                            "late_event",
                            "orphan_message",
                            "orphan_item",
                            "books_changed_by_hand",
                        ],
                    )
                ),
                name="discrepancy_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["open", "repaired", "gone", "accepted"])),
                name="discrepancy_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("status", "open")),
                    models.Q(
                        models.Q(("status", "open"), _negated=True),
                        ("ended_at__isnull", False),
                        models.Q(("ended_by", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="discrepancy_ended_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(fields=("stripe_refund_id",), name="refund_stripe_id_once"),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["pending", "requires_action", "succeeded", "failed", "canceled"])),
                name="refund_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_cents__gte", 0)), name="refund_amount_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="stripeinvoicecopy",
            index=models.Index(fields=["own_invoice_id"], name="stripe_copy_by_own_invoice"),
        ),
        migrations.AddIndex(
            model_name="stripeinvoicecopy",
            index=models.Index(fields=["created"], name="stripe_copy_by_creation"),
        ),
    )
