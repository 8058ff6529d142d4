"""Who calls, for which office, and what they may do: `Authorization: Api-Key <key>`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable
from uuid import UUID

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from billing.models import OfficeApiKey, Scope

KEYWORD = "Api-Key"
NO_ACTION = (None, "metadata")  # the framework's names for a method the path does not have; its 405 follows
# Prefix of 8, secret of 32 (the library's KeyGenerator). What has another shape never reaches the database.
_KEY = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a key proves. It stands where Django has a user: views ask it for the office, never the input."""

    prefix: str
    office_id: UUID
    scopes: frozenset[Scope]

    is_authenticated = True

    @property
    def actor(self) -> str:
        """The name under which the audit trail knows this caller."""
        return f"api-key:{self.prefix}"

    def acts_for(self, office_id: UUID) -> bool:
        """Return whether this caller may act for the office."""
        return office_id == self.office_id


class ApiKeyAuthentication(BaseAuthentication):
    """Turn the key of the header into a Credential, with one query."""

    def authenticate(self, request: Request) -> tuple[Credential, Credential] | None:
        """Return the credential; None without the header. Raises AuthenticationFailed."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        keyword, _, key = header.partition(" ")
        if keyword.lower() != KEYWORD.lower() or not _KEY.fullmatch(key):
            raise AuthenticationFailed
        credential = _credential(key)
        return credential, credential

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """Return what a 401 says in WWW-Authenticate (RFC 9110, section 11.6.1)."""
        return KEYWORD


def _credential(key: str) -> Credential:
    """Return the credential of a usable key; an unknown, wrong, revoked or expired one is all the same."""
    try:
        row: Any = OfficeApiKey.objects.get_from_key(key)
    except OfficeApiKey.DoesNotExist:
        raise AuthenticationFailed from None
    if row.has_expired:
        raise AuthenticationFailed
    return Credential(prefix=row.prefix, office_id=row.office_id, scopes=row.scope_set)


@runtime_checkable
class ScopedView(Protocol):
    """A viewset that names the scope of each of its actions."""

    action: str
    scopes: ClassVar[Mapping[str, Scope]]


class HasScope(BasePermission):
    """Each action of a viewset names the scope it needs; one without a scope is closed to everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return False without a credential (401); raise PermissionDenied (403) when the scope is missing."""
        credential = request.auth
        if not isinstance(credential, Credential) or not isinstance(view, ScopedView):
            return False
        if view.action not in NO_ACTION:
            require_scope(credential, view.scopes.get(view.action))
        return True


def require_scope(credential: Credential, scope: Scope | None) -> None:
    """Raise PermissionDenied unless the credential has this scope."""
    if scope is None or scope not in credential.scopes:
        raise PermissionDenied(f"This key lacks the scope {scope}." if scope else None, code="scope_missing")


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description names this authentication."""

    target_class = ApiKeyAuthentication
    name = "ApiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Return the security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`Authorization: {KEYWORD} <key>`. A key belongs to one office and has scopes.",
        }
