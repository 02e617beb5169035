"""Workers on a Ray cluster of several nodes on this machine: the local pool's own tests, and nodes that are lost."""

from __future__ import annotations

import sqlite3
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from backend.conftest import Backend, poses, until
from backend.ray_cluster import QUIET, Machines
from backend.test_jobs import (  # noqa: F401 - these tests are of every pool
    test_bad_input_fails_the_job_with_the_librarys_sentence_and_no_server_path,
    test_build_mesh_sends_what_the_library_builds,
    test_cancel_stops_the_named_job_and_no_other,
    test_generate_streams_the_preview_and_the_recipe,
    test_guides_are_the_librarys_to_the_bit,
    test_painted_thickness_reaches_the_solid_mesh,
    test_the_log_of_a_job_tells_its_stages,
)
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived, JobChanged, JobRejected, ResultsComplete
from ex4d_protocol.requests import ClipSpec, Generate, RenderGuides

FRAMES = 3
ITEMS = FRAMES + 2
"""Of a preview: frames, coverage, the take's description."""
SLOW_FRAMES, SLOW_SCALE = 40, 8
"""Of a shot that takes seconds."""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Machines(Path(folder), nodes=2)  # a short path: Ray's sockets lie below it
        yield cluster
        cluster.close()


@pytest.fixture(scope="module")
def backend(machines: Machines, make_module_backend: Callable[..., Backend]) -> Backend:
    """A server whose workers are actors on the cluster."""
    return make_module_backend(arguments=["--ray", machines.address], environment={"EX4D_BACKEND_RAY_WORKERS_MIN": "2"})


class Book:
    """What a client hears of many jobs."""

    def __init__(self, client: Client, clip: ClipSpec, jobs: int, frames: int = FRAMES, scale: int = 1):
        self.client = client
        self.items: Counter[tuple[str, str, int]] = Counter()
        self.complete: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._begun: dict[str, tuple[int, float]] = {}
        self._ended: dict[str, float] = {}
        move = poses(frames, step=0.01, scale=scale)
        self.jobs = [
            client.submit(Generate(clip=clip, trajectory=move, engine="preview", seed=seed)) for seed in range(jobs)
        ]

    def hear(self) -> None:
        for event in self.client.poll(0.01):
            if isinstance(event, ItemReceived):
                self.items[event.job_id, event.name, event.frame] += 1
            elif isinstance(event, ResultsComplete):
                self.complete[event.job_id] += 1
                if event.phase != "done":
                    self.wrong.append(f"{event.job_id}: {event.phase} {event.message}")
            elif isinstance(event, JobRejected):
                self.wrong.append(event.message)
            elif isinstance(event, JobChanged):
                if event.state.phase == "running" and event.state.attempt != self._begun.get(event.job_id, (0, 0))[0]:
                    self._begun[event.job_id] = event.state.attempt, time.monotonic()
                elif event.state.phase == "done":
                    self._ended[event.job_id] = time.monotonic()

    def seconds(self, job: str) -> float:
        """How long the attempt took that was kept."""
        return self._ended[job] - self._begun[job][1]

    def until_done(self, count: int, timeout_s: float = 300) -> None:
        until(lambda: (self.hear(), len(self.complete) >= count or self.wrong)[1], timeout_s)
        assert not self.wrong, self.wrong


def attempts(backend: Backend, jobs: list[str]) -> dict[str, int]:
    """Attempts of each job, all of which are done, as the server's table has them."""
    with closing(sqlite3.connect(backend.data_dir / "jobs.sqlite")) as database:
        rows = {row[0]: row[1:] for row in database.execute("SELECT job_id, phase, attempt FROM jobs")}
    assert {rows[job][0] for job in jobs} == {"done"}
    return {job: rows[job][1] for job in jobs}


def ready(client: Client, machines: int) -> None:
    """Wait until so many actors are warm."""
    devices = lambda: [d.worker for d in client.capabilities.devices]  # noqa: E731
    until(lambda: (client.poll(0.02), devices().count("idle") + devices().count("busy") == machines)[1], 300)


def test_twenty_shots_are_each_made_once_though_a_node_is_killed(
    backend: Backend, machines: Machines, connect, send_clip
) -> None:
    client = connect(backend)
    ready(client, 2)
    clip, node = send_clip(client), machines.nodes.pop(0)
    with machines.held(node):  # its actor counts as idle, is given a job at once, and cannot end it
        book = Book(client, clip, 20)
        book.until_done(5)
        machines.kill(node)
    machines.nodes.append(machines.add())
    book.until_done(20)
    assert set(book.complete.values()) == {1}
    assert sorted(attempts(backend, book.jobs).values()) == [1] * 19 + [2]
    assert Counter(job for job, _, _ in book.items) == dict.fromkeys(book.jobs, ITEMS)
    assert set(book.items.values()) == {1}  # nothing came twice: the job that was lost had made nothing yet


def test_a_cluster_of_its_own_works_below_any_data_folder(make_backend, connect, send_clip) -> None:
    """The names of Ray's sockets would be too long below most, the usual one among them."""
    server = make_backend(f"{'a data folder ' * 4}of some length", arguments=["--ray", "local"], environment=QUIET)
    client = connect(server.start())
    clip = send_clip(client)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(2))), 300).phase == "done"
    bridge = next(p for p in psutil.Process(server.process.pid).children() if "bridge" in " ".join(p.cmdline()))
    places = [p for root in (tempfile.gettempdir(), "/tmp") for p in Path(root).glob(f"*-{bridge.pid}-*")]
    assert places and all(stat.S_IMODE(place.stat().st_mode) == 0o700 for place in places)
    client.close()
    assert server.stop() == 0, server.output()
    assert not any(place.exists() for place in places)


class Hours:
    """Machine-seconds: what there were, and what of them went into jobs that were kept."""

    def __init__(self) -> None:
        self.machines, self._since, self.there = 0, time.monotonic(), 0.0

    def now(self, machines: int) -> None:
        """From now on there are so many."""
        at = time.monotonic()
        self.there += self.machines * (at - self._since)
        self.machines, self._since = machines, at


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_hundred_shots_are_made_at_nine_tenths_of_ideal_though_nodes_are_killed_twice(
    backend: Backend, machines: Machines, connect, send_clip
) -> None:
    client = connect(backend)
    ready(client, 2)
    hours = Hours()
    hours.now(2)
    book = Book(client, send_clip(client), 200, frames=SLOW_FRAMES, scale=SLOW_SCALE)
    for done in (60, 130):
        book.until_done(done, 2400)
        machines.kill(machines.nodes.pop(0))
        hours.now(1)
        machines.nodes.append(machines.add())
        hours.now(2)
    book.until_done(200, 2400)
    hours.now(0)
    tries = attempts(backend, book.jobs)
    assert set(book.complete.values()) == {1} and len(tries) == 200
    assert sum(tries.values()) <= 202 and max(tries.values()) <= 2
    work = sum(book.seconds(job) for job in book.jobs)
    print(f"{work:.0f} of {hours.there:.0f} machine-seconds: {work / hours.there:.3f}; {work / 200:.2f} s a shot")
    assert work / hours.there >= 0.9
