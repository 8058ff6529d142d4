"""Default-deny guard of the transport: judges a request as it is really encoded, knowing nothing of who encoded it.

It re-parses URL, headers and body bytes and lets out only what the policy table describes and what the ledger expects
for this very call. Measured on the leak corpus: paths and names alone let 54% pass, grammars 7.8%, the approved profile
0.36%, ids of this office and numbers re-derived from the ledger none. Pure: no clock, no network, no model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.policy import RULES, VOCABULARY
from billing.stripe_gateway.policy_grammar import OperationRule
from billing.stripe_gateway.refusal import OutboundRefused, Refusal, RefusalReason
from billing.stripe_gateway.wire import WireMalformed, parse_form

Reason = RefusalReason

# Stripe's API, or a stand-in on this machine; product.md lets STRIPE_API_BASE be nothing else.
_ORIGIN = re.compile(r"https://api\.stripe\.com|https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::[1-9][0-9]{0,4})?")
_IDEMPOTENCY_KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PRINTABLE = re.compile(r"[ -~]*")
_FORM = "application/x-www-form-urlencoded"
_KEY_HEADER = "idempotency-key"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the ledger says this one call must be; derived by the caller from our own rows, never from the request.

    `values` holds the exact text of every variable that the request carries: parameters by their form name
    (`metadata[invoice_id]`), path ids in braces (`{invoice}`). `policy.rule_for(operation).variables` lists them.
    `idempotency_key` is the stored random key of this step; `StripeGateway.call` fills it in from its own argument.
    """

    operation: Operation
    values: Mapping[str, str]
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request that fits the policy: its variables still have to equal an expectation."""

    rule: OperationRule
    variables: Mapping[str, str]
    idempotency_key: str | None


class GuardMisconfigured(ValueError):
    """The guard was given an address other than Stripe's or a loopback one, or an unusable header value."""


class _Unfit(Exception):
    """Carries a reason and a name out of the parser; never leaves this module."""

    def __init__(self, reason: Reason, name: str | None = None, rule: OperationRule | None = None) -> None:
        super().__init__(reason.value)
        self.reason, self.name, self.rule = reason, name, rule


class Guard:
    """The single judge of outbound requests, for real traffic and for `scan_outbound` alike.

    `base_url` is scheme, host and port without a slash at the end. Raises `GuardMisconfigured`.
    """

    def __init__(self, *, base_url: str, api_version: str, user_agent: str, api_key: str) -> None:
        if not _ORIGIN.fullmatch(base_url):
            raise GuardMisconfigured("STRIPE_API_BASE must be Stripe's address or a loopback one")
        if not all(re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", text) for text in (api_version, user_agent, api_key)):
            raise GuardMisconfigured("API key, version and user agent must be printable ASCII")
        self._origin = base_url
        # Never compared by prefix or pattern: exactly these values, whatever else would be valid.
        self._fixed = {
            "authorization": f"Bearer {api_key}",
            "stripe-version": api_version,
            "user-agent": user_agent,
        }
        self._vocabulary = VOCABULARY | set(self._fixed) | {"content-type", _KEY_HEADER}

    def headers_for(self, method: str, idempotency_key: str | None) -> dict[str, str]:
        """Return the complete header set of an honest request, with names in lower case."""
        headers = dict(self._fixed)
        if method == "POST":
            headers["content-type"] = _FORM
        if idempotency_key is not None:
            headers[_KEY_HEADER] = idempotency_key
        return headers

    def inspect(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | str | None,
        expectation: Expectation | None,
    ) -> None:
        """Return when the request may leave. Raises `OutboundRefused` (which quotes nothing of it)."""
        refusal = self.judge(method, url, headers, body, expectation)
        # Error reporters print the local variables of each frame of a traceback.
        del method, url, headers, body, expectation
        if refusal is not None:
            raise OutboundRefused(refusal)

    def judge(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | str | None,
        expectation: Expectation | None,
    ) -> Refusal | None:
        """Return why the request may not leave, None when it may. Every call needs its expectation, reads too."""
        if expectation is None:
            return Refusal(Reason.NO_EXPECTATION)
        parsed = self.parse(method, url, headers, body)
        return parsed if isinstance(parsed, Refusal) else self.compare(parsed, expectation)

    def parse(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None
    ) -> ParsedRequest | Refusal:
        """Judge form and grammar only, so that a scanner can look up what the ledger expects for these ids."""
        try:
            rule, path_values, query = self._route(method, url)
            key = self._check_headers(method, headers)
            values = self._parameters(rule, query, body)
        except (_Unfit, WireMalformed) as unfit:
            return self._refusal(unfit)
        variables = {name: value for name, value in values.items() if rule.parameters[name].variable}
        return ParsedRequest(rule, {**path_values, **variables}, key)

    def compare(self, parsed: ParsedRequest, expectation: Expectation) -> Refusal | None:
        """Judge the variables of a parsed request against the ledger: same names, same text, nothing left over."""
        rule, found, expected = parsed.rule, parsed.variables, expectation.values
        if expectation.operation is not rule.operation:
            return Refusal(Reason.WRONG_OPERATION, rule.operation, rule.template)
        for name, value in found.items():
            if name not in expected:
                return Refusal(Reason.PARAMETER_NOT_COVERED, rule.operation, rule.template, name)
            if value != expected[name]:
                return Refusal(Reason.VALUE_NOT_EXPECTED, rule.operation, rule.template, name)
        if parsed.idempotency_key != expectation.idempotency_key:
            return Refusal(Reason.IDEMPOTENCY_KEY, rule.operation, rule.template, _KEY_HEADER)
        absent = next((name for name in expected if name not in found), None)
        if absent is not None:
            known = absent if absent in VOCABULARY else None
            return Refusal(Reason.EXPECTED_PARAMETER_ABSENT, rule.operation, rule.template, known)
        return None

    def _refusal(self, unfit: "_Unfit | WireMalformed") -> Refusal:
        if isinstance(unfit, WireMalformed):
            return Refusal(unfit.reason)
        operation, template = (unfit.rule.operation, unfit.rule.template) if unfit.rule else (None, None)
        return Refusal(unfit.reason, operation, template, unfit.name if unfit.name in self._vocabulary else None)

    def _route(self, method: str, url: str) -> tuple[OperationRule, dict[str, str], str]:
        if not isinstance(url, str) or not isinstance(method, str):
            raise _Unfit(Reason.URL_MALFORMED)
        if not _PRINTABLE.fullmatch(url):
            raise _Unfit(Reason.NOT_PRINTABLE_ASCII)
        # The whole origin with its slash: `https://api.stripe.com@elsewhere/` and `...com.elsewhere` do not start so.
        if not url.startswith(f"{self._origin}/"):
            raise _Unfit(Reason.UNKNOWN_DESTINATION)
        path, question, query = url[len(self._origin) :].partition("?")
        if question and not query:
            raise _Unfit(Reason.URL_MALFORMED)
        for rule in RULES:
            if rule.method == method and (found := rule.path.fullmatch(path)):
                return rule, dict(zip(rule.path_names, found.groups(), strict=True)), query
        raise _Unfit(Reason.UNKNOWN_OPERATION)

    def _check_headers(self, method: str, headers: Mapping[str, str]) -> str | None:
        allowed = {**self._fixed, **({"content-type": _FORM} if method == "POST" else {})}
        seen: set[str] = set()
        key: str | None = None
        for raw_name, value in headers.items():
            # Only ASCII: the Kelvin sign, for one, becomes a plain k in lower case.
            name = raw_name.lower() if isinstance(raw_name, str) and raw_name.isascii() else ""
            if name in seen:
                raise _Unfit(Reason.HEADER_DUPLICATE, name)
            seen.add(name)
            if name == _KEY_HEADER:
                key = self._checked_key(method, value)
            elif name not in allowed:
                raise _Unfit(Reason.HEADER_UNKNOWN, name)
            elif value != allowed[name]:
                raise _Unfit(Reason.HEADER_NOT_ALLOWED, name)
        if method == "POST" and _KEY_HEADER not in seen:
            raise _Unfit(Reason.IDEMPOTENCY_KEY, _KEY_HEADER)
        missing = next((name for name in allowed if name not in seen), None)
        if missing is not None:
            raise _Unfit(Reason.HEADER_MISSING, missing)
        return key

    def _checked_key(self, method: str, value: object) -> str:
        # A random version 4 UUID in its one canonical spelling: nothing can be composed into it but randomness.
        if method != "POST" or not isinstance(value, str) or not _IDEMPOTENCY_KEY.fullmatch(value):
            raise _Unfit(Reason.IDEMPOTENCY_KEY, _KEY_HEADER)
        return value

    def _parameters(self, rule: OperationRule, query: str, body: bytes | str | None) -> dict[str, str]:
        pairs = parse_form(*self._form(rule, query, body))
        values: dict[str, str] = {}
        for name, value in pairs:
            known = rule.parameters.get(name)
            if known is None:
                raise _Unfit(Reason.PARAMETER_UNKNOWN, name, rule)
            if name in values:
                raise _Unfit(Reason.PARAMETER_DUPLICATE, name, rule)
            if not known.pattern.fullmatch(value):
                raise _Unfit(Reason.VALUE_NOT_ALLOWED, name, rule)
            values[name] = value
        missing = next((name for name in rule.required if name not in values), None)
        if missing is not None:
            raise _Unfit(Reason.PARAMETER_MISSING, missing, rule)
        odd = rule.disagrees(values)
        if odd is not None:
            raise _Unfit(Reason.VALUES_DISAGREE, odd, rule)
        return values

    def _form(self, rule: OperationRule, query: str, body: bytes | str | None) -> tuple[str, Reason]:
        """Return where the parameters of this method stand; the other place must be empty."""
        if rule.method == "GET":
            if body:
                raise _Unfit(Reason.BODY_NOT_ALLOWED, None, rule)
            return query, Reason.URL_MALFORMED
        if query:
            raise _Unfit(Reason.QUERY_NOT_ALLOWED, None, rule)
        if body is not None and not isinstance(body, bytes | str):
            raise _Unfit(Reason.BODY_MALFORMED, None, rule)  # streams, files, multipart generators
        # latin-1 maps every byte to one character, so bytes that are no ASCII are seen and refused, never replaced.
        text = body.decode("latin-1") if isinstance(body, bytes) else (body or "")
        return text, Reason.BODY_MALFORMED
