"""What a plate carries, through Blender and a real backend: import, take, exports, sequencer."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("ex4d.export", reason="the library is not installed beside this Blender")
pytest.importorskip("OpenEXR", reason="the library is not installed beside this Blender")

import numpy as np
import OpenEXR

from ex4d.clip import write_video
from ex4d.clip.images import read_plate, read_rgb
from ex4d.colour import View
from ex4d.types import Sound
from ex4d_ground.colour import KNOWN
from tests.colour.plates import FRAMES, HEIGHT, WIDTH, box_depth, smooth_light, write_plate

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


def probe(path: Path, what: str) -> dict:
    command = ["ffprobe", "-v", "error", "-show_entries", what, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.fixture
def plate(connected, tmp_path, monkeypatch):
    """An ACEScg half float plate that counts from 1001 with its depth, imported; seen by the source camera."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    header = {"timeCode": OpenEXR.TimeCode(10, 0, 0, 0, 0, *[0] * 13), "framesPerSecond": Fraction(24000, 1001)}
    header["reelName"] = "A012C004"
    folder = write_plate(tmp_path / "sh010", smooth_light().astype(np.float16), header=header)
    np.save(tmp_path / "depth.npy", box_depth())
    how = {"depth_path": str(tmp_path / "depth.npy"), "depth_source": "FILE", "fov_deg": 54.0}
    connected.ops.ex4d.import_clip(video_path=str(folder), **how)
    shot = connected.context.scene.ex4d.shot
    shot.ex4d.camera = shot.ex4d.source_camera
    return shot


def test_1001_stays_1001_and_the_rate_a_fraction(connected, plate):
    scene, facts = connected.context.scene, plate.ex4d
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1001, 1000 + FRAMES, 1001)
    assert (scene.render.fps, scene.render.fps_base) == (24, pytest.approx(1.001, abs=1e-6))
    assert (facts.start_frame, facts.rate, facts.timecode) == (1001, "24000/1001", "10:00:00:00")
    assert (facts.reel, facts.colour_space) == ("A012C004", "ACEScg")


@pytest.mark.comes_in("Images", "EXR brighter than white, in Blender", "seen by the same view as everywhere (BT.2390)")
def test_the_viewport_gets_the_documented_view_of_light(connected, plate):
    """Its footage is 8-bit sRGB made by the one transform; Blender's own view of it changes nothing."""
    shown = Path(connected.path.abspath(plate.ex4d.folder)) / "colour"
    view = View.of(KNOWN["acescg"], brighter=True)
    for i in range(FRAMES):
        wanted = view.shown(smooth_light().astype(np.float16)[i])
        assert np.array_equal(read_rgb(shown / f"frame_{i + 1:04d}.png"), wanted)


@pytest.mark.comes_in("Images", "half float EXR, through Blender", "a take whose exported EXR is the plate bit by bit")
def test_a_plate_comes_out_of_blender_bit_by_bit(connected, plate, tmp_path):
    operators, scene = connected.ops.ex4d, connected.context.scene
    operators.generate(engine="preview")
    (take,) = scene.ex4d.takes
    info = json.loads((Path(connected.path.abspath(take.folder)) / "take.json").read_text())
    assert (info["layers"], info["footage"]["start_frame"], info["footage"]["rate"]) == ("plate", 1001, "24000/1001")
    assert info["colour"]["primaries"] == "ap1"
    out = tmp_path / "out"
    operators.export_take(index=0, kind="exr", directory=str(out), name="{shot}/{shot}_take{take:03}.{frame:04}")
    assert [path.name for path in sorted((out / "sh010").iterdir())] == [
        f"sh010_take001.{1001 + i}.exr" for i in range(FRAMES)
    ]
    for i, path in enumerate(sorted((out / "sh010").iterdir())):
        pixels, space = read_plate(path)
        assert space.primaries == "ap1"
        with OpenEXR.File(str(path), separate_channels=True) as file:
            assert set(file.channels()) == {"R", "G", "B", "mask", "coverage", "Z"}
            header, seen = dict(file.header()), file.channels()["mask"].pixels == 1
        assert seen.mean() > 0.8
        assert np.array_equal(pixels.view(np.uint16)[seen], smooth_light().astype(np.float16)[i].view(np.uint16)[seen])
        assert (header["imageCounter"], header["reelName"]) == (1001 + i, "A012C004")
        assert (header["timeCode"].frame, header["framesPerSecond"]) == (i, Fraction(24000, 1001))
    image = connected.data.images.load(str(out / "sh010" / "sh010_take001.1001.exr"))
    assert image.is_float and tuple(image.size) == (WIDTH, HEIGHT)
    clip = connected.data.movieclips.load(str(out / "sh010" / "sh010_take001.1001.exr"))
    assert (clip.source, clip.frame_duration) == ("SEQUENCE", FRAMES)
    with pytest.raises(RuntimeError, match="is there already; choose another name or folder"):
        operators.export_take(index=0, kind="exr", directory=str(out), name="{shot}/{shot}_take{take:03}.{frame:04}")
    with pytest.raises(RuntimeError, match=r"lacks \{frame\}"):
        operators.export_take(index=0, kind="exr", directory=str(out), name="{shot}")
    if shutil.which("ffprobe"):
        operators.export_take(index=0, kind="prores", directory=str(out))
        (movie,) = out.glob("*.mov")
        said = probe(movie, "stream=codec_name,pix_fmt,color_primaries,r_frame_rate,nb_frames:stream_tags:format_tags")
        video = said["streams"][0]
        assert (video["codec_name"], video["pix_fmt"], video["r_frame_rate"]) == ("prores", "yuv422p10le", "24000/1001")
        assert "10:00:00:00" in json.dumps(said) and "A012C004" in json.dumps(said)
        played = connected.data.movieclips.load(str(movie))
        assert (played.frame_duration, played.fps) == (FRAMES, pytest.approx(24000 / 1001, abs=1e-3))
    assert not list(out.glob(".ex4d*"))


@needs_ffmpeg
@pytest.mark.comes_in(
    "Video", "sound, in Blender", "a strip beside the take's in the sequencer, and in exported movies"
)
def test_sound_goes_along_into_sequencer_and_movies(connected, tmp_path, monkeypatch):
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    source = "sine=frequency=440:sample_rate=48000:duration=0.5"
    tone = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", str(tmp_path / "tone.mov")]
    subprocess.run(tone, check=True)
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3)).astype(np.uint8)
    write_video(tmp_path / "a.mov", frames, fps=24, sound=Sound(tmp_path / "tone.mov"))
    np.save(tmp_path / "depth.npy", np.full((12, 64, 96), 4, np.float32))
    operators, scene = connected.ops.ex4d, connected.context.scene
    how = {"depth_path": str(tmp_path / "depth.npy"), "depth_source": "FILE"}
    operators.import_clip(video_path=str(tmp_path / "a.mov"), **how)
    shot = scene.ex4d.shot
    assert shot.ex4d.has_sound
    shot.ex4d.camera = shot.ex4d.source_camera
    operators.generate(engine="preview")
    operators.take_to_sequencer(index=0)
    from blender_addon.work import compat

    (strip,) = [each for each in compat.strips_of(scene.sequence_editor) if each.type == "SOUND"]
    assert compat.span_of(strip) == (scene.frame_start, scene.frame_start + 12)
    assert (strip.sound.samplerate, Path(connected.path.abspath(strip.sound.filepath)).name) == (48000, "a.mov")
    operators.export_take(index=0, kind="mp4", directory=str(tmp_path / "out"))
    (movie,) = (tmp_path / "out").iterdir()
    sound = probe(movie, "stream=codec_type,duration_ts,sample_rate")["streams"][1]
    assert (sound["codec_type"], sound["sample_rate"]) == ("audio", "48000")
    assert int(sound["duration_ts"]) == pytest.approx(24000, abs=1024)

    shot.ex4d.use_source_time = True
    shot.ex4d.source_time = 3.0
    operators.generate(engine="preview")
    operators.take_to_sequencer(index=1)
    info = json.loads((Path(connected.path.abspath(scene.ex4d.takes[1].folder)) / "take.json").read_text())
    assert not info["footage"].get("sound", False)
    assert len([each for each in compat.strips_of(scene.sequence_editor) if each.type == "SOUND"]) == 1


def test_a_colour_configuration_that_is_not_there_is_one_sentence(connected, tmp_path, monkeypatch):
    np.save(tmp_path / "depth.npy", box_depth())
    folder = write_plate(tmp_path / "p", smooth_light().astype(np.float16))
    how = {"depth_path": str(tmp_path / "depth.npy"), "depth_source": "FILE", "video_path": str(folder)}
    gone = tmp_path / "gone.ocio"
    with pytest.raises(RuntimeError, match=r"no colour configuration .*gone\.ocio; choose its \.ocio or \.ocioz file"):
        connected.ops.ex4d.import_clip(**how, colour_name="V-Log", ocio_path=str(gone))
    text = "ocio_profile_version: 2\nroles: {default: raw}\ncolorspaces:\n  - !<ColorSpace> {name: raw}\n"
    (tmp_path / "studio.ocio").write_text(text)
    monkeypatch.setenv("OCIO", str(tmp_path / "studio.ocio"))
    with pytest.raises(RuntimeError, match=r"no colour space 'V-Log' in studio\.ocio; it has: raw"):
        connected.ops.ex4d.import_clip(**how, colour_name="V-Log")
