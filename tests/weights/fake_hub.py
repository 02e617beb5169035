"""A model hub on the loopback device: one repository, ranges, and counts of what was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The repository's files, and what happened."""

    repository: str
    files: dict[str, bytes]
    address: str = ""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes sent of each file."""
    break_after: int | None = None
    """Bytes after which a connection is cut."""
    tell: Callable[[dict[str, Any]], object] = lambda model: None
    """Changes what is told of the repository."""
    answer: bytes | None = None
    """Told of the repository instead."""
    redirect: str = ""
    """Where who asks for a file is sent."""
    redirects: str = ""
    """Whose request, "HEAD" or "GET", is sent there."""
    endless: bool = False
    """Files do not end where they should."""
    stall_after: int | None = None
    """Bytes after which nothing more is sent, until the other side hangs up."""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            if path.startswith(f"/api/models/{hub.repository}"):
                model = _model(hub)
                hub.tell(model)
                self._send(json.dumps(model).encode() if hub.answer is None else hub.answer, body)
                return
            name = path.removeprefix(f"/{hub.repository}/resolve/{REVISION}/")
            if name == path or name not in hub.files:
                self._refuse()
                return
            self._file(name, hub.files[name], body)

        def _send(self, data: bytes, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def _refuse(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound" if self.path.startswith("/api") else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _file(self, name: str, data: bytes, body: bool) -> None:
            if hub.redirect and self.command == hub.redirects:
                self.send_response(302)
                self.send_header("Location", hub.redirect)
                self.send_header("ETag", '"x"')
                self.send_header("X-Repo-Commit", REVISION)
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Accept-Ranges", "bytes")
            if hub.endless and body:
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(data) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if not body:
                return
            if hub.endless:
                self._pour(name)
                return
            piece = data[start:]
            if hub.break_after is not None and len(piece) > hub.break_after:
                piece = piece[: hub.break_after]
                self.close_connection = True
            piece = piece[: hub.stall_after]
            hub.sent[name] = hub.sent.get(name, 0) + len(piece)
            with suppress(BrokenPipeError, ConnectionResetError):  # the other side may stop listening: that is tested
                self.wfile.write(piece)
                if hub.stall_after is not None:
                    self.connection.recv(1)

        def _pour(self, name: str) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(300):
                    hub.sent[name] = hub.sent.get(name, 0) + (1 << 20)
                    self.wfile.write(b"x" * (1 << 20))

    return Handler


def _model(hub: Hub) -> dict[str, object]:
    siblings = []
    for name, data in hub.files.items():
        entry: dict[str, object] = {"rfilename": name, "size": len(data)}
        if len(data) > 1000:
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        siblings.append(entry)
    return {"id": hub.repository, "sha": REVISION, "siblings": siblings, "private": False, "tags": [], "downloads": 0}


@contextmanager
def serve(repository: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Run a hub with that one repository."""
    hub = Hub(repository, files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
