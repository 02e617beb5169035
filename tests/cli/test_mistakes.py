"""What people get wrong on the command line: one sentence, the right exit code, nothing lost, no library's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from .conftest import Shot

LIBRARY_WORDS = re.compile(
    r"Traceback|should not have happened|Errno|\b(numpy|ffmpeg|libav|zipfile|cv2|PIL|msgspec|NoneType|KeyError"
    r"|ValueError|allow_pickle|ndarray|dtype|UnicodeDecodeError|RuntimeError|pickle)\b"
)


@dataclass(frozen=True)
class Mistake:
    """A command with something wrong, and what must be said."""

    name: str
    arguments: Callable[[Place], tuple[object, ...]]
    said: str
    code: int = 2
    command: str = "recon"


class Place:
    """A folder with a clip, in which mistakes are made."""

    def __init__(self, folder: Path, shot: Shot):
        self.folder, self.shot = folder, shot
        self.out = folder / "out"

    def file(self, name: str, content: bytes | str | np.ndarray = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray) and path.suffix in (".png", ".jpg", ".tif"):
            assert cv2.imwrite(str(path), content)
        elif isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def pages(self, name: str) -> Path:
        pages = [Image.fromarray(np.full((40, 56), 3, np.float32))] * 3
        pages[0].save(self.folder / name, save_all=True, append_images=pages[1:])
        return self.folder / name

    def plates(self, name: str, numbers: list[int], prefix: str = "f") -> Path:
        for i in numbers:
            self.file(f"{name}/{prefix}{i:04d}.png", np.full((40, 56, 3), 10 * (i % 20), np.uint8))
        return self.folder / name

    def z(self, name: str, numbers: list[int]) -> Path:
        for i in numbers:
            self.file(f"{name}/z{i:04d}.png", np.full((40, 56), 3000, np.uint16))
        return self.folder / name


def clip(p: Place, *more: object) -> tuple[object, ...]:
    return (*p.shot.source, "--cam", "30", "--output_dir", p.out, *more)


def with_video(p: Place, video: object, *more: object) -> tuple[object, ...]:
    return ("--input_video", video, "--depth", p.shot.depth, "--cam", "30", "--output_dir", p.out, *more)


def with_depth(p: Place, depth: object, *more: object) -> tuple[object, ...]:
    return ("--input_video", p.shot.video, "--depth", depth, "--cam", "30", "--output_dir", p.out, *more)


def with_cam(p: Place, cam: object, *more: object) -> tuple[object, ...]:
    return (*p.shot.source, "--cam", cam, "--output_dir", p.out, *more)


def both(p: Place, video: Path, depth: Path) -> tuple[object, ...]:
    return ("--input_video", video, "--depth", depth, "--depth_scale", 0.001, "--cam", "30", "--output_dir", p.out)


MISTAKES = [
    Mistake("a video that is not there", lambda p: with_video(p, p.folder / "shto.mp4"), "There is no file or folder"),
    Mistake("a depth that is not there", lambda p: with_depth(p, p.folder / "d.npz"), "check the path of the depth"),
    Mistake("an empty video", lambda p: with_video(p, p.file("empty.mp4")), "is empty (0 bytes)"),
    Mistake("a text called a video", lambda p: with_video(p, p.file("a.mp4", "hello")), "is not a video that can be"),
    Mistake("a picture in place of a video",
            lambda p: with_video(p, p.file("still.png", np.zeros((40, 56, 3), np.uint8))), "has one frame"),
    Mistake("an empty folder",
            lambda p: with_video(p, p.file("plates/notes.txt").parent), "holds no PNG"),
    Mistake("a folder of pictures that are not read",
            lambda p: with_video(p, p.file("plates/f_1.tga").parent), "images (its files end in .tga); give a folder"),
    Mistake("a folder of depth that is not read",
            lambda p: with_depth(p, p.file("z/f_1.npy", np.ones((40, 56))).parent), "(its files end in .npy)"),
    Mistake("a lens of a panorama",
            lambda p: with_cam(p, p.file("t.json", '{"camera_model": "EQUIRECTANGULAR", "w": 8, "h": 8, "fl_x": 8, '
                                         '"frames": [{"transform_matrix": []}]}')), "EQUIRECTANGULAR, not perspective"),
    Mistake("depth in the pages of one file",
            lambda p: with_depth(p, p.pages("depth.tif")), "holds 3 pictures in one file"),
    Mistake("depth and video exchanged",
            lambda p: ("--input_video", p.shot.depth, "--depth", p.shot.video, "--cam", "30", "--output_dir", p.out),
            "shot.mp4 is no depth file that can be read"),
    Mistake("depth of another length",
            lambda p: with_depth(p, p.file("d.npy", np.ones((4, 40, 56), np.float32))),
            "has 4 frames but the video has 6"),
    Mistake("a depth scale beyond all lengths", lambda p: clip(p, "--depth_scale", "1e308"),
            "--depth_scale must be between 1e-09 and 1e+09, got 1e+308"),
    Mistake("a field of view that is none", lambda p: clip(p, "--fov", "1e-300"),
            "--fov must be at least 0.0001 degrees, got 1e-300"),
    Mistake("a border beyond all lengths", lambda p: clip(p, "--border_depth", "1e300"),
            "--border_depth must be between 1e-09 and 1e+09, got 1e+300"),
    Mistake("a thickness beyond all lengths", lambda p: clip(p, "--thickness", "1e300"),
            "Thickness must be less than 1e+09, got 1e+300"),
    Mistake("eyes beyond all lengths", lambda p: clip(p, "--engine", "preview", "--stereo", "1e300"),
            "--stereo must be between 1e-09 and 1e+09, got 1e+300", command="run"),
    Mistake("depth in whole numbers without a scale",
            lambda p: with_depth(p, p.file("d.npy", np.full((6, 40, 56), 900, np.uint16))), "--depth_scale"),
    Mistake("depth with no valid value", lambda p: with_depth(p, p.file("d.npy", np.zeros((6, 40, 56), np.float32))),
            "first in frame 1"),
    Mistake("depth that is a pickled object",
            lambda p: with_depth(p, p.file("d.npz", "nonsense")), "not a readable .npz"),
    Mistake("a preset that is none",
            lambda p: with_cam(p, "orbit_lift"), "There is no camera 'orbit_lift'; choose one of"),
    Mistake("a camera file that is not there", lambda p: with_cam(p, p.folder / "c.npz"), "There is no camera file"),
    Mistake("a camera file that is something else", lambda p: with_cam(p, p.file("c.npz", "x")), "not a readable .npz"),
    Mistake("an amount beyond the preset's", lambda p: with_cam(p, "orbit_left", "--amount", 400), "must be between"),
    Mistake("an amount with a camera file",
            lambda p: with_cam(p, p.file("c.json", "{}"), "--amount", 3), "belongs to presets"),
    Mistake("a JSON that is no transforms.json",
            lambda p: with_cam(p, p.file("c.json", "{}")), "has no list of frames"),
    Mistake("a folder that holds no cameras",
            lambda p: with_cam(p, p.file("cams/readme.md").parent), "holds no cameras"),
    Mistake("a focal length and an angle", lambda p: clip(p, "--fov", 50, "--focal", 60), "exclude each other"),
    Mistake("an angle beyond half a turn", lambda p: clip(p, "--fov", 190), "--fov must lie between 0 and 180"),
    Mistake("a focal length of zero", lambda p: clip(p, "--focal", 0), "--focal must be a positive number"),
    Mistake("a centre without a focal length", lambda p: clip(p, "--cx", 30), "--cx belongs to --focal or --fov"),
    Mistake("a lens of a file that says none",
            lambda p: clip(p, "--lens_from", p.shot.video), "says nothing about its lens"),
    Mistake("more frames than there are", lambda p: clip(p, "--num_frames", 60), "use --num_frames 6"),
    Mistake("more frames than numbers", lambda p: clip(p, "--num_frames", 2**63), "use --num_frames 6"),
    Mistake("one frame", lambda p: clip(p, "--num_frames", 1), "--num_frames must be at least 2"),
    Mistake("a number that is a word", lambda p: clip(p, "--num_frames", "all"), "Invalid value for '--num_frames'"),
    Mistake("an option that is misspelled", lambda p: clip(p, "--num_frame", 3), "No such option"),
    Mistake("a mode that is none", lambda p: clip(p, "--mode", "sold"), "Occluder mode must be"),
    Mistake("a thickness that is none", lambda p: clip(p, "--thickness", "thick"), "--thickness is 'auto'"),
    Mistake("a rasterizer that is not there", lambda p: clip(p, "--rasterizer", "opengl"), "'opengl' is not one of"),
    Mistake("an estimator beside finished depth",
            lambda p: clip(p, "--estimator", "depth-pro"), "--depth is finished depth"),
    Mistake("an output folder that is a file",
            lambda p: (*p.shot.source, "--cam", "30", "--output_dir", p.file("out.txt")),
            "is a file, not a folder", 3),
    Mistake("a sequence with a gap", lambda p: both(p, p.plates("rgb", [1, 2, 4, 5]), p.z("z", [1, 2, 3, 4, 5])),
            "lacks frame 3"),
    Mistake("two versions in a folder",
            lambda p: both(p, p.plates("rgb", [1, 2], "a_v1.") and p.plates("rgb", [1, 2], "a_v2."), p.z("z", [1, 2])),
            "2 sequences: a_v1.####.png"),
    Mistake("depth that lacks a frame", lambda p: both(p, p.plates("rgb", [1, 2, 3, 4]), p.z("z", [1, 2, 4, 5])),
            "lacks frame 3"),
    Mistake("a pattern that matches nothing",
            lambda p: with_video(p, p.folder / "f_%04d.png"), "There is no file or folder"),
    Mistake("weights that are missing",
            lambda p: ("--input_video", p.shot.video, "--cam", "30", "--output_dir", p.out),
            "there is also --depth, for depth that you have; run: ex4d weights fetch", 5),
    Mistake("an engine that is none", lambda p: clip(p, "--engine", "vann"), "no engine", 2, "run"),
    Mistake("an engine's setting that is none", lambda p: clip(p, "--set", "smoth=1"), "has no setting", 2, "preview"),
    Mistake("a setting without a value", lambda p: clip(p, "--set", "radius"), "--set takes name=value", 2, "preview"),
    Mistake("convergence without stereo", lambda p: clip(p, "--engine", "preview", "--convergence", 2),
            "--convergence belongs to --stereo", 2, "run"),
    Mistake("a share beyond one", lambda p: clip(p, "--low", 40), "--low is a share between 0 and 1", 2, "coverage"),
    Mistake("eyes too close for numbers", lambda p: clip(p, "--engine", "preview", "--stereo", "1e-30"),
            "--stereo must be between 1e-09 and 1e+09, got 1e-30", 2, "run"),
    Mistake("a convergence beyond all lengths",
            lambda p: clip(p, "--engine", "preview", "--stereo", "auto", "--convergence", "1e30"),
            "--convergence must be between 1e-09 and 1e+09, got 1e+30", 2, "run"),
    Mistake("a layout of eyes that nothing shows",
            lambda p: clip(p, "--engine", "preview", "--stereo", "auto", "--eyes", "half"),
            "--eyes says how an --export shows both eyes; give both", 2, "run"),
    Mistake("a seed below zero", lambda p: clip(p, "--engine", "preview", "--seed", "-1"), "--seed must be", 2, "run"),
    Mistake("a seed beyond the random numbers'", lambda p: clip(p, "--seed", 2**63), "--seed must be", 2, "preview"),
    Mistake("a frame rate that no file can hold", lambda p: clip(p, "--fps", "1e-8"),
            "--fps must be between 0.001 and 1000, got 1e-08"),
    Mistake("a name that no disk can hold", lambda p: with_video(p, "v" * 4000), "vvv cannot be used (File name"),
    Mistake("a camera of a name that no disk can hold", lambda p: with_cam(p, "c" * 4000), "check the path"),
    Mistake("a folder that a variable should have named", lambda p: (*p.shot.source, "--cam", "30", "--output_dir", ""),
            "What --output_dir is given is empty; give it a value"),
    Mistake("a depth that a variable should have named", lambda p: (*clip(p), "--depth="), "What --depth is given is"),
    Mistake("a camera without a name", lambda p: with_cam(p, ""), "What --cam is given is empty"),
    Mistake("a take without a name", lambda p: ("", "--output_dir", p.out), "A word on the command line is empty",
            command="export"),
    Mistake("a shot that names no depth",
            lambda p: (p.file("s.json", '{"format": "ex4d-shot", "version": 1, "options": {"depth": ""}}'),),
            "s.json: depth is empty; give it a value", command="run"),
    Mistake("a channel of a depth without channels", lambda p: clip(p, "--depth_channel", "Z"),
            "depth.npz is no EXR, so it has no channel 'Z'; drop --depth_channel"),
    Mistake("a channel of a file without channels, in the words of ex4d depth",
            lambda p: (p.shot.video, "-o", p.folder / "x.npz", "--from_file", p.shot.depth, "--depth_channel", "Z"),
            "is no EXR, so it has no channel 'Z'; drop --depth_channel", command="depth"),
    Mistake("a scale without a file", lambda p: (p.shot.video, "-o", p.folder / "x.npz", "--scale", 2),
            "--scale says what is in a --from_file; give that too, or drop --scale", command="depth"),
    Mistake("a step beside the published ones",
            lambda p: (p.shot.video, "-o", p.folder / "x.npz", "--parity", "--near_depth", 2),
            "--near_depth does not apply to --parity", command="depth"),
    Mistake("no camera at all", lambda p: (*p.shot.source, "--output_dir", p.out), "Missing option '--cam'"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_one_sentence_and_costs_nothing(ex4d, shot: Shot, tmp_path, monkeypatch, mistake: Mistake) -> None:
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("COLUMNS", "400")
    place = Place(tmp_path, shot)
    arguments = mistake.arguments(place)
    place.file("out/kept.txt", "the artist's own")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = ex4d(mistake.command, *arguments)
    assert done.code == mistake.code, done.err
    assert mistake.said in done.err, done.err
    assert not LIBRARY_WORDS.search(done.err), done.err
    errors = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 or "Usage:" in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_take_that_lost_a_picture_is_made_again_beside_it(ex4d, shot: Shot, tmp_path) -> None:
    arguments = ("run", *shot.source, "--cam", "static", "--engine", "preview", "--output_dir", tmp_path)
    assert ex4d(*arguments).code == 0
    again = ex4d(*arguments)
    assert again.code == 0 and "--again makes another" in again.err and not (tmp_path / "take_002").exists()
    (tmp_path / "take_001" / "frame_0003.png").unlink()
    (tmp_path / "take_001" / "frame_0005.png").write_bytes(b"")
    left = sorted(path.name for path in (tmp_path / "take_001").iterdir())
    third = ex4d(*arguments)
    assert third.code == 0 and "has lost frames 3, 5: another is made" in third.err
    assert len(list((tmp_path / "take_002").glob("frame_*.png"))) == 6
    assert sorted(path.name for path in (tmp_path / "take_001").iterdir()) == left


def test_missing_weights_are_told_before_the_video_is_read(ex4d, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "none"))
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    done = ex4d("recon", "--input_video", tmp_path / "broken.mp4", "--cam", "30", "--output_dir", tmp_path / "out")
    assert done.code == 5 and "--depth" in done.last
