"""What a page plays: the shot, takes of it, and the camera moves that can be replayed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from msgspec import structs

from ex4d.clip.filling import fill_holes
from ex4d.clip.images import read_rgb
from ex4d.dwmesh import DWMesh
from ex4d.frames import FrameStack
from ex4d.guides.request import source_frames
from ex4d.progress import Watch, reported
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ClipError
from ex4d_ground.files import frame_name
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.takes import missing_frames, read_take_info


@dataclass(frozen=True)
class Replay:
    """A camera move to be played: each of its frames shows the frame of a source that was its own moment."""

    name: str
    move: Trajectory
    frames: list[int]
    """[N] of the source."""


@dataclass(frozen=True)
class WebSource:
    """Something that a page can show: a solid mesh, with what it says of itself."""

    name: str
    mesh: DWMesh
    poses: Float64  # [T, 4, 4]
    """Where the camera that filmed each frame stood in the world of the shot."""
    guessed: list[Bool] | None = None
    """[T] of [H, W]: what no camera saw, so that its depth is a guess; None where all was seen."""
    note: str = ""
    """A sentence for people."""
    objects: tuple[str, ...] = ()
    """Guide objects that stood in it, and are left out."""


def shot_source(mesh: DWMesh) -> WebSource:
    """The shot itself, with solid occluders whatever the mesh has."""
    moving, count = mesh.clip.moving_camera, mesh.num_frames
    poses = np.tile(np.eye(4), (count, 1, 1)) if moving is None else moving.world_from_camera
    return WebSource("Shot", solid(mesh), poses)


def solid(mesh: DWMesh) -> DWMesh:
    """The mesh with solid occluders, of this frame's own pixels alone; edits stay."""
    options = mesh.options
    wanted = structs.replace(options, mode="solid", other_frames=False, world_memory=False)
    if wanted == options:
        return mesh
    thickness = None if mesh.solid is None else mesh.solid.thickness_map
    return DWMesh(
        mesh.clip, wanted, vertex_overrides=mesh.vertex_overrides, face_flags=mesh.face_flags, thickness_map=thickness
    )


def take_source(folder: Path, shot: DWMesh, **watch: Unpack[Watch]) -> tuple[WebSource, Replay]:
    """A finished take as a source of its own, and its camera's replay of the shot.

    What the take shows of the shot has the shot's depth; what its engine made up gets the depth of what is beside it,
    the farther surface first, and counts as guessed. Raises ClipError for a folder that is no take of this shot.
    """
    info = read_take_info(folder)
    lost = missing_frames(folder, info)
    if lost or info.num_frames == 0 or info.camera is None:
        raise ClipError(f"The take {folder} lacks frames or its camera; make it again.")
    move = info.camera.trajectory
    if len(move) != info.num_frames:
        raise ClipError(f"The take {folder} has {info.num_frames} frames but {len(move)} cameras; make it again.")
    noted = info.clip.get("name")
    if noted and noted != shot.clip.name:
        raise ClipError(f"The take {folder} is of the clip {noted!r}, this shot is {shot.clip.name!r}; choose its own.")
    frames = source_frames(move, shot.num_frames).tolist()
    guessed: list[Bool] = []
    colours, depths = (FrameStack(expected=len(move), label=f"the take {folder}") for _ in range(2))
    drawn = CpuRasterizer()
    seen = shot.clip.seen_by_source(move)
    for i in reported(range(len(move)), stages.WEB_TAKE, len(move), **watch):
        colours.append(read_rgb(folder / frame_name(i)))
        _, mask = drawn.draw(shot.surface(frames[i]), Camera.of(seen, i))
        if not mask.any():
            raise ClipError(f"Frame {i + 1} of the take {folder} shows nothing of the shot, so it has no depth.")
        depth = np.where(mask, 1 / np.maximum(drawn.inverse_depth, 1e-20), np.float32(0)).astype(np.float32)
        depths.append(fill_holes(depth, mask))
        guessed.append(~mask)
    clip = Clip(
        colours.frames(),
        depths.frames(),
        move.frame_intrinsics(0),
        info.fps,
        shot.clip.name,
        source_camera=SourceCamera.of(move.world_from_camera, move.intrinsics, size=(move.width, move.height)),
    )
    name = folder.resolve().name.replace("_", " ").capitalize()
    objects = tuple(str(each.get("name", "object")) for each in info.objects)
    note = f"{name} was made by the engine '{info.engine}'; the depth of what it made up is a guess, and marked."
    source = WebSource(name, DWMesh(clip, solid(shot).options), move.world_from_camera, guessed, note, objects)
    return source, Replay(name, move, frames)
