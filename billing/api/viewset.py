"""What every viewset of the API shares: who calls, for which office, within which transaction, and how it is told."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import ErrorDetail, NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from billing.api.authentication import NO_ACTION, ApiKeyAuthentication, HasScope, StaffSession
from billing.api.conditional import make_conditional
from billing.api.credentials import Credential
from billing.api.idempotency import answered_once
from billing.api.pagination import PAGE_PARAMETERS
from billing.api.parsing import LengthRequired, StrictJSONParser
from billing.api.strict import StrictSerializer, refuse_unknown
from billing.api.tenants import api_transaction
from billing.api.throttling import KeyThrottle
from billing.api.uses import record_refused_use, record_use
from billing.api.versions import Deprecation, require_known_version
from billing.models import Scope

READING = ("GET", "HEAD")


class OfficeViewSet(GenericViewSet[Any]):
    """A viewset whose every request acts for one office, which lies in the credential's set.

    Actions parse, make one use-case call and translate its answer; exceptions are translated in errors.py. Each runs in
    one transaction behind both walls of tenants.py, together with its idempotency key and the record of its use.
    """

    permission_classes = (HasScope,)
    throttle_classes = (KeyThrottle,)
    parser_classes = (StrictJSONParser,)

    # The scope each action needs; an action without one is closed.
    scopes: ClassVar[Mapping[str, Scope]] = {}
    # The query parameters each action knows, beside those of pages for `list`.
    queries: ClassVar[Mapping[str, type[StrictSerializer]]] = {}
    # Actions that are to go (versions.py).
    deprecated: ClassVar[Mapping[str, Deprecation]] = {}

    query: Mapping[str, Any]
    action_map: dict[str, str]

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return who may prove themselves how: keys always, the console's sessions only to read."""
        keys = ApiKeyAuthentication()
        return [keys, StaffSession()] if getattr(self.request, "method", None) in READING else [keys]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let the framework do what it does, and carry out the action within its transaction."""
        method = str(request.method).lower()
        if method in self.action_map:
            setattr(self, method, partial(self._carry_out, getattr(self, method)))
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check version, credential, scope and rate, then the query."""
        super().initial(request, *args, **kwargs)
        require_known_version(request)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            raise LengthRequired
        if self.action not in NO_ACTION:
            self.query = self._read_query(request)

    def check_permissions(self, request: Request) -> None:
        """Count the call before its scope is judged, so that no key tries without end; record what was refused."""
        super().check_throttles(request)
        try:
            super().check_permissions(request)
        except PermissionDenied:
            record_refused_use(request, self.credential, now=timezone.now())
            raise

    def check_throttles(self, request: Request) -> None:
        """It was counted above already."""

    def _carry_out(self, action: Callable[..., Response], request: Request, *args: Any, **kwargs: Any) -> Response:
        """Run the action in one transaction with all that belongs to it."""
        credential, writes = self.credential, request.method not in READING
        work = partial(action, request, *args, **kwargs)
        now = timezone.now()
        try:
            with api_transaction(credential, writes=writes or credential.audited):
                self.require_office(kwargs.get("office_id"))
                response = answered_once(request, credential=credential, now=now, work=work) if writes else work()
                record_use(request, credential, now=now)
        except Exception:
            record_refused_use(request, credential, now=now)
            raise
        return response

    @property
    def credential(self) -> Credential:
        """Who calls."""
        return cast(Credential, self.request.auth)  # HasScope let nobody else in

    def require_office(self, office_id: UUID | None) -> None:
        """Raise NotFound unless the office of the input is one of the caller's: for others it does not exist."""
        if office_id is not None and not self.credential.acts_for(office_id):
            raise NotFound

    def named_office(self, values: Mapping[str, Any]) -> UUID:
        """Return the office a body or query names, or else the only one of the key.

        Raises NotFound, and ValidationError when a caller with several offices names none.
        """
        self.require_office(values.get("office_id"))
        office_id = values.get("office_id") or self.credential.only_office
        if office_id is None:
            detail = ErrorDetail("Name the office: this credential acts for several.", code="required")
            raise ValidationError({"office_id": [detail]})
        return cast(UUID, office_id)

    def read(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the validated body."""
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Keep answers out of every cache: references with activity are pseudonymous ePHI (decisions.md 35)."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        for name, value in getattr(request._request, "rate_limit", {}).items():
            final[name] = value
        if (deprecation := self.deprecated.get(self.action or "")) is not None:
            for name, value in deprecation.headers().items():
                final[name] = value
        make_conditional(request, final)
        return final

    def _read_query(self, request: Request) -> Mapping[str, Any]:
        """Return the validated query parameters; unknown and repeated ones are refused, never ignored."""
        known = self.queries.get(self.action, StrictSerializer)
        if not request.query_params and not known.needs_something():
            return {}
        paging = PAGE_PARAMETERS if self.action == "list" else frozenset()
        refuse_unknown(set(request.query_params) - set(known().fields) - paging, code="unknown_parameter")
        for name, values in request.query_params.lists():
            if len(values) > 1:
                raise ValidationError({name: [ErrorDetail("Give this parameter once.", code="repeated")]})
        query = known(data={name: request.query_params[name] for name in request.query_params if name not in paging})
        query.is_valid(raise_exception=True)
        return dict(query.validated_data)
