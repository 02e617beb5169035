"""Many clients with small jobs, and the faults thrown at them; used by the fault tests, short and long."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil

from backend.conftest import Backend, poses
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived, JobRejected, ResultsComplete
from ex4d_protocol.requests import ClipSpec, Media, RenderGuides

FRAMES = 2
ITEMS = 2 * FRAMES + 1


class Submitter:
    """One client's programme: submit its jobs, receive every item once, survive the loss of the program itself."""

    def __init__(self, backend: Backend, files: tuple[Path, Path], jobs: list[str], seed: int, *, hold_last: bool):
        """``hold_last``: the last job is not sent before :meth:`release`."""
        self.backend, self.files, self.jobs = backend, files, jobs
        self.held = jobs[-1] if hold_last else ""
        self.client_id = f"load-client-{seed:05d}"
        self.items: dict[str, Counter[tuple[str, int]]] = {job: Counter() for job in jobs}
        self.complete: set[str] = set()
        self.failed: dict[str, str] = {}
        self.rejected: dict[str, str] = {}
        self.client: Client | None = None
        self.start()

    def release(self) -> None:
        """Send the job that was held back."""
        self.held, held = "", self.held
        if held:
            self.kill()

    def start(self) -> None:
        """Begin, or begin again as a new process would: same client id, same job ids, what was received is safe."""
        self.client = Client(self.backend.address, client_name="load", client_id=self.client_id)
        self.client.connect()
        uploads = [self.client.upload(path) for path in self.files]

        def clip() -> ClipSpec:
            video, depth = (Media(kind=k, blobs=(u.ref,)) for k, u in zip(("video", "npz"), uploads, strict=True))
            return ClipSpec(video=video, depth=depth, focal_px=50.0)

        for i, job in enumerate(self.jobs):
            if self.open(job) and job != self.held:
                if self.items[job]:
                    self.client.follow(job, received=list(self.items[job]))
                else:
                    cameras = poses(FRAMES, step=0.001 * (i + 1))
                    make = partial(lambda cameras: RenderGuides(clip=clip(), trajectory=cameras), cameras)
                    self.client.submit(make, after=uploads, job_id=job)

    def kill(self) -> None:
        """End without a word, with whatever is under way."""
        self.client.close()
        self.start()

    def poll(self) -> None:
        for event in self.client.poll(0.001):
            if isinstance(event, ItemReceived):
                self.items[event.job_id][event.name, event.frame] += 1
            elif isinstance(event, ResultsComplete) and event.phase == "done":
                self.complete.add(event.job_id)
            elif isinstance(event, JobRejected):
                self.rejected[event.job_id] = event.message
        for job in self.jobs:
            view = self.client.jobs.get(job)
            if view is not None and view.state is not None and view.state.phase == "failed":
                self.failed[job] = view.state.message

    def open(self, job: str) -> bool:
        return job not in self.complete and job not in self.failed and job not in self.rejected

    @property
    def done(self) -> bool:
        return not any(self.open(job) for job in self.jobs)


def run_load(
    backend: Backend,
    files: tuple[Path, Path],
    *,
    clients: int,
    jobs: int,
    seed: int,
    client_kills: int = 0,
    worker_kills: int = 0,
    timeout_s: float = 600.0,
) -> tuple[list[Submitter], int]:
    """All clients to their end, with kills at random moments; returns them and the server's highest memory in bytes."""
    chance = random.Random(seed)
    share = jobs // clients
    names = [[f"job-{c:04d}-{j:04d}" for j in range(share)] for c in range(clients)]
    # One job is sent when every kill has happened: however much is done between two looks, all fall into the run.
    submitters = [Submitter(backend, files, own, c, hold_last=c == 0) for c, own in enumerate(names)]
    # Kills fall evenly over the work that is done, whatever the machine's speed.
    kills = sorted(
        (chance.random(), what) for what, n in (("client", client_kills), ("worker", worker_kills)) for _ in range(n)
    )
    server, highest, end = psutil.Process(backend.process.pid), 0, time.monotonic() + timeout_s
    while not all(s.done for s in submitters):
        assert time.monotonic() < end, (
            f"seed {seed}: {sum(s.done for s in submitters)} of {clients} clients were served"
        )
        for submitter in submitters:
            submitter.poll()
        highest = max(highest, server.memory_info().rss)
        served = sum(not s.open(job) for s in submitters for job in s.jobs) / jobs
        if not kills:
            submitters[0].release()
        elif served >= 0.9 * kills[0][0]:
            kills_at, what = kills.pop(0)
            if what == "client":
                chance.choice(submitters).kill()
            else:
                workers = backend.workers()
                if not workers:
                    kills.insert(0, (kills_at, what))  # the last one is being replaced still: kill the next
                for worker in workers:
                    worker.send_signal(signal.SIGKILL)
    for submitter in submitters:
        submitter.client.close()
    assert not kills, "not every kill fell into the run"
    return submitters, highest


def check_books(backend: Backend, submitters: list[Submitter], *, worker_kills: int) -> None:
    """No job lost, duplicated or run twice; a killed worker cost at most the one job it ran."""
    wanted = {job for s in submitters for job in s.jobs}
    with closing(sqlite3.connect(backend.data_dir / "jobs.sqlite")) as database:
        rows = database.execute("SELECT job_id, phase, attempt FROM jobs").fetchall()
        items = dict(database.execute("SELECT job_id, COUNT(*) FROM items GROUP BY job_id"))
    assert {row[0] for row in rows} == wanted and len(rows) == len(wanted)
    assert {attempt for _, _, attempt in rows} == {1}
    phases = {job: phase for job, phase, _ in rows}
    for submitter in submitters:
        assert not submitter.rejected, submitter.rejected
        for job in submitter.jobs:
            if job in submitter.failed:
                assert phases[job] == "failed" and "worker process" in submitter.failed[job], submitter.failed[job]
                continue
            assert phases[job] == "done" and items[job] == ITEMS
            assert len(submitter.items[job]) == ITEMS and set(submitter.items[job].values()) == {1}, job
    assert sum(len(s.failed) for s in submitters) <= worker_kills
    started = Counter(
        line.split("job ")[1].split()[0]
        for line in backend.output().splitlines()
        if " accepted" in line and "job " in line
    )
    assert set(started.values()) == {1} and set(started) == wanted


__all__ = ["Submitter", "check_books", "run_load"]
