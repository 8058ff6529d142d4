"""Every answer that is not a success: JSON, one shape, a documented code (drf-standardized-errors).

Views raise what the use cases raise; this is the one place that knows which of them is a 404, a 409 or a 503.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_serializer
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import serializers, status
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from billing.activation import OfficeNotBillable, PatientNotFound, PeriodEmpty, PeriodsOverlap, TimeInFuture
from billing.api.parsing import BodyTooLarge, LengthRequired
from billing.charges import (
    AmountMissing,
    OfficeClosed,
    OfficeTrialing,
    SetupFeeAlreadyCharged,
)
from billing.idempotent_answers import CallInProgress, KeyReused
from billing.monthly_invoice import NoOpenInvoice
from billing.staff_notes import NoteLooksLikePatientData
from offices.import_findings import MESSAGES
from offices.locking import OfficeBusy, OfficeNotFound
from offices.timeline import NoPriceVersion
from patients.registration import IdentityInvalid, RecordNumberTaken

API = "/api"
RETRY_AFTER_SECONDS = 1  # no use case holds an office longer; the lock was waited for 3 s already (decisions.md 39)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API says of an exception of a use case; the texts are the contract's, not the exception's."""

    code: str
    detail: str
    status_code: int = status.HTTP_409_CONFLICT


REFUSALS: dict[type[Exception], Refusal] = {
    OfficeNotBillable: Refusal("office_not_billable", "The office is canceled or inactive: nothing new is charged."),
    NoOpenInvoice: Refusal("no_open_invoice", "The invoice of the present cycle was canceled, or its month is signed."),
    OfficeTrialing: Refusal("office_trialing", "The office is in its trial: nothing is charged yet."),
    OfficeClosed: Refusal("office_closed", "The office is canceled or inactive: it gets no setup fee."),
    SetupFeeAlreadyCharged: Refusal("setup_fee_already_charged", "The office already has a setup fee."),
    NoteLooksLikePatientData: Refusal(
        "note_looks_like_patient_data",
        "The note looks like patient data: write it without, or say in `note_override_reason` why it stands.",
    ),
    PeriodsOverlap: Refusal("periods_overlap", "The patient account was already active at that time."),
    PeriodEmpty: Refusal("period_empty", "The deactivation must be later than the activation."),
    TimeInFuture: Refusal("time_in_future", "Activity is recorded when it has begun or ended, never ahead of time."),
    NoPriceVersion: Refusal("no_price_version", "The office's plan has no price for this cycle yet."),
    RecordNumberTaken: Refusal(
        "record_number_taken", "This record number belongs to a patient account that is described otherwise."
    ),
    CallInProgress: Refusal(
        "idempotency_key_in_progress", "The same `Idempotency-Key` is being carried out; ask again for its answer."
    ),
    KeyReused: Refusal(
        "idempotency_key_reused",
        "The `Idempotency-Key` has been used for another request.",
        status_code=status.HTTP_422_UNPROCESSABLE_ENTITY,
    ),
    OfficeBusy: Refusal(
        "office_busy", "The office is busy; try again.", status_code=status.HTTP_503_SERVICE_UNAVAILABLE
    ),
}
_NOT_FOUND = (OfficeNotFound, PatientNotFound)
_UNKNOWN_METHOD = "This address does not know the method."
_TRY_AGAIN = {REFUSALS[OfficeBusy].code, REFUSALS[CallInProgress].code}


class Refused(APIException):
    """A refusal on its way out."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail, refusal.code)
        self.status_code = refusal.status_code
        self.wait = RETRY_AFTER_SECONDS if refusal.code in _TRY_AGAIN else None


class ApiExceptionHandler(ExceptionHandler):
    """The library's handler, which also knows what our use cases raise."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Translate; what is not listed stays a bug and becomes a 500 without details."""
        if isinstance(exc, _NOT_FOUND):
            return NotFound()
        if isinstance(exc, RequestDataTooBig):
            return BodyTooLarge()
        if isinstance(exc, UnsupportedMediaType):
            # The library's own sentence repeats the type that was sent.
            exc.detail = ErrorDetail("The body must be application/json.", code=exc.default_code)
        if isinstance(exc, MethodNotAllowed):
            exc.detail = ErrorDetail(_UNKNOWN_METHOD, code=exc.default_code)
        if isinstance(exc, AmountMissing):
            return ValidationError({"amount": [ErrorDetail("This reason needs an amount.", code="required")]})
        if isinstance(exc, IdentityInvalid):
            return ValidationError(
                {cause.field: [ErrorDetail(MESSAGES[cause.code], code=cause.code)] for cause in exc.causes}
            )
        refusal = REFUSALS.get(type(exc))
        return Refused(refusal) if refusal else super().convert_known_exceptions(exc)

    def get_response(self, exc: APIException, data: Any) -> Response:
        """Answer in JSON also where the answer itself would have been something else, such as the schema's YAML."""
        request: Any = self.context["request"]
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return super().get_response(exc, data)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """Report bugs; a busy office is an expected fact (architecture rule 10)."""
        if not isinstance(exc, Refused):
            super().report_exception(exc, response)


# --- What the OpenAPI description says of errors ---
class ErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField(help_text="A stable word for programs.")
    detail = serializers.CharField(help_text="A sentence for people. Never repeats what was sent.")
    attr = serializers.CharField(allow_null=True, help_text="The field or parameter at fault, if it is one.")


@extend_schema_serializer(component_name="Problem")
class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was not carried out."""

    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]  # a field is no attribute of the class


def conflicts(*exceptions: type[Exception]) -> dict[int, OpenApiResponse]:
    """Describe a write's refusals: each with its code, the busy office, its key, and a body that is not read."""
    refusals = [REFUSALS[exception] for exception in exceptions]
    answers: dict[int, OpenApiResponse] = {
        error.status_code: _response([Refusal(error.default_code, error.default_detail, error.status_code)])
        for error in (LengthRequired, BodyTooLarge)
    }
    answers[status.HTTP_404_NOT_FOUND] = OpenApiResponse(
        ProblemSerializer, description="`not_found`: There is no such office or patient account for this key."
    )
    answers[status.HTTP_503_SERVICE_UNAVAILABLE] = _response([REFUSALS[OfficeBusy]])
    answers[status.HTTP_409_CONFLICT] = _response([*refusals, REFUSALS[CallInProgress]])
    answers[status.HTTP_422_UNPROCESSABLE_ENTITY] = _response([REFUSALS[KeyReused]])
    return answers


def _response(refusals: list[Refusal]) -> OpenApiResponse:
    return OpenApiResponse(
        ProblemSerializer,
        description=" ".join(f"`{refusal.code}`: {refusal.detail}" for refusal in refusals),
        examples=[_example(refusal) for refusal in refusals],
    )


def _example(refusal: Refusal) -> OpenApiExample:
    kind = "server_error" if status.is_server_error(refusal.status_code) else "client_error"
    error = {"code": refusal.code, "detail": refusal.detail, "attr": None}
    return OpenApiExample(
        refusal.code, value={"type": kind, "errors": [error]}, response_only=True, status_codes=[refusal.status_code]
    )


# --- Errors outside any view: JSON under /api/, Django's own pages elsewhere ---
@csrf_exempt  # or a POST to a wrong address would get the CSRF page instead
def not_found(request: HttpRequest, *_args: object, **_kwargs: object) -> JsonResponse:  # noqa: ARG001
    """Answer an address that the API does not have."""
    return _problem(status.HTTP_404_NOT_FOUND, "not_found", "Not found.")


def method_not_allowed(allowed: Iterable[str]) -> JsonResponse:
    """Answer a method that an address without a viewset does not know."""
    answer = _problem(status.HTTP_405_METHOD_NOT_ALLOWED, "method_not_allowed", _UNKNOWN_METHOD)
    answer["Allow"] = ", ".join(allowed)
    return answer


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Be Django's `handler404`."""
    return not_found(request) if _is_api(request) else defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Be Django's `handler400`: a host that is not ours, a header that cannot be read."""
    if _is_api(request):
        return _problem(status.HTTP_400_BAD_REQUEST, "bad_request", "The request cannot be read.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Be Django's `handler500`."""
    if _is_api(request):
        return _problem(status.HTTP_500_INTERNAL_SERVER_ERROR, "error", "Server Error (500)")
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path == API or request.path.startswith(f"{API}/")


def _problem(status_code: int, code: str, detail: str) -> JsonResponse:
    kind = "server_error" if status.is_server_error(status_code) else "client_error"
    error = {"code": code, "detail": detail, "attr": None}
    return JsonResponse({"type": kind, "errors": [error]}, status=status_code)
