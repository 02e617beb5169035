"""Long takes: the same pictures as from memory, in memory that does not grow with the clip."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import load_clip, write_video
from ex4d.frames import FrameStore
from ex4d.frames import stack as stack_module
from ex4d.progress import CancelToken, Progress
from ex4d.shots.draw import write_guides_file
from ex4d.shots.take import generate
from ex4d.takes import read_take, save_take
from ex4d.trajectory import preset
from ex4d.types import Clip, Take
from ex4d_ground.errors import Cancelled


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clip")
    y, x = np.mgrid[:48, :64]
    frames = np.stack([np.stack([3 * x + 2 * t, 5 * y, x + y], -1) for t in range(8)]).astype(np.uint8)
    depth = np.full((8, 48, 64), 8, np.float32)
    for t in range(8):
        depth[t, 14:34, 12 + t : 30 + t] = 4
        frames[t, 14:34, 12 + t : 30 + t] = (220, 60, 40)
    write_video(folder / "clip.mp4", frames, fps=24)
    np.savez(folder / "depth.npz", depth=depth)
    return folder / "clip.mp4", folder / "depth.npz"


def made(clip: Clip) -> Take:
    return generate(clip, preset("orbit_left", clip, near_depth=4.0))


def test_a_take_by_way_of_the_disk_is_the_take_from_memory(
    paths: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = made(load_clip(*paths))
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    on_disk = made(load_clip(*paths))
    assert isinstance(on_disk.frames, FrameStore)
    assert np.array_equal(np.asarray(on_disk.frames), in_memory.frames)
    assert np.array_equal(on_disk.coverage, in_memory.coverage)
    assert on_disk.metadata["clip"] == in_memory.metadata["clip"]  # the clip's hash among it
    kept = read_take(save_take(tmp_path, on_disk))
    assert np.array_equal(kept.frames, in_memory.frames)


def test_cancelling_in_mid_stream_leaves_no_take(
    paths: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setenv("EX4D_SCRATCH", str(tmp_path / "scratch"))
    take, token = made(load_clip(*paths)), CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        save_take(tmp_path / "out", take, on_progress=stop, cancel=token)
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "scratch").iterdir())


def test_guides_in_a_file_are_those_that_were_drawn(paths: tuple[Path, Path], tmp_path: Path) -> None:
    import ex4d

    clip = load_clip(*paths)
    guides = ex4d.render_guides(clip, preset("orbit_left", clip, near_depth=4.0))
    write_guides_file(tmp_path / "g.npz", guides)
    with np.load(tmp_path / "g.npz") as stored:
        assert np.array_equal(stored["rgba"], guides.rgba)


CHILD = """
import json, resource, sys
import numpy as np
from ex4d.clip import load_clip
from ex4d.clip.writing import video_writer
from ex4d.dwmesh import DWMesh
from ex4d.frames import stack, store
from ex4d.frames.archive import write_array_frames
import zipfile
from pathlib import Path
from ex4d.shots.take import generate
from ex4d.takes import save_take
from ex4d.trajectory import preset
stack.IN_MEMORY_BYTES, store.KEPT_BYTES = 4 << 20, 2 << 20
count, folder = int(sys.argv[1]), Path(sys.argv[2])
y, x = np.mgrid[:180, :320]
with video_writer(folder / "c.mp4", fps=24) as write:
    for t in range(count):
        write(np.stack([x + t, y, x + y], -1).astype(np.uint8))
wall = np.full((180, 320), 8, np.float32)
wall[60:120, 100:200] = 4
with zipfile.ZipFile(folder / "d.npz", "w") as archive:
    write_array_frames(archive, "depth", (wall for _ in range(count)), shape=(count, 180, 320), dtype=np.float32)
clip = load_clip(folder / "c.mp4", folder / "d.npz")
take = generate(clip, preset("orbit_left", clip, near_depth=4.0))
save_take(folder / "out", take)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = []
    for count in (40, 240):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(count), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout.splitlines()[-1]) * 1024)
    frame_bytes = 180 * 320 * (3 + 4 + 3 + 1 + 3)  # of clip, depth, guides, masks and take
    assert peaks[1] - peaks[0] < 0.2 * 200 * frame_bytes
