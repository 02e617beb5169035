"""Writing a shot's geometry: its mesh is read here, a frame a step; the files are written by a second Blender."""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.files import made_folder, told_as

from ..camera.exporters import in_world
from ..edit import collect, sampling
from ..scene import retime, shot
from ..work import files
from ..work.pc2 import Pc2Writer
from ..work.tasks import Steps, TaskProgress
from . import how_to_open, second_blender, usd_layer
from .plan import ALEMBIC, FRAMES_FOLDER, WHOLE_FOLDER, WORK_FOLDER, GeometryPlan, geometry_name, uv

AT_ONCE_S = 0.05
"""So long the mesh is read before Blender goes on: looking at another scene has its price each time."""
SCRIPT = Path(__file__).with_name("begin_second.py")


def written(plan: GeometryPlan) -> Steps[GeometryPlan]:
    """Write the files of ``plan`` as steps, all of them or none. Raises AddonError."""
    staging = files.free_folder(plan.target.parent, files.UNFINISHED)
    with files.writing(plan.target), made_folder(plan.target.parent), told_as(staging, plan.target):
        return (yield from _written(plan, staging))


def _written(plan: GeometryPlan, staging: Path) -> Steps[GeometryPlan]:
    whole, work = staging / WHOLE_FOLDER, staging / WORK_FOLDER
    try:
        whole.mkdir(parents=True)
        work.mkdir()
        sampled = yield from _sampled(plan, work)
        told = _told(plan, sampled, work, whole)
        second_blender.write_told(work / "told.json", told)
        yield from second_blender.run(SCRIPT, work / "told.json", work / "second.log", target=plan.target)
        _write_texts(plan, sampled, whole)
        target = files.free_path(plan.target)
        whole.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(plan, target=target)


class Sampled:
    """What was read of the shot, beside the vertices on disk."""

    def __init__(self, num_frames: int) -> None:
        self.world_from_shot: Float64 = np.empty((num_frames, 4, 4))
        self.shown = [0] * num_frames
        """The source frame that each frame shows."""
        self.low: Float32 = np.empty((num_frames, 3), np.float32)
        self.high: Float32 = np.empty((num_frames, 3), np.float32)


def _sampled(plan: GeometryPlan, work: Path) -> Steps[Sampled]:
    """The mesh in Blender's world, frame by frame, to a cache that the second Blender plays."""
    found = Sampled(plan.num_frames)
    with Pc2Writer(_cache(work), points=plan.grid.num_vertices, samples=plan.num_frames) as writer:
        done = 0
        while done < plan.num_frames:
            target, until = shot.still_there(plan.shot_id), time.perf_counter() + AT_ONCE_S
            with sampling.sampling(collect.whole_mesh(target), user_modifiers=True, as_retimed=True) as sampler:
                for index in range(done, plan.num_frames):
                    writer.write(index, _at(plan, target, sampler, index, found))
                    done = index + 1
                    if time.perf_counter() >= until:
                        break
            yield TaskProgress("reading the mesh", done, plan.num_frames)
        writer.close()
    return found


def _at(
    plan: GeometryPlan, target: bpy.types.Object, sampler: sampling.Sampler, index: int, found: Sampled
) -> Float32:  # [V, 3]
    """The mesh of a frame in Blender's world; what else is read of the frame goes to ``found``."""
    vertices = sampler.positions(plan.frames[index])[plan.vertices].astype(np.float64)
    depsgraph = sampler.scene.view_layers[0].depsgraph
    world = np.array(sampler.body.evaluated_get(depsgraph).matrix_world, np.float64)
    shown = target.evaluated_get(depsgraph)
    found.world_from_shot[index] = np.array(shown.matrix_world, np.float64)
    retimed = retime.retimed_index(shown)
    found.shown[index] = index if retimed is None else retimed
    placed = (vertices @ world[:3, :3].T + world[:3, 3]).astype(np.float32)
    found.low[index], found.high[index] = placed.min(axis=0), placed.max(axis=0)
    return placed


def _cache(work: Path) -> Path:
    return work / files.CACHE_FILE


def _told(plan: GeometryPlan, sampled: Sampled, work: Path, whole: Path) -> dict[str, Any]:
    """What the second Blender is told, its arrays in a file."""
    arrays: dict[str, Any] = {"uv": uv(plan)}
    for camera, move in plan.moves.items():
        arrays[f"{camera}.world"] = in_world(sampled.world_from_shot, move)
        arrays[f"{camera}.poses"], arrays[f"{camera}.intrinsics"] = move.world_from_camera, move.intrinsics
        arrays[f"{camera}.size"] = np.array((move.width, move.height))
    path = work / "arrays.npz"
    with files.writing(path):
        np.savez(path, **arrays)
    shown, picture = plan.pictures, plan.picture
    return {
        "kind": plan.kind,
        "file": str(whole / geometry_name(plan)),
        "target": str(plan.target),
        "arrays": str(path),
        "cache": str(_cache(work)),
        "grid": (plan.grid.width, plan.grid.height),
        "clips": plan.clips,
        "rate": plan.rate,
        "frame_start": plan.frame_start,
        "num_frames": plan.num_frames,
        "picture": (picture.width, picture.height, picture.pixel_width, picture.pixel_height),
        "frames_folder": str(whole / FRAMES_FOLDER),
        "colour": str(shown.folder),
        "suffix": shown.suffix,
        "visible": str(shown.visible),
        "video": str(shown.video),
        "shown": list(zip(sampled.shown, map(number_of, plan.frames), strict=True)),
    }


def number_of(frame: int) -> str:
    """A frame's number as it stands in file names."""
    return f"{frame:04d}"


def _write_texts(plan: GeometryPlan, sampled: Sampled, whole: Path) -> None:
    suffix = plan.pictures.suffix or ".png"
    if plan.kind != ALEMBIC:
        layer = usd_layer.Layer(
            geometry=geometry_name(plan),
            fps=plan.fps,
            frames=plan.frames,
            colour=tuple(f"{FRAMES_FOLDER}/colour.{number_of(frame)}{suffix}" for frame in plan.frames),
            visible=tuple(f"{FRAMES_FOLDER}/visible.{number_of(frame)}.png" for frame in plan.frames),
            low=sampled.low,
            high=sampled.high,
        )
        files.write_whole(whole / f"{plan.title}.usda", usd_layer.text_of(layer).encode())
    files.write_whole(whole / "how-to-open.txt", how_to_open.text_of(plan, suffix).encode())
