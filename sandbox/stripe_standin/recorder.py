"""Every raw request that arrived, byte for byte: what a privacy test reads."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class RawRequest:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        """The query, still encoded."""
        return urlsplit(self.target).query

    @property
    def encoded(self) -> str:
        """The parameters, still encoded: of the body for POST, else of the query."""
        return self.body.decode("utf-8", "replace") if self.method == "POST" else self.query

    def parameters(self) -> list[tuple[str, str]]:
        """Return the decoded (name, value) pairs of query and body, in the order sent."""
        texts = (self.query, self.body.decode("utf-8", "replace"))
        return [pair for text in texts for pair in parse_qsl(text, keep_blank_values=True)]

    def header(self, name: str) -> str | None:
        """Return a header, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def raw(self) -> bytes:
        """Return the whole request as bytes."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"{self.method} {self.target} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + self.body


class Recorder:
    """All requests so far, in the order they arrived."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[RawRequest] = []
        self._counts: Counter[str] = Counter()

    def record(self, request: RawRequest, label: str) -> None:
        """Keep a request; `label` is its route, such as `POST /v1/invoices/{id}/finalize`."""
        with self._lock:
            self._requests.append(request)
            self._counts[label] += 1

    @property
    def requests(self) -> tuple[RawRequest, ...]:
        """All requests so far."""
        with self._lock:
            return tuple(self._requests)

    def counts(self) -> Mapping[str, int]:
        """Return how many requests each route got."""
        with self._lock:
            return Counter(self._counts)

    def all_bytes(self) -> bytes:
        """Return every byte that arrived: request lines, headers and bodies."""
        return b"\n".join(request.raw() for request in self.requests)

    def values(self, name: str) -> set[str]:
        """Return the distinct values of a parameter, at any depth: `description` finds `lines[0][description]` too."""
        suffix = f"[{name}]"
        pairs = (pair for request in self.requests for pair in request.parameters())
        return {value for key, value in pairs if key == name or key.endswith(suffix)}

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
