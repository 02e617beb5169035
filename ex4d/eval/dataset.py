"""Multi-camera scenes on disk: a source video with depth and camera, and target views of the same moment.

One folder per scene, made by the scene generator or by hand from anyone's multi-camera recording::

    SCENE/
      scene.json            {"name": ..., "fps": 15, "source": "source",
                             "targets": [{"name": "left", "kind": "orbit"}, ...]}
      source/
        frames/0001.png ... the pictures (or frames.mp4, .mov, .mkv: anything read_video takes)
        depth.npz           key "depth" [T, H, W], z-depth (or depth.npy, or a folder depth/ of EXR files)
        camera.npz          as ex4d.trajectory.save_camera writes it (or transforms.json)
      left/
        frames/ ..., camera.npz
        depth.npz           optional: without it there is no true visibility, and only pictures are compared
        truth.npz           optional: bool arrays "visible" and "unknowable" [N, H, W]; computed from depth if missing

All cameras of a scene share one world (OpenCV axes) and one unit with the depth. A target's ``source_time`` says
which source frame each of its frames was taken at the same time as. The source camera may move and zoom; the clip
holds how.
Targets written as plain strings are of kind "other"; "orbit" marks those that the tables by angle are made from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ex4d.clip import DEFAULT_FPS, read_depth, read_video
from ex4d.eval.visibility import Truth, true_visibility
from ex4d.progress import CancelToken, check
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ClipError, DepthError, InputError, TrajectoryError, in_brief
from ex4d_ground.files import atomic_path, staged_folder
from ex4d_ground.parsing import parse_json
from ex4d_ground.source_camera import SourceCamera

SCENE_FILE = "scene.json"
ANGLES_DEG = (15, 30, 60, 90)
"""Angles that people compare."""
ANGLE_TOLERANCE_DEG = 2.0
"""A tilted camera turns a little less than its orbit."""


@dataclass(frozen=True)
class Target:
    """Another view of the scene, with what is known about it."""

    name: str
    kind: str
    frames: UInt8  # [N, H, W, 3] RGB
    trajectory: Trajectory
    """Poses relative to the source camera of the same moment, as the source's meshes see them."""
    depth: Float32 | None = None  # [N, H, W]
    truth: Truth | None = None

    @property
    def angle_deg(self) -> Float64:  # [N]
        """Angle between the source's and the target's optical axes, in degrees."""
        forward = self.trajectory.world_from_camera[:, 2, 2]
        return np.degrees(np.arccos(np.clip(forward, -1, 1)))

    def frames_at(self, *angles_deg: float) -> list[int]:
        """An orbit's frames, all but the first, at one of these angles; none of another move."""
        angles = self.angle_deg if self.kind == "orbit" else []
        return [i for i in range(1, len(angles)) if np.abs(angles[i] - angles_deg).min() <= ANGLE_TOLERANCE_DEG]

    def frames_only(self, chosen: Sequence[int]) -> Target:
        """The same target with the frames ``chosen`` alone."""
        pick, c = list(chosen), self.trajectory
        poses, lenses, times = c.world_from_camera[pick], c.intrinsics[pick], c.source_time[pick]
        track = replace(c, world_from_camera=poses, intrinsics=lenses, source_time=times)
        truth = None if self.truth is None else Truth(self.truth.visible[pick], self.truth.unknowable[pick])
        depth = None if self.depth is None else self.depth[pick]
        return replace(self, frames=self.frames[pick], trajectory=track, depth=depth, truth=truth)


@dataclass(frozen=True)
class Scene:
    """A source clip and its targets."""

    name: str
    clip: Clip
    targets: tuple[Target, ...]


def find_scenes(root: Path) -> list[Path]:
    """Scene folders below ``root`` (or ``root`` itself), sorted. Raises ClipError if there are none."""
    root = Path(root)
    folders = [root] if (root / SCENE_FILE).is_file() else sorted(p.parent for p in root.glob(f"*/{SCENE_FILE}"))
    if not folders:
        raise ClipError(
            f"There is no {SCENE_FILE} in {root} or in a folder below it; make scenes or name their folder."
        )
    return folders


def load_scene(folder: Path, *, cancel: CancelToken | None = None) -> Scene:
    """Read a scene folder. Raises ClipError, DepthError or TrajectoryError with the file and what is wrong."""
    folder = Path(folder)
    info = _read_info(folder / SCENE_FILE)
    source = folder / str(info.get("source", "source"))
    frames, depth, cameras = _read_view(source, cancel)
    if depth is None:
        raise DepthError(f"The source of {folder} has no depth; put depth.npz (key 'depth') into {source}.")
    if len(cameras) != len(frames):
        raise TrajectoryError(f"{source} has {len(frames)} frames and {len(cameras)} cameras; they must be as many.")
    fps = float(info.get("fps", DEFAULT_FPS))
    name = str(info.get("name", folder.name))
    camera = SourceCamera.of_trajectory(replace(cameras, source_time=np.arange(len(cameras), dtype=np.float64)))
    clip = Clip(frames, depth, cameras.frame_intrinsics(0), fps=fps, name=name, source_camera=camera)
    targets = []
    for entry in info.get("targets", []):
        check(cancel)
        given = {"name": entry} if isinstance(entry, str) else dict(entry)
        targets.append(_load_target(folder, given, clip, cameras, cancel))
    if not targets:
        raise ClipError(f"{folder / SCENE_FILE} names no targets; list the folders of the other cameras there.")
    return Scene(name, clip, tuple(targets))


def save_view(
    folder: Path, frames: UInt8, depth: Float32 | None, trajectory: Trajectory, truth: Truth | None = None
) -> None:
    """Write one view of a scene in the layout above, all of it or nothing. Raises OutputError."""
    with staged_folder(folder) as staged:
        (staged / "frames").mkdir()
        for i, frame in enumerate(frames):
            cv2.imwrite(str(staged / "frames" / f"{i + 1:04d}.png"), np.ascontiguousarray(frame[..., ::-1]))
        if depth is not None:
            np.savez_compressed(staged / "depth.npz", depth=depth.astype(np.float32))
        if truth is not None:
            np.savez_compressed(staged / "truth.npz", visible=truth.visible, unknowable=truth.unknowable)
        save_camera(staged / "camera.npz", trajectory)


def save_scene_info(folder: Path, name: str, targets: Sequence[dict[str, str]], *, fps: float, **extra: Any) -> None:
    """Write ``scene.json``. ``targets`` are {"name", "kind"}; ``extra`` (seed, generator, ...) is kept for people."""
    info = {"name": name, "fps": fps, "source": "source", "targets": list(targets), **extra}
    with atomic_path(folder / SCENE_FILE) as path:
        path.write_text(json.dumps(info, indent=2) + "\n")


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = parse_json(path.read_text())
    except (OSError, ValueError) as error:
        raise ClipError(f"{path} cannot be read as JSON ({in_brief(error)}); mend or replace it.") from error
    if not isinstance(info, dict):
        raise ClipError(f"{path} must hold a JSON object with 'targets', got {type(info).__name__}.")
    return info


def _first_existing(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / n for n in names if (folder / n).exists()), None)


def _read_view(folder: Path, cancel: CancelToken | None) -> tuple[UInt8, Float32 | None, Trajectory]:
    pictures = _first_existing(folder, ["frames", "frames.mkv", "frames.mp4", "frames.mov"])
    camera = _first_existing(folder, ["camera.npz", "transforms.json"])
    if pictures is None or camera is None:
        missing = "frames (a folder or a video)" if pictures is None else "camera.npz or transforms.json"
        raise ClipError(f"{folder} has no {missing}; add it.")
    frames, _ = read_video(pictures, cancel=cancel)
    size = (frames.shape[2], frames.shape[1])
    trajectory = load_camera(camera, size=size)
    if (trajectory.width, trajectory.height) != size:
        raise TrajectoryError(
            f"{camera} is for {trajectory.width}x{trajectory.height}, its frames are {size[0]}x{size[1]}."
        )
    depth_file = _first_existing(folder, ["depth.npz", "depth.npy", "depth"])
    depth = None if depth_file is None else read_depth(depth_file, cancel=cancel)
    if depth is not None and depth.shape != frames.shape[:3]:
        raise DepthError(f"{depth_file} is {depth.shape}, its frames are {frames.shape[:3]} (length, height, width).")
    return frames, depth, trajectory


def _load_target(
    folder: Path, entry: dict[str, Any], clip: Clip, source: Trajectory, cancel: CancelToken | None
) -> Target:
    name = str(entry.get("name", ""))
    if not name or Path(name).name != name:
        raise ClipError(f"{folder / SCENE_FILE} has a target without a plain folder name: {entry}.")
    frames, depth, cameras = _read_view(folder / name, cancel)
    if len(cameras) != len(frames):
        raise TrajectoryError(
            f"{folder / name} has {len(frames)} frames and {len(cameras)} cameras; they must be as many."
        )
    times = np.floor(cameras.source_time + 0.5).astype(int)
    if times.min() < 0 or times.max() >= clip.num_frames:
        raise TrajectoryError(
            f"{folder / name} refers to source frame {times.max() + 1}, the source has {clip.num_frames}."
        )
    relative = np.linalg.inv(source.world_from_camera[times]) @ cameras.world_from_camera
    trajectory = replace(cameras, world_from_camera=relative, name=name)
    truth = _read_truth(folder / name / "truth.npz", frames.shape[:3])
    if truth is None and depth is not None:
        truth = true_visibility(clip, trajectory, depth)
    return Target(name, str(entry.get("kind", "other")), frames, trajectory, depth, truth)


def _read_truth(path: Path, shape: tuple[int, ...]) -> Truth | None:
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            visible, unknowable = arrays["visible"].astype(bool), arrays["unknowable"].astype(bool)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{path} must hold 'visible' and 'unknowable' ({in_brief(error)}); delete it to have them computed."
        ) from error
    if visible.shape != shape or unknowable.shape != shape:
        raise InputError(f"{path} is {visible.shape}, its frames are {shape}; delete it to have it computed again.")
    return Truth(visible, unknowable)
