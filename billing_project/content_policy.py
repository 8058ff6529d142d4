"""The Content-Security-Policy header: strict everywhere, with one exception for the console."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

CONSOLE = {
    # unfold's Alpine.js evaluates expressions from attributes (dependencies.md, "Known traps").
    "script-src": ["'self'", "'unsafe-eval'"],
    # unfold writes its theme's colours into a style element.
    "style-src": ["'self'", "'unsafe-inline'"],
}


class ContentPolicyMiddleware(CSPMiddleware):
    """Loosens the policy of settings.CONTENT_SECURITY_POLICY for pages of the admin, and for nothing else."""

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    ) -> PolicyParts:
        """Return what the header is built from."""
        parts = super().get_policy_parts(request, response, report_only)
        match = request.resolver_match
        if match is not None and match.app_name == "admin":
            parts.replace = CONSOLE | (parts.replace or {})
        return parts
