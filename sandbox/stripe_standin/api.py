"""The walk of one API request: record, authenticate, fault, replay, check, run, store, reply."""

import json
import logging
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from sandbox.stripe_standin.account import Account, RequestOrigin, new_id
from sandbox.stripe_standin.distortions import distort
from sandbox.stripe_standin.errors import (
    StripeFailure,
    invalid_parameter,
    key_in_use,
    lock_timeout,
    rate_limited,
    server_error,
    unauthorized,
    unavailable,
    unrecognized_url,
)
from sandbox.stripe_standin.expansion import expand
from sandbox.stripe_standin.faults import Fault, Faults, Script
from sandbox.stripe_standin.form import decode
from sandbox.stripe_standin.idempotency import KeyRing, StoredResult, fingerprint
from sandbox.stripe_standin.parameters import read_parameters
from sandbox.stripe_standin.recorder import RawRequest, Recorder
from sandbox.stripe_standin.routes import Route, find_route

logger = logging.getLogger(__name__)

# `2026-10-28.endive`; dates alone are what accounts before 2024 use.
_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$")
# Stripe tells clients when to come back after a 429; a second is its usual answer.
RETRY_AFTER_SECONDS = 1
# What is held is let go after this time even if a test forgot to release it.
HOLD_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """What goes back over the wire; a reply that hangs up sends nothing."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hangs_up: bool = False


HANG_UP = Reply(hangs_up=True)


@dataclass
class Api:
    """Stripe's API over one account; `lock` makes every request one consistent step."""

    account: Account
    keys: KeyRing
    api_keys: Collection[str]
    recorder: Recorder
    script: Script
    faults: Faults | None
    lock: threading.RLock

    def handle(self, request: RawRequest) -> Reply:
        """Answer one request."""
        route, label, object_id = find_route(request.method, request.path)
        self.recorder.record(request, label)
        request_id = new_id("req")
        with self.lock:
            fault = self._next_fault(request, label)
        if fault is Fault.HANG_BEFORE_COMMIT:
            return HANG_UP
        try:
            self._authenticate(request)
            _check_version(request)
            _raise_before_run(fault, request)
            return self._run_once(request, route, object_id, fault, request_id)
        except StripeFailure as failure:
            return _reply(failure.status, json.dumps(failure.body).encode(), request, request_id)
        except Exception:
            # A defect of the stand-in must not pass for an injected fault: say so, then answer as a server would.
            logger.exception("the stand-in itself failed at %s", label)
            return _reply(500, json.dumps(server_error().body).encode(), request, request_id)

    def _next_fault(self, request: RawRequest, label: str) -> Fault | None:
        is_scripted, fault = self.script.next_fault(label, f"{request.method} {request.path}")
        if is_scripted or self.faults is None:
            return fault
        return self.faults.next_fault(request.method)

    def _authenticate(self, request: RawRequest) -> None:
        scheme, _, key = (request.header("Authorization") or "").partition(" ")
        if scheme != "Bearer" or not key:
            message = "You did not provide an API key. Provide it in the Authorization header, using Bearer auth."
            raise unauthorized(message)
        if key not in self.api_keys:
            raise unauthorized(f"Invalid API Key provided: {key[:7]}****")

    def _run_once(
        self, request: RawRequest, route: Route | None, object_id: str, fault: Fault | None, request_id: str
    ) -> Reply:
        """Run a write at most once per idempotency key; reads ignore keys."""
        if route is None:
            raise unrecognized_url(request.method, request.path)
        key = request.header("Idempotency-Key") if request.method == "POST" else None
        mark = fingerprint(request.method, request.path, request.encoded)
        with self.lock:
            if fault is Fault.PRUNED_KEYS:
                self.keys.prune()
            stored = self.keys.begin(key, mark) if key else None
        if stored:
            replayed = {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}
            return self._send(_reply(stored.status, stored.body, request, request_id, replayed), fault)
        try:
            if fault is Fault.LATE:
                self.script.released.wait(HOLD_SECONDS)
            with self.lock:
                result = self._run(request, route, object_id, fault, request_id)
                if key and result.status:
                    self.keys.keep(key, mark, result)
                self.account.state.commit()
            return self._send(_reply(result.status, result.body, request, request_id), fault)
        finally:
            if key:
                with self.lock:
                    self.keys.finish(key)

    def _run(
        self, request: RawRequest, route: Route, object_id: str, fault: Fault | None, request_id: str
    ) -> StoredResult:
        """Return what a key keeps: the reply of an endpoint that started to run; others are raised."""
        params = read_parameters(route.typed, decode(request.encoded), route.limits)
        self.account.origin = RequestOrigin(request_id, request.header("Idempotency-Key"))
        try:
            if fault is Fault.ERROR_BEFORE_COMMIT:
                raise server_error()
            document = route.handler(self.account, params, object_id)
            body = json.dumps(expand(self.account, document, params.get("expand", []))).encode()
            if fault is Fault.ERROR_AFTER_COMMIT:
                raise server_error()
        except StripeFailure as failure:
            if not failure.is_stored:
                raise
            return StoredResult(failure.status, json.dumps(failure.body).encode(), request_id)
        finally:
            self.account.origin = RequestOrigin()
        return StoredResult(200, body, request_id)

    def _send(self, reply: Reply, fault: Fault | None) -> Reply:
        if fault is Fault.HANG_AFTER_COMMIT:
            return HANG_UP
        if fault is Fault.HOLD:
            self.script.released.wait(HOLD_SECONDS)
        if reply.status != 200:
            return reply
        return Reply(reply.status, distort(reply.body, fault), reply.headers)


def _check_version(request: RawRequest) -> None:
    version = request.header("Stripe-Version")
    if version is not None and not _VERSION.match(version):
        message = f"Invalid Stripe API version: {version[:50]}"
        raise invalid_parameter(message, param="Stripe-Version", code="parameter_invalid_version")


def _raise_before_run(fault: Fault | None, request: RawRequest) -> None:
    if fault is Fault.RATE_LIMITED:
        raise rate_limited()
    if fault is Fault.CONFLICT:
        raise lock_timeout()
    if fault is Fault.KEY_IN_USE:
        raise key_in_use(request.header("Idempotency-Key") or "")
    if fault is Fault.UNAVAILABLE:
        raise unavailable()


def _reply(
    status: int, body: bytes, request: RawRequest, request_id: str, extra: dict[str, str] | None = None
) -> Reply:
    headers = {"Content-Type": "application/json", "Request-Id": request_id, **(extra or {})}
    for name in ("Idempotency-Key", "Stripe-Version"):
        value = request.header(name)
        # A key may hold any text; what cannot stand in a header is not sent back.
        if value and value.isprintable() and value.isascii():
            headers[name] = value
    if status == 429:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == 409:
        headers["Stripe-Should-Retry"] = "true"
    return Reply(status, body, headers)
