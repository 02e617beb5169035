"""What the command line exports of a film plate, as Blender reads it."""

from __future__ import annotations

import pytest

pytest.importorskip("ex4d.export", reason="the library is not installed beside this Blender")

import numpy as np

from ex4d.clip.exr_writing import exr_header, write_exr
from ex4d.export.movies import movie_writer
from ex4d_ground.colour import KNOWN
from ex4d_ground.exports import get_kind
from ex4d_ground.footage import Footage

FOOTAGE = Footage(start_frame=1001, rate="24000/1001", timecode="01:00:00:00", reel="A1")


def test_blender_reads_an_exported_exr_sequence(blender, tmp_path):
    light = np.random.default_rng(0).uniform(0, 4, (3, 24, 32, 3)).astype(np.float16)
    for i, frame in enumerate(light):
        channels = {letter: frame[..., k] for k, letter in enumerate("RGB")}
        path = tmp_path / f"sh010_take001.{1001 + i}.exr"
        write_exr(path, channels, header=exr_header(KNOWN["linear"], FOOTAGE, i))
    image = blender.data.images.load(str(tmp_path / "sh010_take001.1001.exr"))
    assert tuple(image.size) == (32, 24)
    assert image.is_float
    pixels = np.array(image.pixels).reshape(24, 32, 4)[::-1, :, :3]
    assert np.array_equal(pixels.astype(np.float16), light[0])
    clip = blender.data.movieclips.load(str(tmp_path / "sh010_take001.1001.exr"))
    assert (clip.source, clip.frame_duration) == ("SEQUENCE", 3)


@pytest.mark.parametrize("kind", ["prores", "mp4-10"])
def test_blender_reads_the_rate_of_an_exported_movie(blender, tmp_path, kind):
    path = tmp_path / f"a{get_kind(kind).suffix}"
    with movie_writer(path, get_kind(kind), KNOWN["rec709"], FOOTAGE) as write:
        for _ in range(5):
            write(np.full((64, 96, 3), 0.5, np.float32))
    clip = blender.data.movieclips.load(str(path))
    assert (tuple(clip.size), clip.frame_duration) == ((96, 64), 5)
    assert clip.fps == pytest.approx(24000 / 1001, abs=1e-3)
