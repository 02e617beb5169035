"""A small HTTP server on a thread of its own, for what people and other programs fetch from the backend."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ex4d_ground.errors import OutputError

log = logging.getLogger("ex4d_backend.http_thread")


class PageHandler(BaseHTTPRequestHandler):
    """What both kinds of page have in common."""

    timeout = 30
    server_version, sys_version = "ex4d-backend", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Into the server's log, at the level of details."""
        log.debug("%s " + format, self.client_address[0], *args)

    def answer(self, status: int, kind: str = "text/plain", body: bytes = b"") -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class HttpThread:
    """Serves until it is closed."""

    def __init__(self, what: str, host: str, port: int, handler: type[BaseHTTPRequestHandler], remedy: str) -> None:
        """Raises OutputError if the port is taken: ``what`` cannot be served there, and what to do."""
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"Cannot serve {what} on {host}:{port} ({reason}); {remedy}.") from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name=what, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
