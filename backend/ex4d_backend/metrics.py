"""Prometheus metrics: a text page on a loopback port, served by a thread of its own, written by the server's loop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ex4d.errors import OutputError
from ex4d_protocol.messages import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage:
    """Serves the last text given to :meth:`publish` at http://127.0.0.1:PORT/metrics. Never another address."""

    def __init__(self, port: int) -> None:
        """Raises OutputError if the port is taken."""
        self._page = b""
        page = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Answer /metrics; nothing else is here."""
                found = self.path.partition("?")[0] == "/metrics"
                self.send_response(200 if found else 404)
                body = page._page if found else b"See /metrics\n"
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep scrapes out of the log."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"Cannot serve metrics on 127.0.0.1:{port} ({reason}); choose another port.") from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def publish(self, text: str) -> None:
        """Serve this from now on."""
        self._page = text.encode()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def metrics_text(health: Health, *, ended: Mapping[str, int], restarts: int, rate_limited: int) -> str:
    """The page: ``health`` as gauges, and what was counted since the start (jobs ended by outcome, ...)."""
    gauges = {
        "uptime_seconds": (health.uptime_s, "Time since the start."),
        "jobs_queued": (health.queued, "Jobs that wait."),
        "jobs_running": (health.running, "Jobs that run."),
        "clients": (health.clients, "Connections."),
        "upload_bytes": (health.blob_bytes, "Disk space of uploads."),
        "result_bytes": (health.result_bytes, "Disk space of results."),
        "disk_free_bytes": (health.disk_free_bytes, "Free disk space below the data folder."),
        "resident_bytes": (health.memory_bytes, "Resident memory of the server process."),
        "draining": (int(health.draining), "1 while shutting down."),
    }
    lines: list[str] = []
    for name, (value, text) in gauges.items():
        lines += [f"# HELP ex4d_{name} {text}", f"# TYPE ex4d_{name} gauge", f"ex4d_{name} {value:.10g}"]
    lines += ["# HELP ex4d_worker_state 1 for the state a device's worker is in.", "# TYPE ex4d_worker_state gauge"]
    for i, device in enumerate(health.devices):
        name = device.name.replace("\\", "").replace('"', "")
        lines.append(f'ex4d_worker_state{{index="{i}",device="{name}",state="{device.worker}"}} 1')
    lines += ["# HELP ex4d_jobs_ended_total Jobs that ended.", "# TYPE ex4d_jobs_ended_total counter"]
    lines += [f'ex4d_jobs_ended_total{{phase="{p}"}} {ended.get(p, 0)}' for p in ("done", "failed", "cancelled")]
    for name, value, text in (
        ("worker_restarts_total", restarts, "Worker processes that ended and were replaced."),
        ("rate_limited_total", rate_limited, "Requests that were turned away for their rate."),
    ):
        lines += [f"# HELP ex4d_{name} {text}", f"# TYPE ex4d_{name} counter", f"ex4d_{name} {value}"]
    return "\n".join(lines) + "\n"
