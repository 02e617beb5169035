"""Writing video: exact where promised, faithful where not, and never half a file."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import av
import numpy as np
import pytest

from ex4d.clip import read_video, video_writer, write_video
from ex4d.progress import CancelToken
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import Cancelled, OutputError, SettingError, ShapeError


@pytest.fixture
def file_size_limit():
    """A limit on file size: writing past it fails as a full disk does, in the middle of the file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (12, 96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_viewing_file_is_near_the_source_and_playable_anywhere(tmp_path: Path, frames: UInt8, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, frames, fps=24)
    error = np.abs(read_video(path)[0].astype(int) - frames)
    assert error.mean() < 2.8  # 4:2:0 blurs the square's coloured edge; the rest is near exact
    assert np.median(error) <= 2
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)  # BT.709, limited


@pytest.mark.parametrize("shape", [(48, 64), (47, 63)])
def test_a_lossless_file_keeps_noise_exactly(tmp_path: Path, shape) -> None:
    frames = noise()[:, : shape[0], : shape[1]]
    write_video(tmp_path / "a.mkv", frames, fps=15, lossless=True)
    assert np.array_equal(read_video(tmp_path / "a.mkv")[0], frames)


def test_a_bool_mask_becomes_black_and_white(tmp_path: Path) -> None:
    mask = noise()[..., 0] > 128
    write_video(tmp_path / "m.mkv", mask, fps=15, lossless=True)
    read, _ = read_video(tmp_path / "m.mkv")
    assert np.array_equal(read, np.repeat(mask[..., None] * np.uint8(255), 3, axis=3))
    flat = np.zeros((4, 48, 64), bool)
    flat[:, :, 32:] = True
    write_video(tmp_path / "m.mp4", flat, fps=15)
    assert np.array_equal(read_video(tmp_path / "m.mp4")[0][..., 0] > 127, flat)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_a_mask_is_encoded_as_its_grey_picture_is(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = np.zeros((5, *size), bool)
    for t in range(5):
        mask[t, 10:30, 5 + 4 * t : 25 + 4 * t] = True
    write_video(tmp_path / "mask.mp4", mask, fps=15)
    write_video(tmp_path / "grey.mp4", mask * np.uint8(255), fps=15)
    assert np.array_equal(read_video(tmp_path / "mask.mp4")[0], read_video(tmp_path / "grey.mp4")[0])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_metadata_of_any_name_stays_in_the_file(tmp_path: Path, frames: UInt8, name: str) -> None:
    write_video(tmp_path / name, frames, fps=15, metadata={"engine": "preview", "comment": "Seed 7"})
    with av.open(str(tmp_path / name)) as container:
        found = {k.lower(): v for k, v in container.metadata.items()}
    assert found["engine"] == "preview"
    assert found["comment"] == "Seed 7"


def test_the_same_frames_make_the_same_bytes(tmp_path: Path, frames: UInt8) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, fps=15)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_frames_can_be_written_as_they_come(tmp_path: Path, frames: UInt8) -> None:
    path = tmp_path / "a.mkv"
    with video_writer(path, fps=15, lossless=True) as write:
        for frame in frames:
            write(frame)
            assert not path.exists()
    assert np.array_equal(read_video(path)[0], frames)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, file_size_limit) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"the old take")
    file_size_limit(50_000)
    with pytest.raises(OutputError, match=r"Cannot write .*a\.mkv: the file would grow beyond") as caught:
        write_video(path, noise(), fps=15, lossless=True)
    assert caught.value.exit_code == 3
    assert path.read_bytes() == b"the old take"
    assert os.listdir(tmp_path) == ["a.mkv"]


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path, frames: UInt8) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"a part of that path is a file"):
        write_video(tmp_path / "file" / "a.mp4", frames, fps=15)
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(OutputError, match=r"there is a folder of that name"):
        write_video(tmp_path / "a.mp4", frames, fps=15)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_says_so(tmp_path: Path, frames: UInt8) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match=r"permission denied"):
            write_video(tmp_path / "a.mp4", frames, fps=15)
    finally:
        tmp_path.chmod(0o700)


def test_cancel_and_bad_frames_leave_nothing(tmp_path: Path, frames: UInt8) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        write_video(tmp_path / "a.mp4", frames, fps=15, on_progress=lambda _: token.cancel(), cancel=token)
    with (
        pytest.raises(ShapeError, match=r"does not fit the video's frames"),
        video_writer(tmp_path / "b.mp4", fps=15) as write,
    ):
        write(frames[0])
        write(frames[0, :40])
    with pytest.raises(ShapeError, match="at least one frame"), video_writer(tmp_path / "c.mp4", fps=15):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.mp4", {"fps": 15, "lossless": True}, r"must end in \.mkv, got a\.mp4"),
        ("a.gif", {"fps": 15}, r"must end in \.mp4"),
        ("a.mp4", {"fps": 0}, r"between 0.001 and 1000 frames a second, got 0"),
        ("a.mp4", {"fps": float("nan")}, r"got nan"),
    ],
)
def test_settings_are_checked_first(tmp_path: Path, frames: UInt8, name: str, options: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        write_video(tmp_path / name, frames, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4), (2, 4, 4, 4)])
def test_shapes_that_are_no_video_are_refused(tmp_path: Path, shape) -> None:
    with pytest.raises(ShapeError):
        write_video(tmp_path / "a.mp4", np.zeros(shape, np.uint8), fps=15)
    assert os.listdir(tmp_path) == []
