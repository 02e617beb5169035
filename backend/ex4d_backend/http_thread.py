"""A small HTTP server on a thread of its own, for what people and other programs fetch from the backend."""

import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ex4d_ground.errors import OutputError

log = logging.getLogger("ex4d_backend.http_thread")


HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a request may call this machine: a web page whose name was made to lead here calls it by that name."""
REQUEST_S = 10.0
"""What a whole request may take, however slowly its bytes come."""
ANSWER_S = 60.0
MAX_REQUEST_BYTES = 8 << 10
MAX_CONNECTIONS = 16


class _BoundedInput:
    """A request's bytes: so many at most, and all of them in so many seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._end, self._left = connection, time.monotonic() + REQUEST_S, MAX_REQUEST_BYTES
        self._buffer = b""

    def readline(self, limit: int = -1) -> bytes:
        """One line. Raises TimeoutError or ConnectionError; a request that is too long ends as if it were over."""
        while b"\n" not in self._buffer and self._left > 0:
            left_s = self._end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the request took too long")
            self._connection.settimeout(left_s)
            got = self._connection.recv(min(4096, self._left))
            if not got:
                break
            self._left -= len(got)
            self._buffer += got
        if b"\n" not in self._buffer and self._left <= 0:
            raise ConnectionError("the request is too long")
        line, found, self._buffer = self._buffer.partition(b"\n")
        return (line + found)[: limit if limit >= 0 else None]

    def close(self) -> None:
        """There is nothing to close but the connection."""


class PageHandler(BaseHTTPRequestHandler):
    """What both kinds of page have in common: one request a connection, of this machine's programs alone."""

    hosts: frozenset[str] | None = HOSTS
    """Names it answers to; None: to any, as behind a web server that passes its own name on."""
    timeout = REQUEST_S
    server_version, sys_version = "ex4d-backend", ""

    def setup(self) -> None:
        """Bound what is read."""
        super().setup()
        self.rfile.close()
        self.rfile = _BoundedInput(self.connection)  # pyright: ignore[reportAttributeAccessIssue] - all that is read

    def handle(self) -> None:
        """One request; who breaks it off, sends too much or takes too long gets nothing."""
        try:
            super().handle()
        except (OSError, ValueError) as error:
            log.debug("a request was not answered (%s)", error)

    def parse_request(self) -> bool:
        """Refuse what was meant for another machine's name."""
        if not super().parse_request():
            return False
        self.close_connection = True
        host = self.headers.get_all("Host") or []
        name = host[0].strip().lower() if len(host) == 1 else ""
        if name.rpartition(":")[2].isdigit() and not name.endswith("]"):
            name = name.rpartition(":")[0]
        if self.hosts is None or name in self.hosts:
            return True
        self.send_error(421, "This name is not served")
        return False

    def log_message(self, format: str, *args: Any) -> None:
        """Into the server's log, at the level of details."""
        log.debug("%s " + format, self.client_address[0], *args)

    def answer(self, status: int, kind: str = "text/plain", body: bytes = b"") -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.connection.settimeout(ANSWER_S)
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Serves so many connections at a time; one more is closed at once."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """On the accepting thread."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On the connection's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Into the log, not onto the console."""
        log.debug("a request failed", exc_info=True)


class HttpThread:
    """Serves until it is closed."""

    def __init__(self, what: str, host: str, port: int, handler: type[BaseHTTPRequestHandler], remedy: str) -> None:
        """Raises OutputError if the port is taken: ``what`` cannot be served there, and what to do."""
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"Cannot serve {what} on {host}:{port} ({reason}); {remedy}.") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name=what, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
