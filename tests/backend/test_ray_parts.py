"""Parts of the workers on Ray that need no cluster: where a take goes, how uploads get there, early cancels."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backend.conftest import poses
from ex4d_backend import child_messages
from ex4d_backend.__main__ import with_ray_address
from ex4d_backend.child_messages import FromChild, JobEnded, RaySlot, RunJob
from ex4d_backend.ray_workers.actor import ShotActor
from ex4d_backend.ray_workers.placement import Placement
from ex4d_backend.ray_workers.pool import RayWorker
from ex4d_backend.settings import ServerSettings
from ex4d_protocol.messages import DeviceSpec
from ex4d_protocol.requests import BlobRef, ClipSpec, Generate, Media, Request


def worker(gib: int, name: str = "") -> RayWorker:
    device = DeviceSpec(name=name or f"GPU of {gib} GiB", kind="cuda" if gib else "cpu", memory_bytes=gib << 30)
    return RayWorker(None, RaySlot(name=f"ray:{gib}", device=device), ServerSettings())  # type: ignore[arg-type]


def generate(engine: str, **settings: object) -> bytes:
    ref = BlobRef(sha256="ab" * 32, size=3, name="clip.mp4")
    clip = ClipSpec(video=Media(kind="video", blobs=(ref,)), depth=Media(kind="npz", blobs=(ref,)))
    job: Request = Generate(clip=clip, trajectory=poses(49, scale=8), engine=engine, settings=settings)
    return msgspec.msgpack.encode(job)


@pytest.mark.parametrize(("small", "large"), [(12, 48), (24, 140)])
def test_a_take_goes_to_the_gpu_that_holds_the_whole_model(small: int, large: int) -> None:
    placement, request = Placement(), generate("wan", mode="exact")
    few, many = worker(small), worker(large)

    def suits(one: RayWorker, idle: list[RayWorker]) -> bool:
        return placement.suits(one, idle, "Generate", lambda: request, "job-1")

    assert suits(many, [few, many])
    assert not suits(few, [few, many])
    assert suits(few, [few])  # rather now and slower than not at all
    assert placement.suits(few, [few, many], "RenderGuides", lambda: request, "job-2")
    preview = generate("preview")
    assert placement.suits(few, [few, many], "Generate", lambda: preview, "job-3")
    assert placement.suits(worker(0), [worker(0)], "Generate", lambda: request, "job-4")


def test_where_no_gpu_is_large_enough_the_job_goes_and_says_so_itself() -> None:
    request, tiny = generate("wan", mode="exact", memory="resident"), worker(2)
    assert Placement().suits(tiny, [tiny, worker(3)], "Generate", lambda: request, "job")


def test_uploads_arrive_in_parts_and_only_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    actor = ShotActor(1, "cpu")
    data = bytes(range(256)) * 40
    digest = hashlib.sha256(data).hexdigest()
    assert actor.missing([(digest, len(data))]) == [digest]
    actor.put(digest, len(data), 0, data[:5000])
    assert actor.missing([(digest, len(data))]) == [digest]
    actor.put(digest, len(data), 5000, data[5000:])
    assert actor.missing([(digest, len(data))]) == []
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ValueError, match="did not arrive whole"):
        actor.put(wrong, 3, 0, b"abc")
    assert actor.missing([(wrong, 3)]) == [wrong]
    kept = next(tmp_path.glob("ex4d-ray-blobs-*"))
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setattr("ex4d_backend.ray_workers.actor.CACHE_BYTES", len(data) - 1)
    newer = hashlib.sha256(data[1:]).hexdigest()
    actor.put(newer, len(data) - 1, 0, data[1:])
    assert actor.missing([(newer, len(data) - 1)]) == []
    assert actor.missing([(digest, len(data))]) == [digest]


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShotActor:
    """An actor in this process, whose jobs do nothing but see whether they are cancelled."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("ex4d_backend.job_rows.decode_request", lambda data: data)
    monkeypatch.setattr("ex4d_backend.jobs.Runner.run", lambda self, request, context: context.watch["cancel"].check())
    return ShotActor(1, "cpu")


def said(actor: ShotActor, job_id: str) -> Iterator[FromChild]:
    order = RunJob(job_id, attempt=1, request=b"", folder="", blobs="", clip_pixels=1)
    return (child_messages.decode_from_child(encoded) for encoded, _ in actor.run(child_messages.encode(order), None))


def test_a_cancel_that_comes_before_its_job_is_heard_and_forgotten_with_it(actor: ShotActor, tmp_path: Path) -> None:
    actor.stop("job")
    outcomes = [[m.outcome for m in said(actor, "job") if isinstance(m, JobEnded)] for _ in range(2)]
    assert outcomes == [["cancelled"], ["done"]]
    assert not list(next(tmp_path.glob("ex4d-ray-job-*")).iterdir())


def test_what_a_killed_actor_has_left_goes_with_the_next_one(actor: ShotActor, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    left = tmp_path / f"ex4d-ray-job-{ended.pid}-abc"
    left.mkdir()
    mine = set(tmp_path.glob("ex4d-ray-job-*")) - {left}
    ShotActor(1, "cpu")
    assert not left.exists()
    assert all(path.exists() for path in mine) and len(mine) == 1


def test_a_job_that_comes_before_the_last_ones_files_are_gone_loses_nothing(actor: ShotActor) -> None:
    first = said(actor, "first")
    assert isinstance(next(first), JobEnded)  # and its generator has not come to its end
    order = RunJob("second", attempt=1, request=b"", folder="", blobs="", clip_pixels=1)
    second = actor.run(child_messages.encode(order), None)
    assert list(first) == []
    encoded, log = next(second)
    assert child_messages.decode_from_child(encoded) == JobEnded("second", "done", "")
    assert log is not None and b"attempt 1 starts" in log


def test_ray_without_an_address_is_the_cluster_of_this_machine() -> None:
    assert with_ray_address(["--ray"]) == ["--ray", "auto"]
    assert with_ray_address(["--ray", "--device", "cpu"]) == ["--ray", "auto", "--device", "cpu"]
    assert with_ray_address(["--ray", "head:6379"]) == ["--ray", "head:6379"]
    assert with_ray_address(["--ray=head:6379"]) == ["--ray=head:6379"]
