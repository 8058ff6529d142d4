"""The HTTP server: HTTP/1.1 with keep-alive on a loopback address, one thread per connection."""

import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sandbox.stripe_standin.api import Reply
from sandbox.stripe_standin.recorder import RawRequest

LOOPBACK = "127.0.0.1"
# No API request comes near; a larger body is refused before it is read.
GREATEST_BODY = 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class StandInServer(ThreadingHTTPServer):
    """Serves until `close`; remembers its open connections, so that a stopped Stripe is really gone."""

    daemon_threads = True
    block_on_close = False
    # Fifty workers may connect at once; the default backlog of five would reset some of them.
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[RawRequest], Reply]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def base_url(self) -> str:
        """The address clients use."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then serve it in a thread of its own."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a client went away; anything else is a bug and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop listening and cut every open connection."""
        self.shutdown()
        self.server_close()
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            _cut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # An idle keep-alive connection holds a thread; a minute is more than any client of ours pauses.
    timeout = 60
    server: StandInServer

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        request = RawRequest(self.command, self.path, tuple(self.headers.items()), body)
        reply = self.server.answer(request)
        if reply.hangs_up:
            self.close_connection = True
            _cut(self.connection)
            return
        self._write(reply)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve  # noqa: N815 - names of the standard library

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or "Transfer-Encoding" in self.headers:
            self._refuse(411)
            return None
        if int(length) > GREATEST_BODY:
            self._refuse(413)
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self._write(Reply(status, b'{"error": {"type": "invalid_request_error"}}', {"Connection": "close"}))

    def _write(self, reply: Reply) -> None:
        headers = {**reply.headers, "Content-Length": str(len(reply.body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}\r\n{lines}\r\n"
        # One send: a head on its own would wait for the client's delayed acknowledgement.
        self.wfile.write(head.encode("latin-1") + reply.body)

    def log_message(self, *_args: object) -> None:
        """Print nothing: the recorder has it all."""


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster
