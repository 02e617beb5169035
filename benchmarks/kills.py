"""A server killed with -9 a hundred times, its jobs in every state; every take and every upload is compared after each.

    python benchmarks/kills.py [--kills 105] [--output benchmarks/results/kills.json]

Writes a JSON report. Exits with 1 if a job was lost, a byte of a take was wrong, or a server did not start again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from soak import Backend, expected_takes
from soak_parts import MOVES, connected, digest_of, request_of, upload, write_clip

from ex4d_protocol import messages as m
from ex4d_protocol.base import FINAL_PHASES
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived, JobChanged, JobRejected, UploadProgress
from ex4d_protocol.requests import BlobRef, ClipSpec, EstimateDepth, Request

STATES = ("queued", "running", "delivering", "uploading", "estimating")
UPLOAD_BYTES = 24 << 20
PATIENCE_S = 120.0
ITEMS_BEFORE = 3
"""Items of a job that have come before the kill, in the states in which some do."""

TOOL = """
import json, sys, time
import numpy as np
request = json.load(open(sys.argv[2]))
n, h, w = (request[k] for k in ("num_frames", "height", "width"))
for i in range(10):
    print("progress", i, 10, flush=True)
    time.sleep(0.1)
depth = 2 + np.arange(n)[:, None, None] * 0.01 + np.linspace(0, 1, h)[:, None] + np.linspace(0, 1, w)
np.savez(sys.argv[3], depth=depth.astype(np.float32), meaning="metric")
"""
CONFIG = """
[[estimator]]
name = "slow"
command = ["{python}", "{tool}", "{{frames}}", "{{request}}", "{{output}}"]
meaning = "metric"
licence = "none"
"""


class Round:
    """One kill: jobs brought into a state, the server killed and started again, everything compared."""

    def __init__(self, backend: Backend, client: Client, clip: ClipSpec, expected: dict[str, dict[str, str]]) -> None:
        """``expected``: what each kind of take holds, by item; "estimate" of a depth estimation."""
        self.backend, self.client, self.clip, self.expected = backend, client, clip, expected
        self.jobs: dict[str, str] = {}
        """The kind of take of each job, by its id."""
        self.got: dict[str, dict[str, str]] = {}
        self.rejected: list[str] = []
        self.phases: dict[str, int] = {}
        """What the job table says at the kill, of this round's jobs."""
        self.restart_s = 0.0

    def submit(self, kind: str, *, fetch: bool = True) -> str:
        """A job of this kind."""
        request: Request = EstimateDepth(video=self.clip.video, estimator="slow")
        if kind != "estimate":
            request = request_of(int(kind), self.clip)
        job = self.client.submit(request, fetch=fetch)
        self.jobs[job], self.got[job] = kind, {}
        return job

    def until(self, done: Any) -> bool:
        """Poll until ``done(event)`` is true of an event; False if that does not happen in time."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            events = self.client.poll(0.002)
            for event in events:
                if isinstance(event, ItemReceived) and event.job_id in self.jobs:
                    self.got[event.job_id][f"{event.name} {event.frame}"] = digest_of(event)
                elif isinstance(event, JobRejected):
                    self.rejected.append(f"{event.code}: {event.message}")
            if any(done(event) for event in events):
                return True
            self.client.wait_readable(0.01)
        return False

    def bring_into(self, state: str, chance: random.Random) -> Any:
        """The jobs of this round, one of them in ``state``; what :meth:`over` needs to know of an upload."""
        moves = [str(chance.randrange(MOVES)) for _ in range(3)]
        if state == "delivering":
            job = self.submit(moves[0], fetch=False)
            assert self.until(lambda e: isinstance(e, JobChanged) and e.job_id == job and e.state.phase == "done")
            self.client.fetch(job)
            assert self.until(lambda e: isinstance(e, ItemReceived) and len(self.got[job]) >= ITEMS_BEFORE)
        elif state == "uploading":
            self.submit(moves[0])
            data = chance.randbytes(UPLOAD_BYTES)
            sent = self.client.upload(data)
            least = chance.randrange(1, UPLOAD_BYTES * 3 // 4)
            assert self.until(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done >= least)
            return sent, hashlib.sha256(data).hexdigest()
        else:
            first = self.submit("estimate" if state == "estimating" else moves[0])
            waiting = [self.submit(move) for move in moves[1:]]
            wanted, phase = (waiting[-1], "queued") if state == "queued" else (first, "running")
            assert self.until(lambda e: isinstance(e, JobChanged) and e.job_id == wanted and e.state.phase == phase)
            if state == "running":
                assert self.until(lambda e: isinstance(e, ItemReceived) and len(self.got[first]) >= 1)
            elif state == "estimating":
                assert self.until(lambda e: isinstance(e, JobChanged) and e.job_id == first and e.state.done >= 2)
        return None

    def kill(self) -> None:
        """Kill the server and start the next one."""
        self.backend.kill()
        with closing(sqlite3.connect(self.backend.folder / "jobs.sqlite")) as table:
            phases = dict(table.execute("SELECT job_id, phase FROM jobs"))
        # A job whose acceptance had not arrived is submitted again by its client.
        self.phases = dict(Counter(phases.get(job, "not accepted") for job in self.jobs))
        began = time.monotonic()
        self.backend.start()
        self.restart_s = time.monotonic() - began

    def over(self, sent: Any) -> list[str]:
        """Wait for everything, compare and acknowledge it; what was wrong, a sentence each."""
        client = self.client

        def whole() -> bool:
            # The last item and the news that the job is over travel on two connections.
            views = [client.jobs[job] for job in self.jobs]
            jobs = all(
                view.results_complete and view.state is not None and view.state.phase in FINAL_PHASES for view in views
            )
            return bool(self.rejected) or (jobs and (sent is None or sent[0].at_server))

        if not whole():
            self.until(lambda _: whole())
        wrong = list(self.rejected)
        for job, kind in self.jobs.items():
            state = client.jobs[job].state
            if not client.jobs[job].results_complete or state is None or state.phase != "done":
                wrong.append(f"job {job} ({kind}) was lost: {state}")
            elif self.got[job] != self.expected[kind]:
                wrong.append(f"job {job} ({kind}) has other bytes: {sorted(self.got[job])}")
            client.ack(job)
        if sent is not None:
            ref = BlobRef(sha256=sent[1], size=UPLOAD_BYTES)
            if sent[0].ref.sha256 != sent[1] or client.ask(m.HaveBlobs(blobs=(ref,)), 60).missing:
                wrong.append("an upload was lost")
        return wrong


def run(kills: int, folder: Path, seed: int) -> dict[str, Any]:
    """That many kills, the states in turn."""
    files, chance = write_clip(folder), random.Random(seed)
    (folder / "tool.py").write_text(TOOL)
    (folder / "depth.toml").write_text(CONFIG.format(python=sys.executable, tool=folder / "tool.py"))
    os.environ["EX4D_DEPTH_CONFIG"] = str(folder / "depth.toml")
    takes = expected_takes(folder / "alone", files)
    expected = {str(move): items for move, items in enumerate(takes)}
    backend = Backend(folder / "data")
    client = connected(backend.address)
    clip = upload(client, files)
    first = Round(backend, client, clip, expected)
    job = first.submit("estimate")
    assert first.until(lambda _: client.jobs[job].results_complete)
    expected["estimate"] = first.got[job]
    rounds: list[dict[str, Any]] = []
    try:
        for number in range(kills):
            state = STATES[number % len(STATES)]
            one = Round(backend, client, clip, expected)
            sent = one.bring_into(state, chance)
            one.kill()
            wrong = one.over(sent)
            rounds.append({"state": state, "phases": one.phases, "restart_s": round(one.restart_s, 2), "wrong": wrong})
            print(number + 1, state, one.phases, wrong or "nothing lost", file=sys.stderr, flush=True)
    finally:
        client.close()
        backend.stop()
    return summary(rounds)


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The report."""
    phases: Counter[str] = Counter()
    for one in rounds:
        phases.update(one["phases"])
    starts = sorted(one["restart_s"] for one in rounds)
    return {
        "kills": len(rounds),
        "kills_by_state": dict(Counter(one["state"] for one in rounds)),
        "jobs": phases.total(),
        "jobs_by_phase_at_the_kill": dict(phases),
        "uploads_interrupted": sum(one["state"] == "uploading" for one in rounds),
        "lost_or_wrong": [text for one in rounds for text in one["wrong"]],
        "restart_s": {"median": starts[len(starts) // 2], "max": starts[-1]} if starts else {},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> None:
    """See the module's words."""
    parser = argparse.ArgumentParser(description="Kill a server in every state of its jobs.")
    parser.add_argument("--kills", type=int, default=105)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ex4d-kills-") as folder:
        report = run(args.kills, Path(folder), args.seed)
    text = json.dumps(report, indent=1) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    raise SystemExit(1 if report["lost_or_wrong"] else 0)


if __name__ == "__main__":
    main()
