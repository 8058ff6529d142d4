"""The shape of patient accounts, activations and deactivations on the wire. Examples hold nobody's data."""

import re
from datetime import date
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.api.invoice_contract import INVOICE, LINE_EXAMPLE, OFFICE, PATIENT, LineItemSerializer
from billing.api.strict import Id, Instant, StrictSerializer, Text
from patients.registration import LONGEST

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Day(serializers.DateField):
    """A calendar day, YYYY-MM-DD."""

    def to_internal_value(self, value: Any) -> date:
        """Return the day."""
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            self.fail("invalid", format="YYYY-MM-DD")
        return super().to_internal_value(value)


@extend_schema_serializer(examples=[OpenApiExample("account", value={"external_id": "record-0001"}, request_only=True)])
class NewPatientSerializer(StrictSerializer):
    """A person at the office. The identity is sealed at once, never read by billing, and never sent to Stripe."""

    office_id = Id(required=False, help_text="Needed by a key that acts for several offices.")
    external_id = Text(max_length=LONGEST["external_id"], help_text="The office's own record number.")
    first_name = Text(required=False, allow_blank=True, max_length=LONGEST["first_name"])
    last_name = Text(required=False, allow_blank=True, max_length=LONGEST["last_name"])
    date_of_birth = Day(required=False, allow_null=True)
    email = Text(required=False, allow_blank=True, max_length=LONGEST["email"])
    phone = Text(required=False, allow_blank=True, max_length=LONGEST["phone"])


class RegisteredPatientSerializer(serializers.Serializer[Any]):
    """The account that stands for the person from now on; `created` is false when it was there before."""

    patient_id = serializers.UUIDField()
    office_id = serializers.UUIDField()
    created = serializers.BooleanField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "account",
            value={
                "patient_id": PATIENT,
                "office_id": OFFICE,
                "active": True,
                "activated_at": "2026-03-04T15:30:00Z",
                "deactivated_at": None,
                "charged_in_open_cycle": True,
                "created_at": "2026-03-04T15:29:00Z",
            },
            response_only=True,
        )
    ]
)
class PatientSerializer(serializers.Serializer[Any]):
    """A patient account and its billing status; `patient_id` is the `anonymous_patient_ref` of its lines."""

    patient_id = serializers.UUIDField(source="reference")
    office_id = serializers.UUIDField()
    active = serializers.BooleanField(source="is_active")
    activated_at = serializers.DateTimeField(allow_null=True, help_text="When its latest activity began.")
    deactivated_at = serializers.DateTimeField(allow_null=True, help_text="When it ended; null while active.")
    charged_in_open_cycle = serializers.BooleanField(source="is_charged")
    created_at = serializers.DateTimeField()


class PatientQuery(StrictSerializer):
    """Whose accounts."""

    office_id = Id(required=False, help_text="Needed by a caller that acts for several offices.")


class ActivateSerializer(StrictSerializer):
    """When the activity began; now, unless an earlier time is given."""

    activated_at = Instant(required=False, allow_null=True)


class DeactivateSerializer(StrictSerializer):
    """When the activity ended; now, unless an earlier time is given."""

    deactivated_at = Instant(required=False, allow_null=True)


class ChargedLineSerializer(LineItemSerializer):
    """A line that an activation added: an `adjustment` when the cycle it charges for has closed already."""

    invoice_id = serializers.UUIDField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "activated",
            value={
                "patient_id": PATIENT,
                "active": True,
                "changed": True,
                "line_items": [{**LINE_EXAMPLE, "invoice_id": INVOICE}],
                "waived_cycles": [],
            },
            response_only=True,
            status_codes=[201],
        ),
        OpenApiExample(
            "already active",
            value={"patient_id": PATIENT, "active": True, "changed": False, "line_items": [], "waived_cycles": []},
            response_only=True,
            status_codes=[200],
        ),
    ]
)
class ActivatedSerializer(serializers.Serializer[Any]):
    """What an activation changed. No line and changed: every cycle it touches had charged the account already."""

    patient_id = serializers.UUIDField()
    active = serializers.BooleanField()
    changed = serializers.BooleanField()
    line_items = ChargedLineSerializer(many=True)
    waived_cycles = serializers.ListField(
        child=serializers.CharField(), help_text="Cycles that stay free: their invoice was canceled."
    )


class DeactivatedSerializer(serializers.Serializer[Any]):
    """What a deactivation changed; it takes no line away."""

    patient_id = serializers.UUIDField()
    active = serializers.BooleanField()
    changed = serializers.BooleanField()
