"""Who calls: `Authorization: Api-Key <key>`, or for reading a session of the console."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from django.contrib import admin
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from billing.api.credentials import Credential, credential_of_key, credential_of_staff
from billing.models import Scope

KEYWORD = "Api-Key"
NO_ACTION = (None, "metadata")  # the framework's names for a method the path does not have; its 405 follows
# Prefix of 8, secret of 32 (the library's KeyGenerator). What has another shape never reaches the database.
_KEY = re.compile(r"(P-[A-Za-z0-9]{6}|[A-Za-z0-9]{8})\.[A-Za-z0-9]{32}", re.ASCII)


class ApiKeyAuthentication(BaseAuthentication):
    """Turn the key of the header into a Credential."""

    def authenticate(self, request: Request) -> tuple[Credential, Credential] | None:
        """Return the credential; None without the header. Raises AuthenticationFailed."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        keyword, _, key = header.partition(" ")
        if keyword.lower() != KEYWORD.lower() or not _KEY.fullmatch(key):
            raise AuthenticationFailed
        credential = credential_of_key(key)
        return credential, credential

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """Return what a 401 says in WWW-Authenticate (RFC 9110, section 11.6.1)."""
        return KEYWORD


class StaffSession(BaseAuthentication):
    """Let whoever may enter the console read here. Views offer it for reading only, so no CSRF token is needed."""

    def authenticate(self, request: Request) -> tuple[Credential, Credential] | None:
        """Return the credential; None for a visitor and for a session that does not open the console."""
        session: Any = request._request  # the framework's request would ask the authenticators, and so us again
        user = getattr(session, "user", None)
        if user is None or not admin.site.has_permission(session):
            return None
        credential = credential_of_staff(user)
        return credential, credential


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
    """How the OpenAPI description names keys."""

    target_class = ApiKeyAuthentication
    name = "ApiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Return the security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`Authorization: {KEYWORD} <key>`. A key belongs to one office, a platform's to several; "
            "each has scopes.",
        }


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description names sessions."""

    target_class = StaffSession
    name = "StaffSession"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Return the security scheme."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A session of the console. It may only read.",
        }
