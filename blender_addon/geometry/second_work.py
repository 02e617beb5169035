"""What the second Blender does: it builds the scene from arrays, has it exported, and lays pictures beside it."""

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import Ex4dError
from ex4d_ground.files import frame_name, output_error

from ..camera import exporters
from ..scene import keyframes, materials, mesh, sequence_render, topology
from ..work import pc2
from ..work.errors import AddonError
from .plan import ALEMBIC, PICTURES_FOLDER
from .second_blender import SPOKEN
from .usd_layer import MESH_PRIM, ROOT


def main(told: dict[str, Any]) -> int:
    """Write the files that ``told`` asks for; returns the exit code. What went wrong is said on standard output."""
    try:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = _scene(told)
        _export(scene, told)
        _lay_pictures(told)
    except (Ex4dError, RuntimeError, OSError) as error:
        traceback.print_exc()
        _say(error=str(error if isinstance(error, Ex4dError) else _as_sentence(error, Path(told["target"]))))
        return 1
    return 0


def _as_sentence(error: RuntimeError | OSError, target: Path) -> Ex4dError:
    if isinstance(error, OSError):
        return output_error(target, error)
    reason = " ".join(str(error).removeprefix("Error: ").split()).rstrip(".")
    return AddonError(f"Blender could not write the files: {reason}; free some space or choose another folder.")


def _say(**news: object) -> None:
    sys.stdout.write(f"{SPOKEN}{json.dumps(news)}\n")
    sys.stdout.flush()


def _scene(told: dict[str, Any]) -> bpy.types.Scene:
    scene = bpy.context.scene
    render, start = scene.render, told["frame_start"]
    render.fps, render.fps_base = told["rate"]
    render.resolution_x, render.resolution_y, render.resolution_percentage = *told["picture"][:2], 100
    render.pixel_aspect_x, render.pixel_aspect_y = told["picture"][2:]
    scene.frame_start, scene.frame_end = start, start + told["num_frames"] - 1
    with np.load(told["arrays"]) as arrays:
        _body(scene, arrays, told)
        for name, (near, far) in told["clips"].items():
            _camera(scene, arrays, name, start).clip_start, bpy.data.cameras[name].clip_end = near, far
    scene.frame_set(start)
    return scene


def _body(scene: bpy.types.Scene, arrays: Any, told: dict[str, Any]) -> None:
    """The mesh without its caps, its faces turned to whoever filmed."""
    width, height = told["grid"]
    faces = topology.topology(width, height, 0).faces[: -topology.NUM_CAPS, ::-1]
    cache = Path(told["cache"])
    data = mesh.joined(MESH_PRIM, pc2.read_pc2(cache)[0], faces, arrays["uv"])
    obj = bpy.data.objects.new(MESH_PRIM, data)
    scene.collection.objects.link(obj)
    mesh.add_cache(obj, str(cache), frame_start=told["frame_start"])


def _camera(scene: bpy.types.Scene, arrays: Any, name: str, start: int) -> bpy.types.Camera:
    lens = bpy.data.cameras.new(name)
    obj = bpy.data.objects.new(name, lens)
    scene.collection.objects.link(obj)
    world, (width, height) = arrays[f"{name}.world"], arrays[f"{name}.size"]
    times = np.arange(len(world), dtype=np.float64)
    move = Trajectory(arrays[f"{name}.poses"], arrays[f"{name}.intrinsics"], times, int(width), int(height), name)
    exporters.key(obj, world, move, start)
    for owner in (obj, lens):
        keyframes.set_interpolation(owner, "LINEAR")
    return lens


def _export(scene: bpy.types.Scene, told: dict[str, Any]) -> None:
    total, path = told["num_frames"], Path(told["file"])
    passed: list[int] = []

    def at_frame(moved: bpy.types.Scene, *_: object) -> None:
        if moved.frame_current not in passed:  # at the end exporters go back to where the scene was
            passed.append(moved.frame_current)
            _say(stage="writing frames", done=len(passed), total=total)

    bpy.app.handlers.frame_change_post.append(at_frame)
    try:
        (_alembic if told["kind"] == ALEMBIC else _usd)(scene, path)
    finally:
        bpy.app.handlers.frame_change_post.remove(at_frame)
    if not path.is_file():
        raise AddonError(f"Blender wrote nothing to {path.name}; choose another folder or format.")


def _alembic(scene: bpy.types.Scene, path: Path) -> None:
    bpy.ops.wm.alembic_export(
        filepath=str(path),
        start=scene.frame_start,
        end=scene.frame_end,
        flatten=True,
        uvs=True,
        normals=False,
        vcolors=False,
        orcos=False,
        export_hair=False,
        export_particles=False,
        as_background_job=False,
    )


def _usd(_scene: bpy.types.Scene, path: Path) -> None:
    """With Y up, as Alembic and most programs have it. The material is the layer's above."""
    bpy.ops.wm.usd_export(
        filepath=str(path),
        export_animation=True,
        export_materials=False,
        export_normals=False,
        export_mesh_colors=False,
        convert_orientation=True,
        export_global_forward_selection="NEGATIVE_Z",
        export_global_up_selection="Y",
        root_prim_path=f"/{ROOT}",
    )


def _lay_pictures(told: dict[str, Any]) -> None:
    """Each scene frame's picture, and what is visible in it, under the frame's number."""
    folder = Path(told["frames_folder"])
    folder.mkdir()
    colour, suffix = Path(told["colour"]), told["suffix"]
    if not suffix:
        colour, suffix = _from_video(told), ".png"
    for index, (source, number) in enumerate(told["shown"]):
        shutil.copyfile(colour / frame_name(source, suffix), folder / f"colour.{number}{suffix}")
        shutil.copyfile(Path(told["visible"]) / frame_name(source), folder / f"visible.{number}.png")
        _say(stage="copying pictures", done=index + 1, total=told["num_frames"])


def _from_video(told: dict[str, Any]) -> Path:
    """The clip's frames as pictures, for a clip that is played from its video."""
    video, target = Path(told["video"]), Path(told["arrays"]).with_name(PICTURES_FOLDER)
    count = min(materials.movie_frames(video), told["num_frames"])
    if count < told["num_frames"]:
        raise AddonError(f"{video} has {count} of the clip's {told['num_frames']} frames; put back the clip's video.")
    _say(stage="reading the video")
    add: Callable[[Any], Any] = lambda strips: strips.new_movie("clip", str(video), 1, 1)  # noqa: E731
    sequence_render.pictures(add, count=count, target=target)
    return target
