"""What every viewset of the API shares: the office of the credential, the scope of the action, the known query."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from billing.api.authentication import NO_ACTION, ApiKeyAuthentication, Credential, HasScope
from billing.api.pagination import PAGE_PARAMETERS
from billing.api.parsing import LengthRequired, StrictJSONParser
from billing.api.strict import StrictSerializer, refuse_unknown
from billing.models import Scope


class OfficeViewSet(GenericViewSet[Any]):
    """A viewset whose every request acts for exactly one office: the credential's.

    Actions parse, make one use-case call and translate its answer; exceptions are translated in errors.py.
    `Idempotency-Key` is not read yet: it belongs here, around the action (reliability.md). Activation, deactivation,
    registration and the monthly invoice are idempotent by themselves; a repeated one-off is a second charge.
    """

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = (HasScope,)
    parser_classes = (StrictJSONParser,)

    # The scope each action needs; an action without one is closed.
    scopes: ClassVar[Mapping[str, Scope]] = {}
    # The query parameters each action knows, beside those of pages for `list`.
    queries: ClassVar[Mapping[str, type[StrictSerializer]]] = {}

    query: Mapping[str, Any]
    office_id: UUID

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check credential and scope, then the query, then that the office of the path is the credential's."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            raise LengthRequired
        if self.action in NO_ACTION:
            return
        self.query = self._read_query(request)
        self.office_id = self.credential.office_id
        self.require_office(kwargs.get("office_id"))

    @property
    def credential(self) -> Credential:
        """Who calls."""
        return cast(Credential, self.request.auth)  # HasScope let nobody else in

    def require_office(self, office_id: UUID | None) -> None:
        """Raise NotFound unless the office of the input is the caller's: for others it does not exist."""
        if office_id is not None and not self.credential.acts_for(office_id):
            raise NotFound

    def read(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the validated body, whose `office_id`, if it has one, is the caller's."""
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        self.require_office(body.validated_data.get("office_id"))
        return dict(body.validated_data)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Keep answers out of every cache: references with activity are pseudonymous ePHI (decisions.md 35)."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final

    def _read_query(self, request: Request) -> Mapping[str, Any]:
        """Return the validated query parameters; unknown and repeated ones are refused, never ignored."""
        known = self.queries.get(self.action, StrictSerializer)
        paging = PAGE_PARAMETERS if self.action == "list" else frozenset()
        refuse_unknown(set(request.query_params) - set(known().fields) - paging, code="unknown_parameter")
        for name, values in request.query_params.lists():
            if len(values) > 1:
                raise ValidationError({name: [ErrorDetail("Give this parameter once.", code="repeated")]})
        query = known(data={name: request.query_params[name] for name in request.query_params if name not in paging})
        query.is_valid(raise_exception=True)
        return dict(query.validated_data)
