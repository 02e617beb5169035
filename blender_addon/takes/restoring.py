"""Bringing back everything that a take names, or saying what could not be brought back."""

import json
from dataclasses import dataclass, field
from typing import Any

import bpy
import msgspec
import numpy as np

from ex4d_ground.errors import InputError
from ex4d_ground.options import RasterOptions
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.takes import TakeInfo
from ex4d_protocol.requests import ClipSpec, MeshSpec, ObjectSpec, blobs_of

from ..camera import filming, move
from ..edit import occluders
from ..edit import restoring as edits
from ..guides import objects, planes
from ..jobs import engine_settings, offers
from ..scene import keyframes, rig, shot
from ..scene.filming import Filming
from ..scene.retime import SOURCE_TIME
from ..work import session
from ..work.errors import AddonError
from . import eyes

MOST_SEED = 2**31 - 1
"""Blender's whole numbers end here; a take's seed may be larger."""


@dataclass
class Report:
    """What happened, in the ends of sentences."""

    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def attempt(self, what: str, work: Any, *arguments: Any) -> None:
        """Do ``work``; if it cannot be done, that is said and nothing else is stopped."""
        try:
            work(*arguments)
        except AddonError as error:
            self.refused(what, error)

    def refused(self, what: str, error: AddonError) -> None:
        """Note that this could not be done, and why."""
        text = error.text("panel").rstrip(".")
        self.lost.append(f"{what} ({text[:1].lower()}{text[1:]})")


def settings(scene: bpy.types.Scene, info: TakeInfo, report: Report) -> None:
    """Engine, seed, settings and rasterizer. Numbers that Blender rounds are kept beside it, exactly."""
    props = scene.ex4d
    props.engine, props.seed = info.engine, min(max(info.seed, 0), MOST_SEED)
    missing = engine_settings.restore(scene, info.engine, info.settings)
    if session.get().connected and offers.engine(info.engine) is None:
        report.lost.append(f"its engine (this backend has no '{info.engine}')")
    elif missing:
        report.lost.append(f"the settings {', '.join(missing)} (this backend has none such)")
    exact = {"engine": info.engine, "seed": info.seed, "settings": info.settings}
    props.exact_json = json.dumps(exact)
    drawn = RasterOptions()
    try:
        drawn = msgspec.convert(info.raster, RasterOptions)
        props.rasterizer = drawn.rasterizer.upper()
    except (msgspec.ValidationError, TypeError):
        report.lost.append(f"how its guides were drawn ({info.raster.get('rasterizer', 'unknown')})")
        return
    usual = RasterOptions()
    others = [name for name in drawn.__struct_fields__ if name != "rasterizer"]
    fields = [name for name in others if getattr(drawn, name) != getattr(usual, name)]
    if fields:
        report.lost.append(f"how its guides were drawn ({', '.join(fields)} cannot be set in Blender)")


def place(target: bpy.types.Object, info: TakeInfo, report: Report) -> None:
    """The planes of the place, as far as the take's engine has any."""
    if planes.SETTING in info.settings:
        report.attempt("its planes", planes.restore, target, str(info.settings[planes.SETTING]))


def exact(scene: bpy.types.Scene, engine: str, seed: int, chosen: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Seed and settings of the restored take wherever Blender shows the same, which it may have rounded."""
    try:
        kept = json.loads(scene.ex4d.exact_json or "{}")
    except ValueError:
        return seed, chosen
    if kept.get("engine") != engine:
        return seed, chosen
    if min(max(kept["seed"], 0), MOST_SEED) == seed:
        seed = kept["seed"]
    same = {name: value for name, value in kept["settings"].items() if _shows_as(value, chosen.get(name))}
    return seed, {**chosen, **same}


def _shows_as(value: Any, shown: Any) -> bool:
    if isinstance(value, float) and isinstance(shown, float):
        return bool(np.float32(value) == np.float32(shown))
    return type(value) is type(shown) and value == shown


def both_eyes(scene: bpy.types.Scene, target: bpy.types.Object, info: TakeInfo, report: Report) -> None:
    """Whether there are two eyes, and how they stand beside the shot camera, which is the left one."""
    scene.ex4d.stereo = info.eyes is not None
    if info.eyes is None:
        return
    eyes.put(target.ex4d.camera, target, info.eyes)
    report.done.append("its eyes are the camera's")
    if max(len(info.eyes.distance), len(info.eyes.convergence)) > 1:
        report.lost.append("the motion of its eyes (they stand as in its first frame)")


def filming_camera(
    context: bpy.types.Context, target: bpy.types.Object, info: TakeInfo, report: Report, *, name: str
) -> None:
    """How the clip was filmed, as the take has it: it decides what the take's camera and guides mean."""

    def bring_back() -> None:
        wanted, now = info.source_camera, rig.filmed_by(target)
        if wanted is None and now is not None:
            filming.forget(context, filming.require_whole(context))
            report.done.append("its filming camera stood still, so the source rig is gone")
        elif wanted is not None and (now is None or not _is_same(wanted, now)):
            found = Filming(wanted, take_words(name))
            filming.use(context, filming.require_whole(context), found, moves_shot=False)
            report.done.append("the shot has its filming camera")

    try:
        report.attempt("its filming camera", bring_back)
    except InputError:
        report.lost.append("its filming camera (the take's description of it cannot be read)")


def take_words(name: str) -> str:
    """Where a filming camera comes from."""
    return f"From the take {name}."


def _is_same(one: SourceCamera, other: SourceCamera) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("world_from_camera", "intrinsics"))


def mesh(target: bpy.types.Object, info: TakeInfo, report: Report) -> None:
    """Occluders, painted thickness, edited positions and painted visibility."""
    report.attempt("its occluders", occluders.restore, target, info.mesh)
    if info.mesh is None:
        report.lost.append("its edits (the take does not say them)")
        return
    try:
        spec = msgspec.convert(info.mesh, MeshSpec)
    except msgspec.ValidationError:
        return  # the occluders have said so

    def bring_back() -> None:
        done, lost = edits.restore(target, spec)
        report.done += done
        report.lost += lost

    report.attempt("its edits", bring_back)


def surroundings(context: bpy.types.Context, target: bpy.types.Object, info: TakeInfo, report: Report) -> None:
    """What cannot be brought back, as it is the scene's or the clip's own: whether it is what it was."""
    try:
        spec = info.clip.get("spec")
        if spec is not None and msgspec.convert(spec, ClipSpec) != shot.stored_clip(target).spec:
            report.lost.append("its clip (the shot's is another, or was imported otherwise)")
    except (msgspec.ValidationError, AddonError):
        report.lost.append("its clip (the take's description of it cannot be read)")

    def compare() -> None:
        now = objects.collect(context, target, shot.output_folder(target))
        there = {each.name[:128]: {path.stem for path in each.files} for each in now}
        specs = msgspec.convert(info.objects, tuple[ObjectSpec, ...])
        wanted = {spec.name: set(blobs_of(spec)) for spec in specs}
        other = sorted({name for name in (*there, *wanted) if there.get(name) != wanted.get(name)})
        if other:
            report.lost.append(f"its guide objects (not what they were: {', '.join(other)})")

    try:
        report.attempt("its guide objects", compare)
    except msgspec.ValidationError:
        report.lost.append("its guide objects (the take's description of them cannot be read)")


def camera(context: bpy.types.Context, target: bpy.types.Object, info: TakeInfo, name: str, *, onto: str) -> str:
    """The move with its timing and picture size, on the shot's camera or a new one. Raises AddonError."""
    shot.require_object_mode(context)
    recorded = move.of_take(info, name)
    count = target.ex4d.num_frames
    if len(recorded) != count:
        raise AddonError(
            f"{name} has {len(recorded)} cameras, the shot has {count} frames; restore the settings without the camera."
        )
    scene, said = shot.scene_of(target, context.scene), ""
    said += _retime(target, recorded.source_time)
    said += _size(scene, recorded)
    applied = move.apply(scene, target, recorded, replaces=onto == "SAME", whose="ANY", timed=True)
    return f" and the move of {applied.done}{said}"


def _retime(target: bpy.types.Object, times: np.ndarray) -> str:
    """Give the shot the take's timing; keys that this replaces stay in an action."""
    plain = bool(np.array_equal(times, np.arange(len(times))))
    said = ""
    if keyframes.has(target, SOURCE_TIME) and not move.is_timed_as(target, times):
        action = target.animation_data.action.copy()
        action.use_fake_user = True
        said = f"; the earlier Retime keys are kept in the action '{action.name}'"
    target.ex4d.use_source_time = not plain
    if not plain:
        move.key_source_time(target, times)
    return said


def _size(scene: bpy.types.Scene, recorded: Any) -> str:
    """Give the scene's picture the size and pixels that the take has."""
    render, (fx, fy) = scene.render, recorded.intrinsics[0, :2]
    aspect = fx / fy
    before = (render.resolution_x, render.resolution_y, render.resolution_percentage)
    if render.pixel_aspect_y / render.pixel_aspect_x < aspect * (1 - 1e-4) or (
        render.pixel_aspect_y / render.pixel_aspect_x > aspect * (1 + 1e-4)
    ):
        render.pixel_aspect_x, render.pixel_aspect_y = max(1 / aspect, 1.0), max(aspect, 1.0)
    if (int(before[0] * before[2] / 100), int(before[1] * before[2] / 100)) == (recorded.width, recorded.height):
        return ""
    render.resolution_x, render.resolution_y, render.resolution_percentage = recorded.width, recorded.height, 100
    return f"; the scene's picture is {recorded.width} x {recorded.height} now"
