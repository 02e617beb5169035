"""A Ray actor on several devices: its process leads the others, makes the frames of one, and ends with any of them.

The actor runs in a process of its own without Ray, which adds only where it is started.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from backend.conftest import poses, until
from backend.wan_home import SETTINGS, wan_home
from ex4d_backend import child_messages
from ex4d_backend.blob_files import blob_path
from ex4d_backend.child_messages import JobEnded, RunJob
from ex4d_protocol.messages import Item
from ex4d_protocol.requests import BlobRef, ClipSpec, Generate, Media

ACTOR = """
import sys
from pathlib import Path
import msgspec
from ex4d_backend.child_messages import encode
from ex4d_backend.ray_workers.actor import ShotActor, described
device, blobs, order, out = sys.argv[1], *map(Path, sys.argv[2:])
actor = ShotActor(1, "cpu", device)
print(described(actor.describe()).device.gpus, flush=True)
sys.stdin.readline()
said = list(actor.run(order.read_bytes(), str(blobs)))
out.write_bytes(msgspec.msgpack.encode(said))
"""


@pytest.fixture
def order(clip_files, tmp_path: Path) -> list[str]:
    """A folder of uploads, and a file with the order to make a take of them."""
    refs = []
    for path in clip_files:
        data = Path(path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        place = blob_path(tmp_path / "blobs", digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        refs.append(BlobRef(sha256=digest, size=len(data), name=Path(path).name))
    clip = ClipSpec(
        video=Media(kind="video", blobs=(refs[0],)), depth=Media(kind="npz", blobs=(refs[1],)), focal_px=50.0
    )
    job = Generate(
        clip=clip, trajectory=poses(5), engine="wan", settings={**SETTINGS, "steps": 2, "device": "cpu"}, seed=7
    )
    run = RunJob("job-00001", attempt=1, request=msgspec.msgpack.encode(job), folder="", blobs="", clip_pixels=1 << 30)
    (tmp_path / "order").write_bytes(child_messages.encode(run))
    return [str(tmp_path / "blobs"), str(tmp_path / "order")]


def started(device: str, order: list[str], out: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **environment, "CUDA_VISIBLE_DEVICES": "", "TMPDIR": str(out.parent)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", ACTOR, device, *order, str(out)]
    actor = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert actor.stdout is not None
    assert actor.stdout.readline().strip() == str(len(device.split("+")))
    return actor


def frames(device: str, order: list[str], out: Path, environment: dict[str, str]) -> np.ndarray:
    with started(device, order, out, environment) as actor:
        _, log = actor.communicate("\n", timeout=400)
    assert actor.returncode == 0, log
    said = [(child_messages.decode_from_child(m), data) for m, data in msgspec.msgpack.decode(out.read_bytes())]
    ended = said[-1][0]
    assert isinstance(ended, JobEnded) and ended.outcome == "done", ended
    pictures = [d for m, d in said if isinstance(m, Item) and m.name == "frame" and m.encoding == "png"]
    assert len(pictures) == 5, [m for m, _ in said]
    return np.stack([np.asarray(Image.open(io.BytesIO(each))) for each in pictures]).astype(int)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_devices_of_an_actor_make_the_frames_of_one(order, tmp_path: Path) -> None:
    environment = wan_home(tmp_path)
    one, two = (frames(device, order, tmp_path / device, environment) for device in ("cpu", "cpu+cpu"))
    assert np.abs(one - two).max() <= 1


@pytest.mark.timeout(300)
def test_an_actor_ends_with_any_of_its_processes(order, tmp_path: Path) -> None:
    with started("cpu+cpu", order, tmp_path / "out", {}) as actor:
        (other,) = psutil.Process(actor.pid).children()
        assert other.environ()["RANK"] == "1"
        other.send_signal(signal.SIGKILL)
        assert actor.wait(60) == 1
        assert actor.stderr is not None
        assert "processor, process 2 was ended by signal 9" in actor.stderr.read()


@pytest.mark.timeout(300)
def test_the_processes_of_an_actor_end_with_it(order, tmp_path: Path) -> None:
    with started("cpu+cpu", order, tmp_path / "out", {}) as actor:
        (other,) = psutil.Process(actor.pid).children()
        actor.kill()
        until(lambda: not other.is_running() or other.status() == "zombie")
