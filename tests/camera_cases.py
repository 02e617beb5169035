"""Camera files as other programs write them, with what every program of ours must make of each."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, WIDTH, HEIGHT = 5, 64, 48
CENTRED = (40.0, 40.0, WIDTH / 2, HEIGHT / 2)
_ASSUMED_FOCAL = WIDTH / 2 / math.tan(math.radians(54.22) / 2)
ASSUMED = (_ASSUMED_FOCAL, _ASSUMED_FOCAL, *CENTRED[2:])
"""Where a file holds poses alone and nothing else says the lens."""
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
    said: str = ""
    """A word of what people are told of a file that can be used."""
    last_lens: tuple[float, float, float, float] | None = None
    """Of the last frame; the first's if None."""


def poses() -> np.ndarray:
    """A slide to the right in our axes, [FRAMES, 4, 4]."""
    found = np.tile(np.eye(4), (FRAMES, 1, 1))
    found[:, 0, 3] = np.linspace(0.0, 0.4, FRAMES)
    return found


def _nerf(
    frame: Callable[[int], dict[str, Any]] | None = None,
    *,
    encoding: str = "utf-8",
    order: tuple[int, ...] = tuple(range(FRAMES)),
    rows: int = 4,
    picture: Callable[[int], str] = lambda i: f"./images/{i + 8}.png",
    **keys: Any,
):
    def make(folder: Path) -> Path:
        frames = [
            {
                "file_path": picture(i),
                "transform_matrix": (pose @ _OPENGL)[:rows].tolist(),
                **(frame(i) if frame else {}),
            }
            for i, pose in enumerate(poses())
        ]
        frames = [frames[i] for i in order]
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


def _after_gap(i: int) -> int:
    """Numbers of pictures of which the third has no camera."""
    return i + 8 + (i > 1)


def _colmap(
    points: str | None,
    camera: str = "PINHOLE 64 48 40 40 32 24",
    *,
    encoding: str = "utf-8",
    end: str = "\n",
    picture: Callable[[int], str] = lambda i: f"f{i + 8}.png",
):
    def make(folder: Path) -> Path:
        folder = folder / "sparse"
        folder.mkdir()
        lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"]
        for i in reversed(range(FRAMES)):  # not in the order of their names
            lines += [
                f"{i + 1} 1 0 0 0 {-float(poses()[i, 0, 3])!r} 0 0 1 {picture(i)}",
                *([] if points is None else [points]),
            ]
        (folder / "cameras.txt").write_text(f"# a comment{end}1 {camera}{end}", encoding=encoding, newline="")
        (folder / "images.txt").write_text(end.join(lines) + end, encoding=encoding, newline="")
        return folder

    return make


def _colmap_binary(folder: Path) -> Path:
    model = folder / "model"
    model.mkdir()
    camera = struct.pack("<QiiQQ4d", 1, 7, 1, WIDTH, HEIGHT, *CENTRED)
    images = struct.pack("<Q", FRAMES)
    for i in reversed(range(FRAMES)):  # not in the order of their names
        pose = struct.pack("<i4d3di", i + 1, 1, 0, 0, 0, -poses()[i, 0, 3], 0, 0, 7)
        points = struct.pack("<Q", i) + i * struct.pack("<ddq", 1.5, 2.5, -1)
        images += pose + f"f{i + 8}.png".encode() + b"\0" + points
    (model / "cameras.bin").write_bytes(camera)
    (model / "images.bin").write_bytes(images)
    return model


def _inside(place: str, make: Callable[[Path], Path]):
    def inner(folder: Path) -> Path:
        made, project = make(folder), folder / "project"
        (project / place).parent.mkdir(parents=True)
        made.rename(project / place)
        return project

    return inner


def _in_folder(make: Callable[[Path], Path]):
    def inner(folder: Path) -> Path:
        project = folder / "project"
        project.mkdir()
        make(project)
        return project

    return inner


def _cut(make: Callable[[Path], Path]):
    def inner(folder: Path) -> Path:
        model = make(folder)
        whole = (model / "images.bin").read_bytes()
        (model / "images.bin").write_bytes(whole[: len(whole) // 2])
        return model

    return inner


def _text(name: str, text: str):
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _in_parts(folder: Path) -> Path:
    """A project of which COLMAP could not join two parts."""
    project = _inside("sparse/0", _colmap_binary)(folder)
    shutil.copytree(project / "sparse" / "0", project / "sparse" / "1")
    return project


def _timed(name: str, line: Callable[[int, float], str], header: str = ""):
    def make(folder: Path) -> Path:
        lines = [line(i, float(pose[0, 3])) for i, pose in enumerate(poses())]
        return _text(name, "\n".join([*([header] if header else []), *lines]) + "\n")(folder)

    return make


_EUROC = "#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []"


def _tum(folder: Path) -> Path:
    lines = [f"{1305031102 + i / 30:.4f} {pose[0, 3]} 0 0 0 0 0 1" for i, pose in enumerate(poses())]
    return _text("groundtruth.txt", "# timestamp tx ty tz qx qy qz qw\n" + "\n".join(reversed(lines)))(folder)


def _kitti(folder: Path) -> Path:
    return _text("00.txt", "\n".join(" ".join(map(str, pose[:3].reshape(-1))) for pose in poses()))(folder)


def _matrices(folder: Path, name: Callable[[int], str]) -> Path:
    folder.mkdir()
    for i, pose in enumerate(poses()):
        (folder / name(i + 8)).write_text("\n".join("\t ".join(map(str, row)) for row in pose))
    return folder


def _seven_scenes(folder: Path) -> Path:
    made = _matrices(folder / "seq-01", lambda i: f"frame-{i:06d}.pose.txt")
    (made / "frame-000008.color.png").write_bytes(b"x")
    return made


def _seven_scenes_gap(folder: Path) -> Path:
    return _matrices(folder / "seq-01", lambda i: f"frame-{_after_gap(i - 8):06d}.pose.txt")


def _scannet(folder: Path) -> Path:
    return _matrices(folder / "pose", lambda i: f"{i}.txt")


def _lost_frame(folder: Path) -> Path:
    made = _seven_scenes(folder)
    (made / "frame-000009.pose.txt").write_text("-inf " * 16)
    return made


def _many(folder: Path) -> Path:
    count = 500_000
    changes = {"intrinsics": np.tile(CENTRED, (count, 1)), "source_time": np.arange(float(count))}
    return _ours(world_from_camera=np.tile(np.eye(4), (count, 1, 1)), **changes)(folder)


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.npz")
    return folder / "pipe.npz"


def _turned(matrix: np.ndarray):
    return _ours(world_from_camera=np.concatenate([poses()[:2], matrix[None], poses()[3:]]))


def _matrix_k(focal: float = 40.0) -> np.ndarray:
    return np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])


def _vipe(kind: str = "PINHOLE", *, lost: int | None = None, lens: bool = True, folder_named: bool = False):
    """Results of ``vipe infer``: frames in any order, float32."""

    def make(folder: Path) -> Path:
        order = np.array([i for i in (2, 0, 1, 4, 3) if i != lost])
        for name in ("pose", "intrinsics", "rgb"):
            (folder / "vipe_results" / name).mkdir(parents=True)
        results = folder / "vipe_results"
        np.savez(results / "pose" / "shot.npz", data=poses()[order].astype(np.float32), inds=order)
        if lens:
            rows = np.tile(np.float32(CENTRED), (FRAMES, 1))
            rows[:, :2] += 10 * np.arange(FRAMES)[:, None]
            np.savez(results / "intrinsics" / "shot.npz", data=rows, inds=np.arange(FRAMES))
            (results / "intrinsics" / "shot_camera.txt").write_text("".join(f"{i}: {kind}\n" for i in range(FRAMES)))
        return results if folder_named else results / "pose" / "shot.npz"

    return make


def _megasam(folder: Path) -> Path:
    """Its pictures are cut to whole blocks of 8 pixels behind the scaling; the middle is still that of the whole."""
    images = np.zeros((FRAMES, HEIGHT - 8, WIDTH, 3), np.uint8)
    path = folder / "shot_sgd_cvd_hr.npz"
    more = {"images": images, "depths": np.ones(images.shape[:3], np.float16)}
    np.savez(path, intrinsic=_matrix_k().astype(np.float32), cam_c2w=poses().astype(np.float32), **more)
    return path


def _megasam_folder(folder: Path) -> Path:
    made = folder / "reconstructions" / "shot"
    made.mkdir(parents=True)
    rows = []
    for camera_from_world in np.linalg.inv(poses()):
        turn, angle = (
            camera_from_world[:3, :3],
            np.arccos(np.clip((np.trace(camera_from_world[:3, :3]) - 1) / 2, -1, 1)),
        )
        axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        axis /= max(float(np.linalg.norm(axis)), 1e-12)
        rows.append([*camera_from_world[:3, 3], *(axis * np.sin(angle / 2)), np.cos(angle / 2)])
    np.save(made / "poses.npy", np.array(rows, np.float32))
    np.save(made / "intrinsics.npy", np.tile(np.float32(CENTRED), (FRAMES, 1)))
    return made / "poses.npy"


def _depth_anything(folder: Path) -> Path:
    path = folder / "exports" / "mini_npz" / "results.npz"
    path.parent.mkdir(parents=True)
    lenses = np.stack([_matrix_k(40.0 + 10 * i) for i in range(FRAMES)]).astype(np.float32)
    extrinsics = np.linalg.inv(poses())[:, :3].astype(np.float32)
    depth = np.ones((FRAMES, HEIGHT, WIDTH), np.float32)
    np.savez_compressed(path, depth=depth, conf=depth, extrinsics=extrinsics, intrinsics=lenses)
    return path


def _depth_anything_streaming(folder: Path) -> Path:
    lines = [" ".join(map(str, pose.reshape(-1))) for pose in poses()]
    (folder / "camera_poses.txt").write_text("\n".join(lines) + "\n")
    (folder / "intrinsic.txt").write_text("\n".join(["40.0 40.0 32.0 24.0"] * FRAMES) + "\n")
    return folder / "camera_poses.txt"


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
    CameraCase("nerfstudio distorted", _nerf(k1=0.1, **_LENS), _UNCENTRED, said="k1 = 0.1"),
    CameraCase("nerfstudio with a distorted frame", _nerf(lambda i: {"p1": 0.1 * (i == 3)}, **_LENS), _UNCENTRED,
               said="p1 = 0.1"),
    CameraCase("nerfstudio fisheye", _nerf(camera_model="OPENCV_FISHEYE", **_LENS), _UNCENTRED, said="OPENCV_FISHEYE"),
    CameraCase("nerfstudio marked a fisheye", _nerf(is_fisheye=True, **_LENS), _UNCENTRED, said="fisheye"),
    CameraCase("nerfstudio in another order than its pictures", _nerf(order=(3, 0, 4, 1, 2), **_LENS), _UNCENTRED),
    CameraCase("nerfstudio with matrices of three rows", _nerf(rows=3, **_LENS), _UNCENTRED),
    CameraCase("nerfstudio without a size", _nerf(w=None, **_LENS), _UNCENTRED),
    CameraCase("COLMAP distorted", _colmap("", "OPENCV 64 48 40 41 30 25 0.1 0 0 0"), _UNCENTRED, said="OPENCV"),
    CameraCase("COLMAP with one focal length and distortion", _colmap("", "SIMPLE_RADIAL 64 48 40 32 24 0.1"),
               said="SIMPLE_RADIAL"),
    CameraCase("COLMAP fisheye", _colmap("", "OPENCV_FISHEYE 64 48 40 40 32 24 0 0 0 0"), said="OPENCV_FISHEYE"),
    CameraCase("COLMAP with distortion of zero", _colmap("", "OPENCV 64 48 40 40 32 24 0 0 0 0")),
    CameraCase("COLMAP as UTF-16", _colmap(None, encoding="utf-16")),
    CameraCase("COLMAP binary", _colmap_binary),
    CameraCase("COLMAP in a project's folder", _inside("sparse/0", _colmap_binary)),
    CameraCase("nerfstudio in a folder", _in_folder(_nerf(**_LENS)), _UNCENTRED),
    CameraCase("TUM", _tum, ASSUMED, said="no lens"),
    CameraCase("KITTI", _kitti, ASSUMED, said="no lens"),
    CameraCase("7-Scenes", _seven_scenes, ASSUMED, said="no lens"),
    CameraCase("a folder of numbered matrices", _scannet, ASSUMED, said="no lens"),
    CameraCase("EuRoC", _timed("data.csv", lambda i, x: f"{1403636579763555584 + i},{x},0,0,1,0,0,0", _EUROC), ASSUMED,
               said="no lens"),
    CameraCase("a trajectory whose first line names its columns",
               _timed("cam.csv", lambda i, x: f"{i},1,0,0,0,{x},0,0", "time,qw,qx,qy,qz,tx,ty,tz"), ASSUMED,
               said="no lens"),
    CameraCase("7-Scenes that lost a frame", _seven_scenes_gap, ASSUMED, said="lacks the camera of frame 10"),
    CameraCase("COLMAP that lost an image", _colmap("", picture=lambda i: f"f{_after_gap(i)}.png"),
               said="lacks the camera of frame 10 between f8.png and f13.png"),
    CameraCase("COLMAP of every second image", _colmap("", picture=lambda i: f"f{8 + 2 * i}.png")),
    CameraCase("COLMAP of a rig", _colmap("", picture=lambda i: f"cam{i // 3}/{i:04d}.png"),
               said="2 folders of pictures"),
    CameraCase("COLMAP that could not join its parts", _in_parts, said="2 models that COLMAP did not join"),
    CameraCase("nerfstudio that lost a picture", _nerf(picture=lambda i: f"images/{_after_gap(i)}.png", **_LENS),
               _UNCENTRED, said="lacks the camera of frame 10"),
    CameraCase("ViPE", _vipe(), last_lens=(80.0, 80.0, 32.0, 24.0)),
    CameraCase("ViPE's results", _vipe(folder_named=True), last_lens=(80.0, 80.0, 32.0, 24.0)),
    CameraCase("MegaSaM", _megasam),
    CameraCase("MegaSaM's reconstruction", _megasam_folder),
    CameraCase("Depth Anything 3", _depth_anything, last_lens=(80.0, 80.0, 32.0, 24.0)),
    CameraCase("Depth Anything 3, streaming", _depth_anything_streaming),
    CameraCase("nerfstudio of a panorama", _nerf(camera_model="EQUIRECTANGULAR", **_LENS), None, "EQUIRECTANGULAR"),
    CameraCase("nerfstudio of an orthographic frame",
               _nerf(lambda i: {"camera_model": "ORTHOPHOTO"} if i == 3 else {}, **_LENS), None, "ORTHOPHOTO"),
    CameraCase("Nuke's camera called a text", _timed("chan.txt", lambda i, x: f"{i + 1} {x} 0 0 0 0 0 40"), None,
               "line 1 is no quaternion"),
    CameraCase("ViPE of a panorama", _vipe("PANORAMA"), None, "PANORAMA"),
    CameraCase("ViPE that lost a frame", _vipe(lost=1), None, "lacks frame 2"),
    CameraCase("ViPE without its lens", _vipe(lens=False), None, "lens is missing"),
    CameraCase("nerfstudio without a lens", _nerf(), None, "no focal length"),
    CameraCase("nerfstudio with a lens of NaN", _nerf(fl_x=float("nan")), None, "NaN"),
    CameraCase("nerfstudio with a size of text", _nerf(w="wide", **_LENS), None, "wrong kind"),
    CameraCase("nerfstudio nested without end", _text("deep.json", "[" * 100000), None, "not a readable JSON"),
    CameraCase("nerfstudio with a number without end", _text("big.json", '{"w": ' + "9" * 5000 + "}"), None, "JSON"),
    CameraCase("nerfstudio of pictures without end", _nerf(w=1e12, **_LENS), None, "cannot be drawn"),
    CameraCase("COLMAP of an unknown model", _colmap("", "PANORAMA 64 48 40 40 32 24"), None, "PANORAMA"),
    CameraCase("COLMAP binary cut short", _cut(_colmap_binary), None, "ends in the middle"),
    CameraCase("TUM with a line of text", _text("t.txt", "1 0 0 0 0 0 0 1\nlost\n"), None, "line 2"),
    CameraCase("TUM of three numbers", _text("t.txt", "1 2 3\n"), None, "8 numbers a line"),
    CameraCase("7-Scenes with a lost frame", _lost_frame, None, "holds no pose"),
    CameraCase("ours of far too many poses", _many, None, "more than cameras take"),
    CameraCase("ours beyond all bounds", _ours(world_from_camera=poses() + 1e300 * np.eye(4)[:, :1] * [0, 0, 0, 1]),
               None, "out of all bounds"),
    CameraCase("a pipe", _pipe, None, "no regular file"),
    CameraCase("ours of a later version", _ours(version=np.array(2)), None, "reads up to"),
    CameraCase("ours cut short", _ours(source_time=None), None, "lacks source_time"),
    CameraCase("ours mirrored", _turned(np.diag([-1.0, 1.0, 1.0, 1.0])), None, "not rigid"),
    CameraCase("ours scaled", _turned(np.diag([2.0, 2.0, 2.0, 1.0])), None, "not rigid"),
    CameraCase("ours with NaN", _turned(np.full((4, 4), np.nan)), None, "NaN"),
)  # fmt: skip
