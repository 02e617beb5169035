"""Weights are downloaded by the server when a client asks: with progress, to be stopped, taken up again, refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")
sys.path.insert(0, str(Path(__file__).parents[1] / "weights"))

from fake_hub import Hub, serve

from ex4d.weights.catalogue import find_package
from ex4d_protocol import events as ev
from ex4d_protocol.requests import FetchWeights

from .conftest import Backend, until

TURBO = find_package("turbo")
NAME = TURBO.patterns[0]
CONTENT = os.urandom(1 << 16) * 300  # 20 MB


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(TURBO.repository, {NAME: CONTENT}) as hub:
        yield hub


@pytest.fixture
def place(make_backend: Callable[..., Backend], hub: Hub, tmp_path: Path) -> Backend:
    """A server that may download, from that hub to a folder of its own."""
    environment = {
        "HF_ENDPOINT": hub.address,
        "EX4D_WEIGHTS": str(tmp_path / "weights"),
        "EX4D_BACKEND_WEIGHTS_DOWNLOADS": "true",
        "EX4D_BACKEND_CANCEL_GRACE_S": "600",  # no download is ended because its cancel takes long
    }
    return make_backend(environment=environment)


def follow(client: Any, job_id: str, done: Callable[[Any], bool]) -> list[ev.JobChanged]:
    """The job's states, until one of them is what is waited for."""
    seen: list[ev.JobChanged] = []
    until(
        lambda: seen.extend(e for e in client.poll(0.05) if isinstance(e, ev.JobChanged)) or any(map(done, seen)), 120
    )
    return seen


def phase(name: str) -> Callable[[ev.JobChanged], bool]:
    return lambda event: event.state.phase == name


def wait_for_the_stall(client: Any, half: Path) -> None:
    """Until what the hub sends before it stalls has arrived."""
    until(lambda: client.poll(0.05) is not None and half.is_file() and half.stat().st_size >= 11_900_000)


def test_a_client_sees_what_there_is_and_has_it_fetched_with_progress(place, connect, tmp_path):
    client = connect(place.start())
    until(lambda: client.poll(0.05) is not None and client.capabilities.packages)
    offers = {package.name: package for package in client.capabilities.packages}
    assert client.capabilities.limits.weights_downloads and not offers["turbo"].there
    assert offers["turbo"].size_bytes == 740_000_000 and "Apache-2.0" in offers["turbo"].licence
    assert offers["turbo"].source.endswith(f"/{TURBO.repository}")
    job_id = client.submit(FetchWeights(package="turbo"))
    seen = [event.state for event in follow(client, job_id, phase("done"))]
    assert (TURBO.path(tmp_path / "weights") / NAME).read_bytes() == CONTENT
    assert seen[-1].share == 1.0 and any(s.stage == "fetching turbo" and s.total == 20 for s in seen)
    until(lambda: client.poll(0.05) is not None and {p.name: p.there for p in client.capabilities.packages}["turbo"])
    assert [device.worker for device in client.capabilities.devices] == ["idle"], "no device was needed"


def test_a_cancel_ends_it_at_once_and_the_next_goes_on_from_there(place, connect, hub, tmp_path):
    hub.stall_after = 12_000_000
    client = connect(place.start())
    job_id = client.submit(FetchWeights(package="turbo"))
    half = TURBO.path(tmp_path / "weights") / f".{NAME}.partial"
    wait_for_the_stall(client, half)
    client.cancel(job_id)
    [last] = [event.state for event in follow(client, job_id, phase("cancelled"))][-1:]
    assert last.message == "Cancelled; what has arrived is kept.", "it waited for the line, or was killed"
    arrived, hub.stall_after = half.stat().st_size, None
    hub.sent.clear()
    again = client.submit(FetchWeights(package="turbo"))
    follow(client, again, phase("done"))
    assert len(CONTENT) - 12_000_000 <= hub.sent[NAME] <= len(CONTENT) - arrived
    assert (TURBO.path(tmp_path / "weights") / NAME).read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_killed_server_goes_on_from_there_when_it_is_back(place, connect, hub, tmp_path):
    hub.stall_after = 12_000_000
    client = connect(place.start(), client_id="a-client-that-stays")
    job_id = client.submit(FetchWeights(package="turbo"))
    half = TURBO.path(tmp_path / "weights") / f".{NAME}.partial"
    wait_for_the_stall(client, half)
    place.process.send_signal(signal.SIGKILL)
    place.process.wait(60)
    hub.stall_after = None
    hub.sent.clear()
    until(lambda: half.is_file())
    arrived = half.stat().st_size
    client = connect(place.start(), client_id="a-client-that-stays")
    client.follow(job_id)
    seen = follow(client, job_id, phase("done"))
    assert seen[-1].state.attempt == 2 and hub.sent[NAME] <= len(CONTENT) - min(arrived, 8_000_000)
    assert (TURBO.path(tmp_path / "weights") / NAME).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_in_a_sentence_and_leaves_nothing(place, connect, hub, tmp_path):
    hub.tell = lambda model: model["siblings"][0]["lfs"].update(sha256="0" * 64)
    client = connect(place.start())
    (state,) = [e.state for e in follow(client, client.submit(FetchWeights(package="turbo")), phase("failed"))][-1:]
    assert "arrived with another SHA-256 than the hub states and was thrown away" in state.message
    assert state.failure.code == "weights" and state.failure.remedy.action == "fetch_weights"
    assert not list((tmp_path / "weights").rglob(f"*{NAME}*"))


def test_a_server_that_was_not_told_so_downloads_nothing(make_backend, connect, hub, tmp_path):
    environment = {"HF_ENDPOINT": hub.address, "EX4D_WEIGHTS": str(tmp_path / "weights")}
    client = connect(make_backend(environment=environment).start())
    assert not client.capabilities.limits.weights_downloads
    for package, words in (("turbo", "downloads no weights for its clients"), ("nothing", "There are no weights")):
        job_id = client.submit(FetchWeights(package=package))
        refused: list[ev.JobRejected] = []
        until(lambda r=refused: r.extend(e for e in client.poll(0.05) if isinstance(e, ev.JobRejected)) or r)
        assert refused[0].job_id == job_id and words in refused[0].message
    assert hub.sent == {} and not (tmp_path / "weights").exists()
