"""Camera files as other programs write them, with what every program of ours must make of each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, WIDTH, HEIGHT = 5, 64, 48
CENTRED = (40.0, 40.0, WIDTH / 2, HEIGHT / 2)
_ANGLE = 2 * math.atan(WIDTH / 2 / 40.0)
_ANGLE_Y = 2 * math.atan(HEIGHT / 2 / 41.0)
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class CameraCase:
    """One file: how it is made, and the lens of its first frame or a word of the refusal."""

    name: str
    make: Callable[[Path], Path]
    lens: tuple[float, float, float, float] | None = CENTRED
    refused: str = ""
    last_lens: tuple[float, float, float, float] | None = None
    """Of the last frame; the first's if None."""


def poses() -> np.ndarray:
    """A slide to the right in our axes, [FRAMES, 4, 4]."""
    found = np.tile(np.eye(4), (FRAMES, 1, 1))
    found[:, 0, 3] = np.linspace(0.0, 0.4, FRAMES)
    return found


def _nerf(frame: Callable[[int], dict[str, Any]] | None = None, *, encoding: str = "utf-8", **keys: Any):
    def make(folder: Path) -> Path:
        frames = [
            {"file_path": f"{i}.png", "transform_matrix": (pose @ _OPENGL).tolist(), **(frame(i) if frame else {})}
            for i, pose in enumerate(poses())
        ]
        path = folder / "transforms.json"
        path.write_text(json.dumps({"w": WIDTH, "h": HEIGHT, **keys, "frames": frames}), encoding=encoding)
        return path

    return make


def _ours(**changes: Any):
    def make(folder: Path) -> Path:
        arrays = {
            "format": np.array("ex4d-blender-camera"), "version": np.array(1), "name": np.array("slide"),
            "world_from_camera": poses(), "intrinsics": np.tile(CENTRED, (FRAMES, 1)),
            "source_time": np.arange(float(FRAMES)), "width": np.array(WIDTH), "height": np.array(HEIGHT),
        }  # fmt: skip
        np.savez(folder / "move.npz", **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
        return folder / "move.npz"

    return make


def _published(folder: Path) -> Path:
    fx, fy, cx, cy = CENTRED
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    np.savez(folder / "camera_x.npz", extrinsics=(_OPENGL @ np.linalg.inv(poses())).astype(np.float32), intrinsics=k)
    return folder / "camera_x.npz"


def _colmap(points: str | None, camera: str = "PINHOLE 64 48 40 40 32 24", *, encoding: str = "utf-8", end: str = "\n"):
    def make(folder: Path) -> Path:
        folder = folder / "sparse"
        folder.mkdir()
        lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"]
        for i in reversed(range(FRAMES)):  # not in the order of their names
            lines += [
                f"{i + 1} 1 0 0 0 {-poses()[i, 0, 3]!r} 0 0 1 f{i + 8}.png",
                *([] if points is None else [points]),
            ]
        (folder / "cameras.txt").write_text(f"# a comment{end}1 {camera}{end}", encoding=encoding, newline="")
        (folder / "images.txt").write_text(end.join(lines) + end, encoding=encoding, newline="")
        return folder

    return make


def _turned(matrix: np.ndarray):
    return _ours(world_from_camera=np.concatenate([poses()[:2], matrix[None], poses()[3:]]))


_LENS = {"fl_x": 40.0, "fl_y": 41.0, "cx": 30.0, "cy": 25.0}
_UNCENTRED = (40.0, 41.0, 30.0, 25.0)
CASES = (
    CameraCase("ours", _ours()),
    CameraCase("ours with a zoom", _ours(intrinsics=np.array([CENTRED] * 4 + [(80.0, 80.0, 32.0, 24.0)])),
               last_lens=(80.0, 80.0, 32.0, 24.0)),
    CameraCase("published", _published),
    CameraCase("nerfstudio", _nerf(**_LENS), _UNCENTRED),
    CameraCase("nerfstudio with an angle alone", _nerf(camera_angle_x=_ANGLE)),
    CameraCase("nerfstudio with two angles", _nerf(camera_angle_x=_ANGLE, camera_angle_y=_ANGLE_Y),
               (40.0, 41.0, 32.0, 24.0)),
    CameraCase("nerfstudio without fl_y", _nerf(fl_x=40.0)),
    CameraCase("nerfstudio with a lens per frame", _nerf(lambda i: {"fl_x": 40.0 + 10 * i}),
               last_lens=(80.0, 80.0, 32.0, 24.0)),
    CameraCase("nerfstudio with a byte order mark", _nerf(encoding="utf-8-sig", **_LENS), _UNCENTRED),
    CameraCase("nerfstudio with distortion of zero", _nerf(k1=0.0, p2=0, camera_model="OPENCV", **_LENS), _UNCENTRED),
    CameraCase("COLMAP with empty lines of points", _colmap("")),
    CameraCase("COLMAP with points", _colmap("1.5 2.5 -1 20 30 7")),
    CameraCase("COLMAP without lines of points", _colmap(None)),
    CameraCase("COLMAP with one focal length", _colmap("", "SIMPLE_PINHOLE 64 48 40 32 24")),
    CameraCase("COLMAP off centre", _colmap("", "PINHOLE 64 48 40 41 30 25"), _UNCENTRED),
    CameraCase("COLMAP with byte order marks", _colmap(None, encoding="utf-8-sig")),
    CameraCase("COLMAP with Windows line ends", _colmap("", end="\r\n")),
    CameraCase("nerfstudio distorted", _nerf(k1=0.1, **_LENS), None, "distortion"),
    CameraCase("nerfstudio with a distorted frame", _nerf(lambda i: {"p1": 0.1 * (i == 3)}, **_LENS), None, "frame 3"),
    CameraCase("nerfstudio fisheye", _nerf(camera_model="OPENCV_FISHEYE", **_LENS), None, "OPENCV_FISHEYE"),
    CameraCase("nerfstudio marked a fisheye", _nerf(is_fisheye=True, **_LENS), None, "fisheye"),
    CameraCase("nerfstudio without a lens", _nerf(), None, "no focal length"),
    CameraCase("nerfstudio with a lens of NaN", _nerf(fl_x=float("nan")), None, "NaN"),
    CameraCase("nerfstudio without a size", _nerf(w=None, **_LENS), None, "wrong kind"),
    CameraCase("COLMAP distorted", _colmap("", "OPENCV 64 48 40 40 32 24 0.1 0 0 0"), None, "OPENCV"),
    CameraCase("COLMAP fisheye", _colmap("", "OPENCV_FISHEYE 64 48 40 40 32 24 0 0 0 0"), None, "OPENCV_FISHEYE"),
    CameraCase("ours of a later version", _ours(version=np.array(2)), None, "reads up to"),
    CameraCase("ours cut short", _ours(source_time=None), None, "lacks source_time"),
    CameraCase("ours mirrored", _turned(np.diag([-1.0, 1.0, 1.0, 1.0])), None, "not rigid"),
    CameraCase("ours scaled", _turned(np.diag([2.0, 2.0, 2.0, 1.0])), None, "not rigid"),
    CameraCase("ours with NaN", _turned(np.full((4, 4), np.nan)), None, "NaN"),
)  # fmt: skip
