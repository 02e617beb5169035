"""A Flamenco Manager over HTTP: what submits, watches and cancels a job, by its OpenAPI description (``/api/v3``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from ex4d_ground.errors import FarmError, InputError, in_brief
from ex4d_ground.flamenco.submission import JOB_TYPE
from ex4d_ground.parsing import parse_json
from ex4d_ground.texts import one_line

WAIT_S = 20.0
MOST_BYTES = 16 << 20
"""Of an answer; that of a job with ten thousand settings is smaller."""
ENDED = frozenset({"completed", "failed", "canceled", "paused"})
"""States in which nothing happens any more by itself."""


@dataclass(frozen=True)
class JobNews:
    """Where a job is."""

    job_id: str
    name: str
    status: str
    """active, queued, completed, failed, canceled, ..."""
    done: int
    """Steps that are over; a step is a task."""
    total: int
    activity: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more by itself."""
        return self.status in ENDED


class Manager:
    """The Manager at an address such as ``http://farm:8080``. Every method raises FarmError."""

    def __init__(self, address: str):
        """Raises InputError for what is no address."""
        address = address.strip()
        refused = InputError(f"The address of a Flamenco Manager looks like http://farm:8080, got {address!r}.")
        try:
            parts = urlsplit(address if "://" in address else f"http://{address}")
            parts.port  # noqa: B018 - raises for a port that there cannot be
        except ValueError:  # also brackets without an end
            raise refused from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise refused
        self.address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def etag(self) -> str:
        """The etag of our job type, as it is there."""
        path = f"/api/v3/jobs/type/{JOB_TYPE}"
        found = self._ask("GET", path, unknown=f"it has no job type {JOB_TYPE}: put {JOB_TYPE}.js into its scripts")
        return str(found.get("etag", ""))

    def submit(self, job: dict[str, Any]) -> JobNews:
        """Submit what :func:`~ex4d_ground.flamenco.submission` gives."""
        return _news(self._ask("POST", "/api/v3/jobs", job))

    def news(self, job_id: str) -> JobNews:
        """How a job is getting on."""
        return _news(self._ask("GET", f"/api/v3/jobs/{quote(job_id, safe='')}", unknown=f"it has no job {job_id}"))

    def cancel(self, job_id: str) -> None:
        """Ask for a job to be cancelled."""
        body = {"status": "cancel-requested", "reason": "cancelled by who submitted it"}
        path = f"/api/v3/jobs/{quote(job_id, safe='')}/setstatus"
        self._ask("POST", path, body, unknown=f"it has no job {job_id}")

    def _ask(self, method: str, path: str, body: Any = None, *, unknown: str = "") -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = Request(self.address + path, data, headers, method=method)
        try:
            with urlopen(request, timeout=WAIT_S) as answer:
                text = answer.read(MOST_BYTES + 1)
        except HTTPError as error:
            with error:
                reason = unknown if error.code == 404 and unknown else _reason(error)
            raise FarmError(f"The Flamenco Manager at {self.address} refuses: {reason}.") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            told = in_brief(reason) if isinstance(reason, Exception) else str(reason)
            raise FarmError(f"The Flamenco Manager at {self.address} cannot be reached: {one_line(told)}.") from None
        try:
            found = parse_json(text) if text and len(text) <= MOST_BYTES else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise FarmError(f"{self.address} does not answer like a Flamenco Manager; check the address.")
        return found


def _reason(error: HTTPError) -> str:
    try:
        said = parse_json(error.read(1 << 16))
        text = str(said["message"])
    except (ValueError, OSError, KeyError, TypeError):
        text = str(error.reason).partition("\n")[0]
    return f"{one_line(text).rstrip('.')} ({error.code})"


def _news(found: dict[str, Any]) -> JobNews:
    def number(name: str) -> int:
        value = found.get(name)
        return value if isinstance(value, int) else 0

    names = ("id", "name", "status")
    if not all(isinstance(found.get(name), str) for name in names):
        raise FarmError("The Flamenco Manager's answer does not describe a job; is it of version 3?")
    job_id, name, status = (one_line(found[each]) for each in names)
    activity = one_line(str(found.get("activity", "")))
    return JobNews(job_id, name, status, number("steps_completed"), number("steps_total"), activity)
