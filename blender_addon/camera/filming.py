"""Giving a shot the camera that filmed its clip, and taking it away again."""

import bpy

from ..edit import state, thickness_weights
from ..scene import filming, lens_cache, linked, rig, shot
from ..scene.properties import options_changed
from ..work.errors import AddonError


def require_whole(context: bpy.types.Context) -> bpy.types.Object:
    """The active shot with its mesh, all its frames here and nothing of it being edited. Raises AddonError."""
    shot.require_object_mode(context)
    target = shot.active_shot(context)
    linked.require_changeable(target)
    if linked.library_of(target) is not None:
        raise AddonError(
            f"The mesh of '{target.name}' comes from another file, and so does how it was filmed; say it there."
        )
    if target.ex4d.arriving:
        raise AddonError("Only the shot's first frame is here yet; wait until the import is through.")
    body = state.body_of(target)
    linked.require_changeable(body)
    state.require_finished(body)
    thickness_weights.require_finished(body)
    return target


def use(context: bpy.types.Context, target: bpy.types.Object, found: filming.Filming, *, moves_shot: bool) -> str:
    """Have the shot be filmed by ``found``; returns what was done. Raises AddonError, StorageError."""
    camera = lens_cache.as_imported(target, found.camera)
    said = found.note
    if camera.is_still and (camera.intrinsics[0] == tuple(target.ex4d.intrinsics)).all():
        forget(context, target)
        said = f"{said} {still_words()}"
    else:
        # The cache first: it is what can fail, for lack of room on the disk.
        other_lens = lens_cache.play(target, camera)
        rig.put(target, camera, shot.collection_of(target, context.scene))
        if other_lens:
            said = f"{said} {lens_words()}"
    if moves_shot:
        kept = filming.stand_there(target, found)
        said += f" {kept}" if kept else ""
    target.ex4d.filmed_note = said
    _changed(context, target)
    return said


def still_words() -> str:
    """Why there is no rig."""
    return "It stands still, so the shot has no source rig."


def lens_words() -> str:
    """What else has changed."""
    return "The mesh has its lens."


def forget(context: bpy.types.Context, target: bpy.types.Object) -> None:
    """Have the filming camera stand still: no rig, and the import's lens. Raises AddonError."""
    lens_cache.play(target, None)
    rig.take_off(target)
    target.ex4d.filmed_note = ""
    _changed(context, target)


def _changed(context: bpy.types.Context, target: bpy.types.Object) -> None:
    """What was made for another filming camera is none of this one's."""
    target.ex4d.coverage_json = ""
    context.scene.frame_set(context.scene.frame_current, subframe=context.scene.frame_subframe)
    options_changed()
