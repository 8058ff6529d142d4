"""What each stored field is to the world outside: one class for every field of every model (privacy.md).

One inventory; a test fails for a field that is missing here or gone. `billing.minimization.data_map` renders it.
"""

from collections.abc import Mapping
from enum import StrEnum

from django.apps import apps
from django.db.models import Field, Model


class DataClass(StrEnum):
    """How far a value may go."""

    SAFE_FOR_EXTERNAL = "safe_for_external"  # may stand in a request to Stripe, as it is
    AGGREGATE_ONLY = "aggregate_only"  # may leave as a sum or a count over an office, never row by row
    INTERNAL_ONLY = "internal_only"  # stays with the vendor and the office it is about
    EPHI = "ephi"  # about a person: needs a scope or permission of its own, and never leaves


_SAFE, _AGGREGATE = DataClass.SAFE_FOR_EXTERNAL, DataClass.AGGREGATE_ONLY
_INTERNAL, _EPHI = DataClass.INTERNAL_ONLY, DataClass.EPHI

OUR_APPS = ("audit", "offices", "patients", "billing")

# A reference with a time is pseudonymous ePHI (decisions.md 35): so is every row that joins the two.
_FIELDS: dict[str, dict[DataClass, str]] = {
    "audit.AuditEntry": {
        _INTERNAL: "id stream seq at actor action previous digest mac_key mac",
        _EPHI: "payload",  # names accounts by their reference
    },
    "audit.Checkpoint": {_INTERNAL: "seq at streams entries root previous digest public_key signature"},
    "audit.SealedHead": {_INTERNAL: "id checkpoint place stream seq digest"},
    "audit.StreamHead": {_INTERNAL: "stream seq digest mac_key mac"},
    "offices.Plan": {_INTERNAL: "id code name setup_fee_cents"},
    "offices.PlanPrice": {_INTERNAL: "id plan effective_on unit_price_cents"},
    "offices.Office": {
        _SAFE: "id opaque_name collection_method days_until_due currency",
        # The name and the e-mail as the office wrote them; what may leave is the approved profile.
        _INTERNAL: "reference name billing_email billing_cycle_anchor_date created_at first_cycle_opened_at "
        "past_due_since parked_at",
    },
    "offices.OfficeStatusChange": {_INTERNAL: "id office status effective_at"},
    "offices.OfficeZone": {_INTERNAL: "id office timezone effective_at"},
    "offices.OfficePlan": {_INTERNAL: "id office plan effective_at"},
    "offices.PriceOverride": {_INTERNAL: "id office unit_price_cents starts_on ends_on reason created_at"},
    "offices.OfficeStripeAccount": {
        _SAFE: "customer_id subscription_id",
        _INTERNAL: "office customer_index customer_index_key subscription_index subscription_index_key created_at",
    },
    "patients.Patient": {_INTERNAL: "office", _EPHI: "reference created_at"},
    "patients.ActivityPeriod": {
        _INTERNAL: "id office",
        _EPHI: "patient activated_at deactivated_at deactivation_recorded_at",
    },
    "patients.PatientIdentity": {
        _INTERNAL: "office_id external_id_index_key",
        _EPHI: "patient external_id_index data_key sealed",
    },
    "patients.PatientToken": {_INTERNAL: "office_id kind key_id", _EPHI: "patient_id digest"},
    "patients.RevealGrant": {_INTERNAL: "id actor granted_at expires_at", _EPHI: "patient reason"},
    "billing.OfficeApiKey": {_INTERNAL: "id prefix hashed_key created name revoked expiry_date office scopes"},
    "billing.PlatformApiKey": {_INTERNAL: "id prefix hashed_key created name revoked expiry_date scopes"},
    "billing.PlatformKeyOffice": {_INTERNAL: "id platform_key office"},
    "billing.IdempotentAnswer": {
        _INTERNAL: "id credential key_digest status_code created_at",
        _EPHI: "request_digest body",  # a body may register a person, an answer names the account
    },
    "billing.BillingCycle": {
        _SAFE: "key unit_price_cents",
        _AGGREGATE: "patient_count",
        _INTERNAL: "id office index start_date end_date start_at end_at zone status plan price_version price_override"
        " opened_at carried_over_at closed_at last_period_id",
    },
    "billing.Invoice": {
        _SAFE: "id invoice_type currency collection_method days_until_due stripe_invoice_id",
        _AGGREGATE: "total_cents overpaid_cents",
        _INTERNAL: "office cycle status origin settlement_reason charge_reason version attempt_count created_at "
        "updated_at closed_at sent_at due_at paid_at failed_at canceled_at written_off_at replaces",
        _EPHI: "internal_note",  # staff's own words: checked, and still nobody knows what stands in it
    },
    "billing.LineItem": {
        _SAFE: "unit_price_cents",
        _AGGREGATE: "item_type cycle_key quantity",
        _INTERNAL: "id invoice live",
        _EPHI: "patient_reference created_at",  # the time of the line is the time of the activation
    },
    "billing.HostedInvoicePage": {_INTERNAL: "invoice url updated_at"},
    "billing.OutboxMessage": {
        _SAFE: "payload",
        _INTERNAL: "id kind office invoice correction payload_digest status attempts next_attempt_at lease_token"
        " lease_expires_at error_code created_at done_at",
    },
    "billing.OutboxStep": {
        _SAFE: "operation idempotency_key stripe_object_id customer_id",
        _INTERNAL: "id message position key_version first_sent_at done_at answered_with_error",
    },
    "billing.OutboundRequest": {
        _SAFE: "operation method path query body idempotency_key",  # has left: the evidence of it
        _INTERNAL: "id message sent_at digest policy_version status error_code replayed",
    },
    "billing.Incident": {
        _INTERNAL: "id at policy_version reason operation path_template parameter call_site actor office message"
        " alerted_at disposed_at disposed_by disposition",
    },
    "billing.CanaryRun": {_INTERNAL: "id at blocked"},
    "billing.OfficeProfile": {
        _SAFE: "name email",
        _INTERNAL: "id office override_reason approved_by approved_at replaced_at",
        _EPHI: "advice",  # may say that the owner is a patient
    },
    "billing.ProfileRejection": {_INTERNAL: "id office reason rejected_by rejected_at"},
    "billing.Payment": {
        _SAFE: "stripe_payment_id payment_intent_id charge_id",
        _AGGREGATE: "amount_requested_cents amount_paid_cents",
        _INTERNAL: "id invoice channel status processing currency paid_at recorded_at",
    },
    "billing.Refund": {
        _SAFE: "stripe_refund_id payment_intent_id",
        _AGGREGATE: "amount_cents",
        _INTERNAL: "id invoice status currency refunded_at recorded_at",
    },
    "billing.Dispute": {
        _SAFE: "stripe_dispute_id payment_intent_id",
        _AGGREGATE: "amount_cents",
        _INTERNAL: "id invoice status currency opened_at recorded_at",
    },
    "billing.CreditNote": {
        _SAFE: "id stripe_credit_note_id",
        _AGGREGATE: "amount_cents before_payment_cents out_of_band_cents",
        _INTERNAL: "invoice status currency issued_at recorded_at",
    },
    "billing.Correction": {
        _SAFE: "id",  # the credit note's id in its metadata
        _AGGREGATE: "amount_cents",
        _INTERNAL: "invoice kind status reason payback invoice_version requested_by requested_at expires_at decided_by"
        " decided_at ended_at outcome",
        _EPHI: "note",  # staff's own words
    },
    "billing.DroppedLine": {_INTERNAL: "id correction line_item"},
    "billing.ReconciliationRun": {
        _SAFE: "window_from window_until cursor",
        _AGGREGATE: "total compared invoices_seen found repaired balances",
        _INTERNAL: "id actor cycle_key office since dry_run phase advanced_at stopped started_at finished_at",
    },
    "billing.StripeInvoiceCopy": {
        _SAFE: "stripe_invoice_id own_invoice_id own_cycle_key own_kind",
        _AGGREGATE: "total_cents amount_paid_cents amount_remaining_cents overpaid_cents credited_cents lines",
        _INTERNAL: "run customer_index status currency attempt_count finalization_failed unreadable_field"
        " foreign_fields created finalized_at paid_at voided_at written_off_at seen_at",
        _EPHI: "foreign_codes",  # may say that words at Stripe are about a patient
    },
    "billing.StripeMoneyCopy": {
        _SAFE: "stripe_id stripe_invoice_id payment_intent_id",
        _AGGREGATE: "amount_cents before_payment_cents out_of_band_cents",
        _INTERNAL: "run kind customer_index status has_foreign_text unreadable_field moved_at seen_at",
    },
    "billing.StripeCustomerCopy": {
        _AGGREGATE: "balance_cents",
        _INTERNAL: "customer_index run office own_office_id deleted profile_is_ours seen_at",
    },
    "billing.Discrepancy": {
        _AGGREGATE: "amount_cents",
        _INTERNAL: "id kind status subject office invoice cycle_key repair run found_at last_seen_at owner ended_at"
        " ended_by",
        _EPHI: "ours theirs note",  # may name accounts by their reference; the note is staff's own words
    },
    "billing.MonthClose": {
        _AGGREGATE: "signed",
        _INTERNAL: "key first_signed_by first_signed_at second_signed_by locked_at",
    },
    "billing.ExpectedEvent": {
        _SAFE: "stripe_object_id",
        _INTERNAL: "id step event_type registered_at expected_by heard_at pulled_at",
    },
    "billing.EventReplay": {
        _SAFE: "window_from window_until page_ends",
        _AGGREGATE: "events_seen events_new events_unreadable",
        _INTERNAL: "id actor dry_run started_at finished_at",
    },
    "billing.StaffDevice": {
        _INTERNAL: "id user name confirmed throttling_failure_timestamp throttling_failure_count secret last_step"
        " recovery_digests created_at confirmed_at last_used_at ends_at",
    },
    "billing.EmergencyOpening": {
        _INTERNAL: "id person opened_at ends_at alerted_at",
        _EPHI: "reason",  # staff's own words
    },
    "billing.BillingRun": {
        _AGGREGATE: "offices_due offices_done cycles_opened cycles_closed lines_added invoices_closed offices_parked"
        " already_done billed",
        _INTERNAL: "id as_of actor reason status started_at finished_at",
    },
    "billing.ParkedOffice": {
        _INTERNAL: "id office code incident_id parked_at parked_by park_reason unparked_at unparked_by unpark_reason",
    },
    "billing.StripeEvent": {
        _SAFE: "event_id object_id customer_id",
        _INTERNAL: "event_type customer_index customer_index_key created api_version livemode digest conflict_at"
        " received_at status attempts next_attempt_at processed_at error_code",
    },
}  # fmt: skip


def _inventory() -> dict[str, dict[str, DataClass]]:
    found: dict[str, dict[str, DataClass]] = {}
    for model, classes in _FIELDS.items():
        fields = [(name, data_class) for data_class, names in classes.items() for name in names.split()]
        found[model] = dict(fields)
        if len(found[model]) != len(fields):
            raise ValueError(f"{model} has a field with two classes")
    return found


CLASSIFICATION: Mapping[str, Mapping[str, DataClass]] = _inventory()


def class_of(model: type[Model], field: str) -> DataClass:
    """Return the class of a field; raise KeyError when it has none."""
    return CLASSIFICATION[model._meta.label][field]


def stored_fields() -> dict[str, dict[str, "Field[object, object]"]]:
    """Return every column of every model of ours, as Django knows them."""
    return {
        model._meta.label: {field.name: field for field in model._meta.concrete_fields if field.column}
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in OUR_APPS
    }
