"""HDR, DPX and 10-bit footage through the add-on: what the viewport shows, and what comes out again."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path

import film_sources as film
import numpy as np
import pytest
from small_clip import ROOT

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe are not installed")
SCRIPT = Path(film.__file__)
PATCHES = [(film.WIDTH // len(film.SIGNALS)) * i + film.WIDTH // len(film.SIGNALS) // 2 for i in range(6)]
"""Columns in the middle of each step."""
WHITE, PEAK = 203.0, 1000.0
"""cd/m2: reference white of HDR (BT.2408), and the peak that the view is made for."""


@pytest.fixture
def written(project_python, tmp_path):
    """``written(kind, *arguments)``: what ``film_sources.py`` writes; returns the last argument as a path."""

    def run(kind: str, *arguments: object) -> Path:
        command = [*project_python, str(SCRIPT), kind, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
        assert done.returncode == 0, done.stderr
        return Path(str(arguments[-1]))

    return run


@pytest.fixture
def imported(connected, tmp_path, monkeypatch):
    """``imported(path)``: the shot of footage with a wall's depth, seen by its source camera."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))

    def load(path: Path):
        np.save(tmp_path / "depth.npy", np.full((film.FRAMES, film.HEIGHT, film.WIDTH), 4, np.float32))
        how = {"depth_path": str(tmp_path / "depth.npy"), "depth_source": "FILE", "fov_deg": 54.0}
        assert connected.ops.ex4d.import_clip(video_path=str(path), **how) == {"FINISHED"}
        shot = connected.context.scene.ex4d.shot
        shot.ex4d.camera = shot.ex4d.source_camera
        return shot

    return load


# --- what the standards say, worked out here ------------------------------------------------------------------


def pq(nits: float) -> float:
    """The signal of a light, SMPTE ST 2084."""
    y = (nits / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def nits_of_pq(signal: float) -> float:
    """The light of a signal, SMPTE ST 2084."""
    e = signal ** (32 / 2523)
    return 10_000 * (max(e - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * e)) ** (16384 / 2610)


def nits_of_hlg(signal: float) -> float:
    """The light of a grey on a screen of 1000 cd/m2, ITU-R BT.2100: inverse OETF, then a gamma of 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = signal * signal / 3 if signal <= 0.5 else (math.exp((signal - c) / a) + b) / 12
    return PEAK * scene**1.2


def level_of(nits: float) -> float:
    """The 8-bit level that docs/film.md gives a grey of that light: the EETF of BT.2390, 5.4.1, then sRGB's curve."""
    top, here = pq(WHITE) / pq(PEAK), min(pq(nits) / pq(PEAK), 1.0)
    knee = 1.5 * top - 0.5
    if here > knee:
        t = (here - knee) / (1 - knee)
        here = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * top
    light = nits_of_pq(here * pq(PEAK)) / WHITE
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.comes_in("Video", "HDR: PQ or HLG, in Blender", "shown by the same view (BT.2390), said at the import")
@pytest.mark.parametrize(("transfer", "nits_of"), [("pq", nits_of_pq), ("hlg", nits_of_hlg)])
def test_hdr_is_shown_by_the_documented_tone_map_and_said(
    connected, written, imported, render, tmp_path, capfd, transfer, nits_of
):
    """Both the picture that the mesh wears and the picture that is drawn of it, against the standards' own numbers."""
    shot = imported(written("steps", transfer, tmp_path / f"{transfer}.mp4"))
    signals = (film.luma_codes()[0, PATCHES] - 64) / 876
    wanted = np.array([level_of(nits_of(float(signal))) for signal in signals])
    assert wanted.max() > 190, "reference white is bright"
    node = next(n for n in connected.data.materials[f"{transfer} Footage"].node_tree.nodes if n.type == "TEX_IMAGE")
    assert node.image.colorspace_settings.name == "sRGB"
    worn = connected.data.images.load(connected.path.abspath(node.image.filepath), check_existing=False)
    worn.colorspace_settings.name = "Non-Color"
    values = np.array(worn.pixels).reshape(film.HEIGHT, film.WIDTH, 4)
    np.testing.assert_allclose(values[film.HEIGHT // 2, PATCHES, :3] * 255, wanted[:, None].repeat(3, 1), atol=1.01)
    scene = connected.context.scene
    scene.camera = shot.ex4d.source_camera
    drawn = render()
    assert drawn.shape[:2] == (film.HEIGHT, film.WIDTH)
    np.testing.assert_allclose(drawn[film.HEIGHT // 2, PATCHES, :3], wanted[:, None].repeat(3, 1), atol=2)
    assert "BT.2390" in capfd.readouterr().out, "what was done to the colours is said"


def test_signals_of_hdr_as_they_are_would_be_another_picture():
    """What Blender would show of the file itself: the test above tells it from the tone-mapped picture."""
    for nits_of in (nits_of_pq, nits_of_hlg):
        off = [abs(level_of(nits_of(signal)) - 255 * signal) for signal in film.SIGNALS]
        assert max(off) > 30


def take_of(blender, shot):
    assert blender.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    take = blender.context.scene.ex4d.takes[-1]
    return take, json.loads((Path(blender.path.abspath(take.folder)) / "take.json").read_text())


def exported(blender, kind: str, folder: Path, **how: str) -> list[Path]:
    assert blender.ops.ex4d.export_take(index=0, kind=kind, directory=str(folder), **how) == {"FINISHED"}
    return sorted(path for path in folder.rglob("*") if path.is_file())


def probe(path: Path, what: str) -> dict:
    command = ["ffprobe", "-v", "error", "-show_entries", what, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@needs_ffmpeg
@pytest.mark.comes_in("Images", "folders of DPX, through Blender", "every 10-bit number in its exported 16-bit PNG")
def test_a_dpx_sequence_keeps_its_numbers_and_its_count(connected, written, imported, reference, tmp_path):
    shot = imported(written("dpx", tmp_path / "sh020"))
    scene, facts = connected.context.scene, shot.ex4d
    assert (scene.frame_start, scene.frame_end) == (1001, 1000 + film.FRAMES)
    assert (facts.start_frame, facts.rate, facts.timecode) == (1001, "24000/1001", film.TIMECODE)
    assert (scene.render.fps, scene.render.fps_base) == (24, pytest.approx(1.001, abs=1e-6))
    _, info = take_of(connected, shot)
    assert (info["layers"], info["footage"]["start_frame"]) == ("plate", 1001)
    files = exported(connected, "png16", tmp_path / "out")
    assert [path.name for path in files] == [f"sh020_take001.{1001 + i}.png" for i in range(film.FRAMES)]
    codes = np.rint(film.steps()[film.HEIGHT // 2, PATCHES] * 1023)
    for picture in reference("pictures", *files[:: film.FRAMES - 1]).values():
        assert picture.dtype == np.uint16
        assert np.array_equal(np.rint(picture[film.HEIGHT // 2, PATCHES] / 65535 * 1023), codes[:, None].repeat(3, 1))
    image = connected.data.images.load(str(files[0]))
    image.colorspace_settings.name = "Non-Color"
    values = np.array(image.pixels).reshape(film.HEIGHT, film.WIDTH, 4)[film.HEIGHT // 2, PATCHES, :3]
    np.testing.assert_allclose(values * 1023, codes[:, None].repeat(3, 1), atol=0.05)
    clip = connected.data.movieclips.load(str(files[0]))
    assert (clip.source, clip.frame_duration) == ("SEQUENCE", film.FRAMES)
    again = imported(files[0].parent)
    assert (again.ex4d.start_frame, scene.frame_start) == (1001, 1001)


def test_a_half_float_plate_comes_out_of_every_blender_bit_by_bit(connected, written, imported, tmp_path):
    shot = imported(written("exr", tmp_path / "sh030"))
    scene, facts = connected.context.scene, shot.ex4d
    assert (scene.frame_start, facts.colour_space, facts.reel) == (1001, "ACEScg", film.REEL)
    take_of(connected, shot)
    out = exported(connected, "exr", tmp_path / "out")[0].parent
    seen, worst = np.load(written("off", tmp_path / "sh030", out, tmp_path / "off.npy"))
    assert seen > 0.85 and worst == 0  # the rim is the mesh's border
    again = imported(out).ex4d
    assert (again.start_frame, again.rate, again.timecode) == (1001, "24000/1001", film.TIMECODE)
    assert (again.colour_space, again.reel) == ("ACEScg", film.REEL)


@needs_ffmpeg
@pytest.mark.comes_in("Video", "10 bits, time code, sound, in Blender", "all of it in exported movies, to the sample")
def test_10_bit_video_comes_back_with_its_time_code_rate_and_every_sample_of_sound(
    connected, written, imported, tmp_path
):
    source = written("prores", tmp_path / "a.mov")
    shot = imported(source)
    scene, facts = connected.context.scene, shot.ex4d
    assert (facts.rate, facts.timecode, facts.reel) == ("24000/1001", film.TIMECODE, film.REEL)
    assert facts.has_sound and (scene.render.fps, scene.render.fps_base) == (24, pytest.approx(1.001, abs=1e-6))
    _, info = take_of(connected, shot)
    assert (info["layers"], info["footage"]["rate"], info["footage"]["timecode"]) == (
        "plate",
        "24000/1001",
        film.TIMECODE,
    )
    (movie,) = exported(connected, "prores", tmp_path / "out")
    said = probe(
        movie, "stream=codec_name,pix_fmt,r_frame_rate,nb_frames,sample_rate,duration_ts,time_base:stream_tags"
    )
    video, sound = said["streams"][:2]
    assert (video["codec_name"], video["pix_fmt"]) == ("prores", "yuv422p10le")
    assert (video["r_frame_rate"], int(video["nb_frames"])) == ("24000/1001", film.FRAMES)
    assert film.TIMECODE in json.dumps(said) and film.REEL in json.dumps(said)
    assert (sound["sample_rate"], sound["time_base"]) == (str(film.SOUND_RATE), f"1/{film.SOUND_RATE}")
    assert int(sound["duration_ts"]) == film.SAMPLES
    off = np.load(written("luma", movie, tmp_path / "out.npy")) - np.load(written("luma", source, tmp_path / "in.npy"))
    assert np.abs(off[:, film.HEIGHT // 2, PATCHES]).max() <= 1
    played = connected.data.movieclips.load(str(movie))
    assert (played.frame_duration, played.fps) == (film.FRAMES, pytest.approx(float(film.RATE), abs=1e-3))
    if connected.app.version >= (4, 3):  # the module of 4.2 is built without sound
        import aud

        heard = aud.Sound(str(movie))
        assert (heard.specs[0], len(heard.data())) == (film.SOUND_RATE, film.SAMPLES)
    again = imported(movie).ex4d
    assert (again.rate, again.timecode, again.reel) == ("24000/1001", film.TIMECODE, film.REEL)


def test_lossless_10_bit_video_keeps_every_code_through_blender(connected, written, imported, tmp_path):
    source = written("steps", "pq", tmp_path / "a.mp4")
    take_of(connected, imported(source))
    (movie,) = exported(connected, "mp4-10-lossless", tmp_path / "out")
    off = np.load(written("luma", movie, tmp_path / "out.npy")) - np.load(written("luma", source, tmp_path / "in.npy"))
    assert np.abs(off[:, film.HEIGHT // 2, PATCHES]).max() == 0
