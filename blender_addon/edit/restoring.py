"""Bringing back the edits that a take was made with, to the last bit, or saying which could not be brought back.

A take names its edited frames by content, and their files stay in the shot's folder. If the layers as they are give
the same, nothing is done. Else they are muted, not removed, and the mesh plays a cache of its own in which the edited
frames are what they were; the import's own cache comes back with a take that has no edits.
"""

import hashlib
from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_protocol.requests import BlobRef, MeshSpec

from ..jobs.edit_uploads import EDITS_FOLDER, FrameEdit
from ..scene import layers
from ..scene import shot as shots
from ..work import files, pc2
from ..work.errors import AddonError
from . import collect, paint, sampling, state

RESTORED_FOLDER = "restored"
"""Caches of takes' edited frames, in the shot's folder."""


def restore(target: bpy.types.Object, spec: MeshSpec) -> tuple[list[str], list[str]]:
    """Make positions and painted visibility those of ``spec``: what was done, and what could not be, in words.

    Raises AddonError while a frame is being edited, and for a mesh that is linked.
    """
    body = state.body_of(target)
    state.require_finished(body)
    if spec.edits and spec.grid_side != target.ex4d.grid_side:
        here, there = (
            f"{side} vertices a side" if side else "one vertex per pixel"
            for side in (target.ex4d.grid_side, spec.grid_side)
        )
        return [], [f"its edits (they were made on a mesh of {there}, this one has {here})"]
    folder = shots.output_folder(target)
    now = collect.collect(target, folder)
    done: list[str] = []
    lost: list[str] = []
    for what, change in (("edits", _restore_positions), ("paint", _restore_flags)):
        part = "positions" if what == "edits" else "face_flags"
        wanted = {edit.frame: blob for edit in spec.edits if (blob := getattr(edit, part)) is not None}
        if {t: blob.sha256 for t, blob in wanted.items()} == _digests(now, part):
            continue
        missing = [t + 1 for t, blob in sorted(wanted.items()) if not _path(folder, part, blob).exists()]
        if missing:
            lost.append(f"its {what} (their files are not on disk any more: frame {_numbers(missing)})")
            continue
        said = change(target, body, folder, wanted)
        if said:
            done.append(said)
    return done, lost


Wanted = dict[int, BlobRef]


def _restore_positions(target: bpy.types.Object, body: bpy.types.Object, folder: Path, wanted: Wanted) -> str:
    imported = collect.imported_cache(target)
    path = imported
    if wanted:
        named = "".join(f"{t}:{blob.sha256}" for t, blob in sorted(wanted.items()))
        path = folder / RESTORED_FOLDER / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.pc2"
        if not path.exists():
            _write_cache(path, pc2.read_pc2(imported), {t: _path(folder, "positions", b) for t, b in wanted.items()})
    muted = [each for each in (*layers.stack(body), *sampling.own_modifiers(body)) if each.show_viewport]
    for modifier in muted:
        modifier.show_viewport = modifier.show_render = False
    layers.cache_of(body).filepath = files.blender_path(path, bpy.data.filepath)
    body.update_tag()
    names = ", ".join(f"'{each.name}'" for each in muted)
    return f"muted for its edits: {names}" if names else ""


def _write_cache(path: Path, cached: Float32, edited: dict[int, Path]) -> None:
    samples, points = cached.shape[:2]
    with files.writing(path), pc2.Pc2Writer(path, points=points, samples=samples) as writer:
        for t in range(samples):
            own = np.fromfile(edited[t], "<f4").reshape(-1, 3) if t in edited else cached[t]
            writer.write(t, own)
        writer.close()


def _restore_flags(_target: bpy.types.Object, body: bpy.types.Object, folder: Path, wanted: Wanted) -> str:
    had = bool(paint.FLAGS.attributes(body.data))
    painted = {t: np.fromfile(_path(folder, "face_flags", b), np.int8) for t, b in wanted.items()}
    count = len(body.data.polygons)
    wrong = next((len(values) for values in painted.values() if len(values) != count), None)
    if wrong is not None:
        raise AddonError(f"The take's paint has {wrong} values, but the mesh has {count} faces.")
    paint.FLAGS.replace(body.data, painted)
    body.data.update()
    return "the visibility paint was replaced" if had else ""


def _digests(edits: tuple[FrameEdit, ...], part: str) -> dict[int | None, str]:
    found = ((edit.frame, edit.positions if part == "positions" else edit.flags) for edit in edits)
    return {frame: path.stem for frame, path in found if path is not None}


def _path(folder: Path, part: str, blob: BlobRef) -> Path:
    return folder / EDITS_FOLDER / f"{blob.sha256}{'.f4' if part == 'positions' else '.i1'}"


def _numbers(frames: list[int]) -> str:
    return ", ".join(map(str, frames[:10])) + (", ..." if len(frames) > 10 else "")
