"""Patient accounts: register, list, activate and deactivate with billing."""

from typing import ClassVar
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from billing.activation import (
    OfficeNotBillable,
    PeriodEmpty,
    PeriodsOverlap,
    TimeInFuture,
    activate_patient,
    deactivate_patient,
)
from billing.api.errors import conflicts
from billing.api.invoice_detail import explained
from billing.api.invoice_rows import row_of_line
from billing.api.pagination import ByReference
from billing.api.patient_contract import (
    ActivatedSerializer,
    ActivateSerializer,
    DeactivatedSerializer,
    DeactivateSerializer,
    NewPatientSerializer,
    PatientQuery,
    PatientSerializer,
    RegisteredPatientSerializer,
)
from billing.api.patient_rows import patient_rows
from billing.api.rows_as_json import all_as_json, as_json
from billing.api.tenants import office_of
from billing.api.viewset import OfficeViewSet
from billing.models import Scope
from offices.timeline import NoPriceVersion
from patients.models import Patient
from patients.registration import RecordNumberTaken, register_patient


class PatientViewSet(OfficeViewSet):
    """The office's patient accounts."""

    scopes: ClassVar = {
        "create": Scope.PATIENTS_WRITE,
        "list": Scope.PATIENTS_READ,
        "activate": Scope.PATIENTS_WRITE,
        "deactivate": Scope.PATIENTS_WRITE,
    }
    queries: ClassVar = {"list": PatientQuery}
    pagination_class = ByReference

    @extend_schema(
        operation_id="patient_register",
        tags=["patients"],
        summary="Register a patient account",
        request=NewPatientSerializer,
        responses={
            201: RegisteredPatientSerializer,
            200: RegisteredPatientSerializer,
            **conflicts(RecordNumberTaken),
        },
    )
    def create(self, request: Request) -> Response:  # noqa: ARG002
        """Make an account, not yet active; the same person again answers 200 and changes nothing.

        Needs `patients:write`.
        """
        body = self.read(NewPatientSerializer)
        office_id = self.named_office(body)
        registration = register_patient(
            office_id=office_id,
            external_id=body["external_id"],
            first_name=body.get("first_name", ""),
            last_name=body.get("last_name", ""),
            date_of_birth=body.get("date_of_birth"),
            email=body.get("email", ""),
            phone=body.get("phone", ""),
            actor=self.credential.actor,
            now=timezone.now(),
        )
        answer = {
            "patient_id": registration.patient.pk,
            "office_id": office_id,
            "created": registration.created,
        }
        return Response(
            as_json(RegisteredPatientSerializer, answer),
            status=status.HTTP_201_CREATED if registration.created else status.HTTP_200_OK,
        )

    @extend_schema(
        operation_id="patient_list",
        tags=["patients"],
        summary="List patient accounts and their billing status",
        parameters=[PatientQuery],
        responses=PatientSerializer(many=True),
    )
    def list(self, request: Request) -> Response:  # noqa: ARG002
        """Return a page of references with their activity, in the order of the reference. Needs `patients:read`."""
        page = self.paginate_queryset(patient_rows(self.named_office(self.query)))
        return self.get_paginated_response(all_as_json(PatientSerializer, page or ()))

    @extend_schema(
        operation_id="patient_activate",
        tags=["patients"],
        summary="Activate a patient account, with billing",
        request=ActivateSerializer,
        responses={
            201: ActivatedSerializer,
            200: ActivatedSerializer,
            **conflicts(OfficeNotBillable, NoPriceVersion, PeriodsOverlap, TimeInFuture),
        },
    )
    def activate(self, request: Request, patient_id: UUID) -> Response:  # noqa: ARG002
        """Charge the open cycle at once; a backdated activation charges closed cycles by adjustment lines.

        An account that is active already answers 200 with `changed` false. Needs `patients:write`.
        """
        office_id = self._office_of(patient_id)
        result = activate_patient(
            office_id=office_id,
            patient_id=patient_id,
            activated_at=self.read(ActivateSerializer).get("activated_at"),
            actor=self.credential.actor,
            now=timezone.now(),
        )
        answer = {
            "patient_id": patient_id,
            "active": True,
            "changed": result.changed,
            "line_items": explained(row_of_line(line, office_id) for line in result.lines),
            "waived_cycles": result.waived_cycles,
        }
        return Response(
            as_json(ActivatedSerializer, answer),
            status=status.HTTP_201_CREATED if result.changed else status.HTTP_200_OK,
        )

    @extend_schema(
        operation_id="patient_deactivate",
        tags=["patients"],
        summary="Deactivate a patient account",
        request=DeactivateSerializer,
        responses={200: DeactivatedSerializer, **conflicts(PeriodEmpty, TimeInFuture)},
    )
    def deactivate(self, request: Request, patient_id: UUID) -> Response:  # noqa: ARG002
        """End the activity; lines stay, and the account is not carried into the next cycle. Needs `patients:write`."""
        changed = deactivate_patient(
            office_id=self._office_of(patient_id),
            patient_id=patient_id,
            deactivated_at=self.read(DeactivateSerializer).get("deactivated_at"),
            actor=self.credential.actor,
            now=timezone.now(),
        )
        answer = {"patient_id": patient_id, "active": False, "changed": changed}
        return Response(as_json(DeactivatedSerializer, answer))

    def _office_of(self, patient_id: UUID) -> UUID:
        """Return the caller's only office, or else the patient's; raise NotFound when that is none of the caller's."""
        credential = self.credential
        return credential.only_office or office_of(Patient, patient_id, credential.office_ids)
