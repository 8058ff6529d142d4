"""Stripe's lists for the reconciliation's benchmark: `python -m bench.list_pages INVOICES`; prints its port.

A process of its own, so that its memory is not counted. Every invoice is paid, and exactly ours; ids are numbers.
"""

import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE, OFFICE_OF = 100, 100  # invoices a page, invoices of an office
CREATED = 1_772_000_000  # Unix seconds, in February 2026
TOTAL, UNIT, QUANTITY = 400, 200, 2


def own_id(number: int, kind: int) -> uuid.UUID:
    """Return the id of our invoice (1) or office (2) of this number; a version 4 in shape."""
    return uuid.UUID(int=(kind << 100) + number, version=4)


def customer(office: int) -> dict[str, Any]:
    return {
        "object": "customer",
        "id": f"cus_{office}",
        "balance": 0,
        "created": CREATED,
        "name": f"Office {office}",
        "email": "billing@vendor.example",
        "metadata": {"office_id": str(own_id(office, 2))},
    }


def line(number: int) -> dict[str, Any]:
    return {
        "id": f"il_{number}",
        "description": "One-off charge",
        "quantity_decimal": str(QUANTITY),
        "pricing": {"unit_amount_decimal": str(UNIT)},
        "amount": TOTAL,
        "currency": "usd",
        "metadata": {},
    }


def payment(number: int) -> dict[str, Any]:
    return {
        "object": "invoice_payment",
        "id": f"inpay_{number}",
        "status": "paid",
        "amount_paid": TOTAL,
        "amount_requested": TOTAL,
        "currency": "usd",
        "payment": {"type": "payment_intent", "payment_intent": f"pi_{number}"},
        "status_transitions": {"paid_at": CREATED},
    }


def invoice(number: int) -> dict[str, Any]:
    amounts = {"total": TOTAL, "amount_due": TOTAL, "amount_paid": TOTAL, "amount_remaining": 0, "starting_balance": 0}
    return {
        "object": "invoice",
        "id": f"in_{number}",
        "customer": f"cus_{number // OFFICE_OF}",
        "status": "paid",
        "currency": "usd",
        "collection_method": "send_invoice",
        "attempted": True,
        "attempt_count": 0,
        "auto_advance": True,
        "created": CREATED,
        "description": "Additional services",
        "metadata": {"invoice_id": str(own_id(number, 1)), "kind": "one_off"},
        "lines": {"object": "list", "has_more": False, "data": [line(number)]},
        "payments": {"object": "list", "has_more": False, "data": [payment(number)]},
        "status_transitions": {"finalized_at": CREATED, "paid_at": CREATED},
        **amounts,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    invoices = 0

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        after = parse_qs(url.query).get("starting_after", [""])[0].partition("_")[2]
        rows, make = {
            "/v1/invoices": (self.invoices, invoice),
            "/v1/customers": (-(-self.invoices // OFFICE_OF), customer),
        }.get(url.path, (0, invoice))
        last = int(after) if after else rows
        data = [make(number) for number in range(last - 1, max(last - 1 - PAGE, -1), -1)]
        body = json.dumps({"object": "list", "data": data, "has_more": last - PAGE > 0}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Print nothing but the port."""


def main() -> None:
    _Handler.invoices = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
