"""A clip's sound goes with its takes and their exports, and begins where the pictures do."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from ex4d.clip import load_clip, write_video
from ex4d.dwmesh import DWMesh
from ex4d.export import export_take
from ex4d.shots.draw import draw_shot
from ex4d.shots.take import generate, sound_of
from ex4d.takes import save_take
from ex4d.trajectory import static
from ex4d.types import Sound
from tests.colour.ffprobe import needs_ffmpeg, probe


def tone(path: Path, seconds: float, codec: str = "aac") -> None:
    source = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:a", codec, str(path)]
    subprocess.run(command, check=True)


@needs_ffmpeg
@pytest.mark.comes_in("Video", "sound", "in the take's MP4, copied or as AAC; left out where time is changed, and said")
@pytest.mark.parametrize(("codec", "kept"), [("aac", "aac"), ("pcm_s16le", "aac")])
def test_sound_stays_with_a_take_and_its_exports(tmp_path: Path, codec: str, kept: str) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (12, 72, 96, 3)).astype(np.uint8)
    tone(tmp_path / "sound.mov", 0.5, codec)
    write_video(tmp_path / "a.mov", frames, fps=24, sound=Sound(tmp_path / "sound.mov"))
    samples = probe(tmp_path / "a.mov", "stream=codec_type,duration_ts,sample_rate,nb_frames")["streams"][1]
    clip = load_clip(tmp_path / "a.mov", np.full((12, 72, 96), 4, np.float32))
    assert clip.footage.sound
    folder = save_take(tmp_path, generate(clip, static(num_frames=12, intrinsics=clip.intrinsics)))
    movies = [folder.with_suffix(".mp4"), export_take(folder, "prores", tmp_path / "out")[0]]
    for movie in movies:
        sound = probe(movie, "stream=codec_type,codec_name,duration_ts,sample_rate")["streams"][1]
        assert (sound["codec_name"], sound["sample_rate"]) == (kept, "48000")
        assert abs(int(sound["duration_ts"]) - int(samples["duration_ts"])) <= 1024
        decoded = sum(frame.samples for frame in av.open(str(movie)).decode(audio=0))
        assert abs(decoded - 24000) <= 2 * 1024


@needs_ffmpeg
def test_sound_begins_with_the_frame_that_a_move_begins_with(tmp_path: Path) -> None:
    """A click a second into the clip is heard where its frame is seen."""
    click = "aevalsrc=if(between(t\\,1\\,1.05)\\,0.9\\,0):s=48000:d=2"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", click, "-c:a", "pcm_s16le", str(tmp_path / "click.mov")]
    subprocess.run(command, check=True)
    frames = np.zeros((48, 64, 96, 3), np.uint8) + 90
    for name, suffix in (("a.mov", "copied"), ("a.mp4", "encoded")):
        write_video(tmp_path / name, frames[:24], fps=24, sound=Sound(tmp_path / "click.mov", 0.75))
        with av.open(str(tmp_path / name)) as container:
            pieces = [frame.to_ndarray().astype(float).reshape(-1) for frame in container.decode(audio=0)]
        heard = np.abs(np.concatenate(pieces))
        loud = np.flatnonzero(heard > 0.3 * heard.max())
        assert loud[0] / 48000 == pytest.approx(0.25, abs=0.05), suffix


@needs_ffmpeg
def test_damaged_sound_does_not_cost_the_pictures(tmp_path: Path) -> None:
    tone(tmp_path / "sound.mkv", 2, "flac")
    data = (tmp_path / "sound.mkv").read_bytes()
    half = len(data) // 2
    (tmp_path / "sound.mkv").write_bytes(data[:half] + b"\xff" * 4000)
    frames = np.zeros((48, 64, 96, 3), np.uint8) + 90
    write_video(tmp_path / "a.mov", frames, fps=24, sound=Sound(tmp_path / "sound.mkv"))
    with av.open(str(tmp_path / "a.mov")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 48


@needs_ffmpeg
def test_sound_of_a_retimed_move_is_left_out_and_said(tmp_path: Path) -> None:
    tone(tmp_path / "sound.mov", 0.5)
    frames = np.zeros((6, 72, 96, 3), np.uint8) + 90
    write_video(tmp_path / "a.mov", frames, fps=24, sound=Sound(tmp_path / "sound.mov"))
    clip = load_clip(tmp_path / "a.mov", np.full((6, 72, 96), 4, np.float32))
    move = static(num_frames=6, intrinsics=clip.intrinsics)
    slow = draw_shot(DWMesh(clip), replace(move, source_time=np.arange(6) / 2))
    assert sound_of(slow) == (None, "The clip's sound is left out: the move does not follow the clip's time.")
    late = draw_shot(DWMesh(clip), replace(move, source_time=np.minimum(np.arange(6), 5.0)))
    assert sound_of(late)[0] == Sound(tmp_path / "a.mov", 0.0)
