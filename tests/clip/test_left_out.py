"""What a source holds and a clip does not show is said: transparency, second eyes, further pictures of a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from ex4d.clip import load_clip, read_depth, read_video
from ex4d.clip.stereo_box import mark_side_by_side
from ex4d.clip.video import read_frames
from ex4d_ground.errors import ClipError, DepthError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes these inputs")
HEIGHT, WIDTH = 48, 64


def film(path: Path, *options: object) -> Path:
    source = ("-f", "lavfi", "-i", f"testsrc=size={WIDTH}x{HEIGHT}:rate=24:duration=0.2")
    command = ["ffmpeg", "-v", "error", "-y", *source, *map(str, options), str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def rgba(alpha: int) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 4), 90, np.uint8)
    picture[..., 3] = 255
    picture[10:20, 10:20, 3] = alpha
    return picture


@pytest.mark.comes_in(
    "Video", "transparency (ProRes 4444, VP9, PNG)", "left out, and said where anything is transparent"
)
@needs_ffmpeg
@pytest.mark.parametrize(("alpha", "said"), [(0.4, ["The video is transparent in parts"]), (1.0, [])])
def test_a_video_that_is_transparent_says_so(tmp_path: Path, alpha: float, said: list[str]) -> None:
    path = film(tmp_path / "a.mov", "-vf", f"format=rgba,colorchannelmixer=aa={alpha}", "-c:v", "qtrle")
    notes = read_frames(path)[1].notes
    assert [note.split(":")[0] for note in notes] == said


@pytest.mark.comes_in("Images", "transparency", "left out, and said where anything is transparent")
@pytest.mark.parametrize(("alpha", "said"), [(0, ["f_1.png is transparent in parts"]), (255, [])])
def test_pictures_that_are_transparent_say_so(tmp_path: Path, alpha: int, said: list[str]) -> None:
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / f"f_{i}.png"), rgba(alpha))
    frames, info = read_frames(tmp_path)
    assert [note.split(":")[0] for note in info.notes] == said
    assert (np.asarray(frames) == 90).all()


def exr(path: Path, views: tuple[str, ...] = (), **channels: float) -> None:
    planes = {name.replace("_", "."): np.full((HEIGHT, WIDTH), v, np.float16) for name, v in channels.items()}
    header = {"multiView": list(views)} if views else {}
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, planes).write(
        str(path)
    )


@pytest.mark.comes_in("Images", "EXR of two eyes", "the first one's picture, and said")
def test_an_exr_says_which_eye_is_used_and_what_is_transparent(tmp_path: Path) -> None:
    for i in (1, 2):
        exr(
            tmp_path / f"f_{i}.exr",
            ("left", "right"),
            R=0.2,
            G=0.2,
            B=0.2,
            A=0.5,
            right_R=0.8,
            right_G=0.8,
            right_B=0.8,
        )
    frames, info = read_frames(tmp_path)
    assert any("f_1.exr holds the views left and right; left is used" in note for note in info.notes)
    assert any("f_1.exr is transparent in parts" in note for note in info.notes)
    assert np.asarray(frames).max() < 150


@pytest.mark.comes_in("Video", "two eyes in a picture, a panorama", "taken as one flat picture, and said")
@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [("a.mkv", "left_right", "side by side"), ("b.mkv", "top_bottom", "one above the other"), ("c.mkv", "mono", "")],
)
def test_two_eyes_in_a_picture_are_said(tmp_path: Path, name: str, mode: str, said: str) -> None:
    path = film(tmp_path / name, "-c:v", "ffv1", "-pix_fmt", "bgr0", "-metadata:s:v", f"stereo_mode={mode}")
    notes = read_frames(path)[1].notes
    assert (f"hold two eyes ({said})" in notes[0]) if said else not notes


@needs_ffmpeg
def test_a_stereo_movie_of_ours_says_that_it_holds_two_eyes(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", "-c:v", "libx264", "-pix_fmt", "yuv444p")
    mark_side_by_side(path)
    assert any("hold two eyes (side by side)" in note for note in read_frames(path)[1].notes)


@pytest.mark.comes_in("Video", "a colour coding that is not known (YCgCo, ICtCp)", "refused by name")
@needs_ffmpeg
def test_a_coding_of_colours_that_is_not_read_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-colorspace", "ycgco")
    with pytest.raises(ClipError, match="coded as YCgCo, which is not read; convert it"):
        read_video(path)


def pages(path: Path, count: int = 3, mode: str = "RGB", **how: object) -> Path:
    kind = np.float32 if mode == "F" else np.uint8
    shape = (HEIGHT, WIDTH) if mode == "F" else (HEIGHT, WIDTH, 3)
    first, *rest = [Image.fromarray(np.full(shape, 10 + 20 * i, kind)) for i in range(count)]
    first.save(path, save_all=True, append_images=rest, **how)
    return path


@pytest.mark.comes_in(
    "Images", "several pictures in one file (pages, an animated WebP)", "refused, or said of a sequence"
)
@pytest.mark.parametrize("name", ["stack.tif", "moving.webp", "moving.png"])
def test_a_file_of_several_pictures_is_no_sequence(tmp_path: Path, name: str) -> None:
    path = pages(tmp_path / name)
    with pytest.raises(ClipError, match=f"{name} holds 3 pictures in one file, .* write each into a numbered file"):
        read_video(path)


def test_a_sequence_of_files_with_pages_says_that_the_first_is_used(tmp_path: Path) -> None:
    for i in (1, 2):
        pages(tmp_path / f"f_{i}.tif")
    frames, info = read_frames(tmp_path)
    assert info.notes == ["f_1.tif holds 3 pictures; the first of each file is used."]
    assert (np.asarray(frames) == 10).all()


def test_depth_in_pages_of_one_file_is_refused(tmp_path: Path) -> None:
    path = pages(tmp_path / "depth.tif", mode="F")
    with pytest.raises(DepthError, match="holds 3 pictures in one file"):
        read_depth(path)


def test_a_damaged_picture_is_a_sentence_and_no_librarys_words(tmp_path: Path, capfd) -> None:
    for i in (1, 2, 3):
        for ending in (".png", ".bmp"):
            (tmp_path / ending[1:]).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / ending[1:] / f"f_{i}{ending}"), rgba(255)[..., :3])
    for ending in (".png", ".bmp"):
        file = tmp_path / ending[1:] / f"f_3{ending}"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ClipError, match=rf"f_3\{ending} is not an image that can be read"):
            load_clip(tmp_path / ending[1:], np.full((3, HEIGHT, WIDTH), 4, np.float32))
    assert capfd.readouterr().err == ""
