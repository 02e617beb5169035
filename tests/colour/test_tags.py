"""What videos say of their colours: believed, said where it is assumed, overridden where people know better."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ex4d.clip.colours import ColourChoice
from ex4d.clip.video import open_pictures, read_frames
from ex4d.colour import View
from ex4d_ground.arrays import UInt8
from ex4d_ground.colour import KNOWN

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
GREY = 128


def filmed(path: Path, *options: str, pixels: str = "yuv420p", size: str = "64x48") -> Path:
    """Two frames of one colour: luma 128 and differences of 110 and 150, in steps of 8 bits."""
    deep = 4 if "10" in pixels else 1
    source = f"color=black:s={size}:r=25:d=0.08,format={pixels},geq=lum={GREY * deep}:cb={110 * deep}:cr={150 * deep}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1", *options, str(path)]
    subprocess.run(command, check=True)
    return path


def tags(primaries: str, transfer: str, matrix: str) -> list[str]:
    return ["-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix, "-color_range", "tv"]


def seen(path: Path, **options: Any) -> tuple[UInt8, Any, list[str]]:
    """The first frame's middle, its plate or None, and what is said."""
    with open_pictures(path, **options) as (info, pictures):
        picture = next(pictures)
    plate = None if picture.plate is None else picture.plate[24, 32].astype(float)
    return picture.view[24, 32], (plate, info.view), info.notes


def expected(red: float, blue: float) -> np.ndarray:
    """R, G and B of that colour by a matrix with these shares of red and blue in luma."""
    y, u, v = (GREY - 16) / 219, (110 - 128) / 224, (150 - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.array([r, (y - red * r - blue * b) / (1 - red - blue), b])


@needs_ffmpeg
@pytest.mark.comes_in("Video", "BT.601, BT.709, BT.2020 matrices; full or limited range", "believed")
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le"])
def test_the_matrix_that_is_said_is_used(tmp_path: Path, pixels: str) -> None:
    for name, said, shares in (
        ("a", tags("bt709", "bt709", "bt709"), (0.2126, 0.0722)),
        ("b", tags("smpte170m", "smpte170m", "smpte170m"), (0.299, 0.114)),
    ):
        view, _, notes = seen(filmed(tmp_path / f"{name}.mkv", *said, pixels=pixels))
        assert np.abs(view - expected(*shares) * 255).max() <= 1.6
        assert not notes


@needs_ffmpeg
@pytest.mark.comes_in("Video", "no word of its colours", "BT.709 from 720 lines on, else BT.601; said where it matters")
def test_what_is_not_said_is_assumed_by_size(tmp_path: Path) -> None:
    small, (_, view), _ = seen(filmed(tmp_path / "s.mkv", pixels="yuv444p"))
    assert view.space.assumed
    assert np.abs(small - expected(0.299, 0.114) * 255).max() <= 1.6
    large, (_, view), notes = seen(filmed(tmp_path / "l.mkv", pixels="yuv444p", size="1280x720"))
    assert view.space.assumed
    assert np.abs(large - expected(0.2126, 0.0722) * 255).max() <= 1.6
    assert notes == ["The video does not say what its colours are; it is read as BT.709."]


@needs_ffmpeg
@pytest.mark.comes_in("Video", "HDR or BT.2020 in 8 bits", "a plate all the same; its view converted, said")
@pytest.mark.parametrize(("transfer", "ours"), [("arib-std-b67", "hlg"), ("smpte2084", "pq"), ("bt2020-10", "rec2020")])
def test_8_bit_video_of_other_colours_is_converted_and_kept(tmp_path: Path, transfer: str, ours: str) -> None:
    path = filmed(tmp_path / "a.mkv", *tags("bt2020", transfer, "bt2020nc"), pixels="yuv444p")
    shown, (plate, view), notes = seen(path)
    assert (view.space.primaries, view.space.transfer) == ("bt2020", KNOWN[ours].transfer)
    assert np.abs(plate - expected(0.2627, 0.0593)).max() < 1e-3
    wanted = View.of(KNOWN[ours]).shown(plate.astype(np.float32)[None])[0].astype(int)
    assert np.abs(shown - wanted).max() <= 1
    assert len(notes) == 1
    assert ("BT.2390" in notes[0]) == (ours != "rec2020")


@needs_ffmpeg
def test_people_know_better_than_a_file(tmp_path: Path) -> None:
    path = filmed(tmp_path / "a.mkv", pixels="yuv420p10le")
    shown, (plate, view), notes = seen(path, colour=ColourChoice("hlg"))
    assert str(view.space) == "BT.2020 HLG"
    assert not view.space.assumed
    assert len(notes) == 1
    as_it_is, (same, _), _ = seen(path)
    assert np.array_equal(plate, same)  # the plate's numbers are the file's, whatever they mean
    assert np.abs(as_it_is.astype(int) - shown).max() > 10


@needs_ffmpeg
def test_a_turned_hdr_clip_has_an_upright_plate(tmp_path: Path) -> None:
    source = filmed(tmp_path / "a.mkv", *tags("bt2020", "arib-std-b67", "bt2020nc"), pixels="yuv420p10le")
    flat = ["-c:v", "libx265", "-x265-params", "log-level=error", *tags("bt2020", "arib-std-b67", "bt2020nc")]
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *flat, str(tmp_path / "flat.mp4")], check=True)
    turn = ["-c", "copy", "-metadata:s:v:0", "rotate=90"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "flat.mp4", *turn, str(tmp_path / "t.mp4")], check=True)
    with open_pictures(tmp_path / "t.mp4") as (_, pictures):
        picture = next(pictures)
    assert picture.plate is not None
    assert picture.view.shape == picture.plate.shape == (64, 48, 3)


@needs_ffmpeg
def test_an_sdr_clip_of_8_bits_is_decoded_as_ever(tmp_path: Path) -> None:
    path = filmed(tmp_path / "a.mkv", *tags("bt709", "bt709", "bt709"))
    frames, info = read_frames(path)
    assert info.view is not None
    assert info.view.as_is
    _, (plate, _), _ = seen(path)
    assert plate is None
    assert np.asarray(frames).dtype == np.uint8
