"""Cost of the guard per request beside the bare HTTP client, against a loopback server: `python -m bench.guard`.

Prints microseconds per request (median of rounds, so that one pause of the machine does not count) and the ratio.
"""

import socketserver
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import requests

from billing.stripe_gateway.client import API_VERSION, USER_AGENT, StripeGateway
from billing.stripe_gateway.guard import Expectation, Guard
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import CreateInvoiceItem
from billing.stripe_gateway.outbound_values import Cents, Count, Currency, LineText, StripeId
from billing.stripe_gateway.wire import encode_form

_KEY = "sk_test_benchmark"
_BODY = (
    b'{"object":"invoiceitem","id":"ii_1","customer":"cus_1","invoice":"in_1","description":"Active patient accounts",'
    b'"quantity_decimal":"42","pricing":{"unit_amount_decimal":"200"},"amount":8400,"currency":"usd"}'
)
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_REQUEST = CreateInvoiceItem(
    StripeId("cus_1"), StripeId("in_1"), LineText.ACTIVE_PATIENT, Count(42), Cents(200), Currency.USD
)
_VALUES = {
    "customer": "cus_1",
    "invoice": "in_1",
    "description": "Active patient accounts",
    "quantity_decimal": "42",
    "unit_amount_decimal": "200",
    "currency": "usd",
}


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                line = self.rfile.readline()
            self.rfile.read(length)
            self.wfile.write(_REPLY)


def _microseconds(action: Callable[[], Any], times: int, rounds: int = 7) -> float:
    results = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            action()
        results.append((time.perf_counter() - start) / times * 1e6)
    return statistics.median(results)


def main() -> None:
    """Measure and print."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    key = uuid.uuid4()
    guard = Guard(base_url=base, api_version=API_VERSION, user_agent=USER_AGENT, api_key=_KEY)
    headers = guard.headers_for("POST", str(key))
    body = encode_form(_REQUEST.encode().params).encode()
    url = f"{base}/v1/invoiceitems"
    expectation = Expectation(Operation.CREATE_INVOICE_ITEM, _VALUES, str(key))
    session = requests.Session()
    session.trust_env = False
    gateway = StripeGateway(api_key=_KEY, base_url=base, acquire=lambda: None)
    judged = _microseconds(lambda: guard.inspect("POST", url, headers, body, expectation), 5_000)
    bare = _microseconds(lambda: session.post(url, data=body, headers=headers).content, 300)
    whole = _microseconds(lambda: gateway.call(_REQUEST, expectation=expectation, idempotency_key=key), 300)
    print(f"guard.inspect            {judged:8.1f} us  (goal: below 100)")
    print(f"bare requests, loopback  {bare:8.1f} us")
    print(f"gateway.call, loopback   {whole:8.1f} us  ({whole / bare:.2f} x bare; SDK, guard, evidence, parsing)")
    print(f"guard / bare client      {judged / bare:8.3f}")


if __name__ == "__main__":
    main()
