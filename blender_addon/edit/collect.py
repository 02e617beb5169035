"""What of a shot differs from its import: the frames to send to the backend, and no others.

Positions and flags are written to files named by their content in the shot's ``edits`` folder, from where they are
uploaded like any other file: once, and without staying in memory.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.arrays import Float32

from ..jobs.edit_uploads import EDITS_FOLDER, THICKNESS_FOLDER, FrameEdit, remove_unused, store
from ..scene import keyframes, layers, linked
from ..scene import shot as shots
from ..scene.mesh import values_of
from ..work import pc2, session
from ..work.errors import AddonError
from ..work.tasks import Steps, TaskProgress, run_through
from . import paint, sampling, state, thickness, thickness_weights


def collect(shot: bpy.types.Object, folder: Path) -> tuple[FrameEdit, ...]:
    """The edited frames of ``shot``, their data written below ``folder``; in frame order, what holds on all last.

    Positions count with every modifier that is shown, the user's own included. Raises AddonError while a frame is
    being edited or painted, for a changed number of vertices, or if a file cannot be written.
    """
    return run_through(collect_steps(lambda: shot, folder))


def collect_steps(find: Callable[[], bpy.types.Object], folder: Path) -> Steps[tuple[FrameEdit, ...]]:
    """As :func:`collect`, one frame a step; ``find`` gives the shot anew for each, since it may go in between."""
    props = find().ex4d
    num_frames, start = props.num_frames, props.frame_start
    edits: tuple[FrameEdit, ...] = ()

    def stored(values: NDArray[np.generic] | None, suffix: str, sub: str = EDITS_FOLDER) -> Path | None:
        return None if values is None else store(folder, values, suffix, sub=sub)

    for t in range(num_frames):
        body = whole_mesh(find())
        imported = imported_cache(find())
        plays = linked.modifier_path(layers.cache_of(body).filepath, body)
        may_change = _may_change(body, start + t) or not _is_same_file(plays, imported)
        moved = stored(_changed_positions(body, imported, start, t) if may_change else None, ".f4")
        flags = stored(paint.FLAGS.painted_at(body.data, t), ".i1")
        thick = stored(thickness.map_of_frame(body.data, t), ".f4", THICKNESS_FOLDER)
        edit = FrameEdit(t, moved, flags, thick)
        if edit.files:
            edits += (edit,)
        if may_change or edit.files:
            yield TaskProgress("looking for edits", t + 1, num_frames)
    whole = stored(thickness.map_of_shot(whole_mesh(find()).data), ".f4", THICKNESS_FOLDER)
    if whole is not None:
        edits += (FrameEdit(None, None, None, whole),)
    if not session.get().tasks:  # a job that is under way may still have to read its files
        remove_unused(folder, edits)
    return edits


def signature(body: bpy.types.Object) -> str | None:
    """Equal only if the same frames are edited in the same way; cheap, for no frame is evaluated.

    None if that cannot be told: the settings of the user's own modifiers may have changed.
    """
    if sampling.own_modifiers(body):
        return None
    digest = hashlib.blake2b(layers.cache_of(body).filepath.encode(errors="replace"), digest_size=16)
    for layer in layers.stack(body):
        inputs = [layers.get_input(layer, name) for name in ("Attribute", "Weight")]
        digest.update(repr((layer.name, *inputs, layers.frames_of(layer), layers.is_muted(layer))).encode())
    for curve in keyframes.fcurves(body):
        keys = [(key.co[:], key.interpolation) for key in curve.keyframe_points]
        digest.update(repr((curve.data_path, curve.array_index, keys)).encode())
    for attribute in paint.FLAGS.attributes(body.data):
        digest.update(attribute.name.encode() + values_of(attribute.data, "value", np.int8).tobytes())
    return digest.hexdigest()


def imported_cache(shot: bpy.types.Object) -> Path:
    """The mesh without edits. A restored take may play another cache."""
    return shots.cache_of(shot)


def _is_same_file(first: Path, second: Path) -> bool:
    return os.path.normpath(first) == os.path.normpath(second)


def whole_mesh(shot: bpy.types.Object) -> bpy.types.Object:
    """The shot's mesh object, with no edit open. Raises AddonError, also if its vertices are not the grid's."""
    body = shot.ex4d.mesh
    if body is None:
        raise shots.lost_mesh(shot)
    state.require_finished(body)
    thickness_weights.require_finished(body)
    state.require_grid(shot, body)
    return body


def require_playing(body: bpy.types.Object) -> None:
    """Raise AddonError unless the mesh plays the clip's frames."""
    cache = layers.cache_of(body)
    if not cache.show_viewport:
        raise AddonError(f"The modifier '{cache.name}' is switched off; switch it on, it plays the clip's mesh.")


def _changed_positions(body: bpy.types.Object, imported: Path, frame_start: int, t: int) -> Float32 | None:  # [V, 3]
    """Positions of source frame ``t`` with every modifier; None if they are to the bit those that were ``imported``."""
    require_playing(body)
    cached = pc2.read_pc2(imported)
    with sampling.sampling(body, user_modifiers=True) as sampler:
        positions = sampler.positions(frame_start + t)
    return None if np.array_equal(positions, cached[t]) else positions


def _may_change(body: bpy.types.Object, frame: int) -> bool:
    """Whether anything but the cache can move vertices at ``frame``: spares evaluating the other frames."""
    animated = {curve.data_path for curve in keyframes.fcurves(body)}

    def shown(modifier: bpy.types.Modifier) -> bool:
        path = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"].show_viewport'
        return modifier.show_viewport or path in animated

    if any(shown(modifier) for modifier in sampling.own_modifiers(body)):
        return True
    return any(shown(layer) and _reaches(layer, frame, animated) for layer in layers.stack(body))


def _reaches(layer: bpy.types.Modifier, frame: int, animated: set[str]) -> bool:
    """Whether the layer's frames cover ``frame``; frames that are themselves keyed may cover any."""
    prefix = layers.inputs_prefix(layer)
    keyed = any(path.startswith(prefix) and path != layers.object_path(layer, "Weight") for path in animated)
    return keyed or layers.frames_of(layer).covers(frame)
