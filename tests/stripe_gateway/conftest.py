"""A loopback HTTP server that records raw bytes and answers what a test tells it to, and a gateway pointed at it."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from billing.stripe_gateway.client import StripeGateway
from billing.stripe_gateway.evidence import SentRequest
from tests.stripe_gateway.samples import API_KEY

RECORDED = Path(__file__).parent / "recorded"
CUSTOMER = {"object": "customer", "id": "cus_Q1", "balance": 0, "created": 1_700_000_000, "metadata": {}}


@dataclass
class Answer:
    """A reply: `raw` goes out as it is; `hang_up` closes the connection before answering."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang_up: bool = False
    delay: float = 0.0


def json_answer(data: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(data).encode(), {key.replace("_", "-"): value for key, value in headers.items()})


@dataclass
class Seen:
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes
    connection: int


class LoopbackStripe:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: list[Answer] = []
        self.default = json_answer(CUSTOMER)
        self.connections = 0
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                number = outer.connections
                while outer.one_request(self.rfile, self.wfile, number):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is part of the tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def one_request(self, rfile: Any, wfile: Any, connection: int) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = rfile.readline()
            if not line:
                return False
            head += line
        first, *rest = head.decode("latin-1").strip().split("\r\n")
        headers = [tuple(part.split(": ", 1)) for part in rest]
        length = int({k.lower(): v for k, v in headers}.get("content-length", 0))
        body = rfile.read(length)
        self.seen.append(Seen(first, headers, body, head + body, connection))
        answer = self.answers.pop(0) if self.answers else self.default
        time.sleep(answer.delay)
        if answer.hang_up:
            return False
        wfile.write(answer.raw if answer.raw is not None else _rendered(answer))
        wfile.flush()
        return answer.raw is None


def _rendered(answer: Answer) -> bytes:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + answer.body


@pytest.fixture
def loopback() -> Iterator[LoopbackStripe]:
    server = LoopbackStripe()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def evidence() -> list[SentRequest]:
    return []


@pytest.fixture
def gateway(loopback: LoopbackStripe, evidence: list[SentRequest]) -> Iterator[StripeGateway]:
    made = StripeGateway(api_key=API_KEY, base_url=loopback.base, acquire=lambda: None, on_request=evidence.append)
    yield made
    made.close()


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """Load a recorded reply; ids that were normalised to file names become ids of the right kind again."""

    def load(name: str) -> Any:
        return _with_ids(json.loads((RECORDED / f"{name}.json").read_text()), None)

    return load


_PREFIXES = {
    "customer": "cus",
    "invoice": "in",
    "invoiceitem": "ii",
    "line_item": "il",
    "invoice_payment": "inpay",
    "event": "evt",
    "charge": "ch",
    "payment_intent": "pi",
    "payment_method": "pm",
}


def _with_ids(data: Any, parent: str | None) -> Any:
    if isinstance(data, list):
        return [_with_ids(row, parent) for row in data]
    if not isinstance(data, dict):
        return data
    kind = data.get("object")
    fixed = {key: _with_ids(value, key) for key, value in data.items()}
    for key, known in (("id", kind), ("invoice", "invoice"), ("customer", "customer")):
        if isinstance(fixed.get(key), str) and fixed[key].endswith(".json"):
            fixed[key] = f"{_PREFIXES.get(known, 'x')}_NORMALIZED"
    return fixed
