"""What of a shot differs from its import: the frames to send to the backend, and no others.

Positions and flags are written to files named by their content in the shot's ``edits`` folder, from where they are
uploaded like any other file: once, and without staying in memory.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from . import edit_sampling, edit_state, keyframes, layers, paint, pc2, session
from .edit_upload import FrameEdit, remove_unused, store
from .errors import AddonError


def collect(shot: bpy.types.Object, folder: Path) -> tuple[FrameEdit, ...]:
    """The edited frames of ``shot``, their data written below ``folder``; in frame order.

    Positions count with every modifier that is shown, the user's own included. Raises AddonError while a frame is
    being edited, for a changed number of vertices, or if a file cannot be written.
    """
    body = shot.ex4d.mesh
    if body is None:
        raise AddonError(f"Shot '{shot.name}' has lost its mesh; undo its deletion or import the clip again.")
    edit_state.require_finished(body)
    props = shot.ex4d
    wanted = props.width * props.height
    if len(body.data.vertices) != wanted:
        raise AddonError(
            f"'{body.name}' has {len(body.data.vertices)} vertices instead of {wanted}; "
            "undo what changed it or import the clip again."
        )
    moved = _changed_positions(shot, body, folder)
    flags: dict[int, Path] = {}
    for frame in range(props.num_frames):
        found = paint.flags_at(body.data, frame)
        if found is not None:
            flags[frame] = store(folder, found, ".i1")
    edits = tuple(FrameEdit(t, moved.get(t), flags.get(t)) for t in sorted(moved.keys() | flags.keys()))
    if not session.get().tasks:  # a job that is under way may still have to read its files
        remove_unused(folder, edits)
    return edits


def _changed_positions(shot: bpy.types.Object, body: bpy.types.Object, folder: Path) -> dict[int, Path]:
    props = shot.ex4d
    frames = [t for t in range(props.num_frames) if _may_change(body, props.frame_start + t)]
    if not frames:
        return {}
    cache = layers.cache_of(body)
    if not cache.show_viewport:
        raise AddonError(f"The modifier '{cache.name}' is switched off; switch it on, it plays the clip's mesh.")
    cached = pc2.read_pc2(Path(bpy.path.abspath(cache.filepath)))
    out: dict[int, Path] = {}
    with edit_sampling.Sampler(body, user_modifiers=True) as sampler:
        for t in frames:
            positions = sampler.positions(props.frame_start + t)
            if not np.array_equal(positions, cached[t]):
                out[t] = store(folder, positions, ".f4")
    return out


def _may_change(body: bpy.types.Object, frame: int) -> bool:
    """Whether anything but the cache can move vertices at ``frame``: spares evaluating the other frames."""
    animated = {curve.data_path for curve in keyframes.fcurves(body)}

    def shown(modifier: bpy.types.Modifier) -> bool:
        path = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"].show_viewport'
        return modifier.show_viewport or path in animated

    if any(shown(modifier) for modifier in edit_sampling.user_modifiers(body)):
        return True
    return any(shown(layer) and _reaches(layer, frame, animated) for layer in layers.stack(body))


def _reaches(layer: bpy.types.Modifier, frame: int, animated: set[str]) -> bool:
    """Whether the layer's frames cover ``frame``; frames that are themselves keyed may cover any."""
    prefix = f'modifiers["{bpy.utils.escape_identifier(layer.name)}"]['
    keyed = any(path.startswith(prefix) and path != layers.weight_path(layer) for path in animated)
    return keyed or layers.frames_of(layer).covers(frame)
