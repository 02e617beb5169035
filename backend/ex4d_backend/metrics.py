"""Prometheus metrics: a text page on a loopback port, served by a thread of its own, written by the server's loop."""

from collections.abc import Mapping

from ex4d_backend.http_thread import HttpThread, PageHandler
from ex4d_protocol.messages import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage(HttpThread):
    """Serves the last text given to :meth:`publish` at http://127.0.0.1:PORT/metrics. Never another address."""

    def __init__(self, port: int) -> None:
        """Raises OutputError if the port is taken."""
        self._page = b""
        page = self

        class Handler(PageHandler):
            def do_GET(self) -> None:
                """Answer /metrics; nothing else is here."""
                if self.path.partition("?")[0] == "/metrics":
                    self.answer(200, CONTENT_TYPE, page._page)
                else:
                    self.answer(404, CONTENT_TYPE, b"See /metrics\n")

        super().__init__("metrics", "127.0.0.1", port, Handler, "choose another metrics_port")

    def publish(self, text: str) -> None:
        """Serve this from now on."""
        self._page = text.encode()


def metrics_text(health: Health, *, ended: Mapping[str, int], restarts: int, rate_limited: int) -> str:
    """The page: ``health`` as gauges, and what was counted since the start (jobs ended by outcome, ...)."""
    single = {
        "uptime_seconds": (health.uptime_s, "Time since the start."),
        "jobs_queued": (health.queued, "Jobs that wait."),
        "jobs_running": (health.running, "Jobs that run."),
        "clients": (health.clients, "Connections."),
        "upload_bytes": (health.blob_bytes, "Disk space of uploads."),
        "result_bytes": (health.result_bytes, "Disk space of results."),
        "disk_free_bytes": (health.disk_free_bytes, "Free disk space below the data folder."),
        "resident_bytes": (health.memory_bytes, "Resident memory of the server process."),
        "draining": (int(health.draining), "1 while shutting down."),
        "worker_restarts_total": (restarts, "Worker processes that ended and were replaced."),
        "rate_limited_total": (rate_limited, "Requests that were turned away for their rate."),
    }
    lines: list[str] = []
    for name, (value, text) in single.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP ex4d_{name} {text}", f"# TYPE ex4d_{name} {kind}", f"ex4d_{name} {value:.10g}"]
    lines += ["# HELP ex4d_worker_state 1 for the state a device's worker is in.", "# TYPE ex4d_worker_state gauge"]
    for i, device in enumerate(health.devices):
        name = device.name.replace("\\", "").replace('"', "")
        lines.append(f'ex4d_worker_state{{index="{i}",device="{name}",state="{device.worker}"}} 1')
    lines += ["# HELP ex4d_jobs_ended_total Jobs that ended.", "# TYPE ex4d_jobs_ended_total counter"]
    lines += [f'ex4d_jobs_ended_total{{phase="{p}"}} {ended.get(p, 0)}' for p in ("done", "failed", "cancelled")]
    return "\n".join(lines) + "\n"
