"""What guides of a shot are made of: its clip with the edits, other objects, the camera move, the mesh's options."""

from dataclasses import dataclass

import bpy

from ex4d_ground.options import RasterOptions
from ex4d_protocol.requests import MeshSpec, TrajectorySpec

from ..camera import move
from ..edit import collect, occluders
from ..jobs.clip import EditedClip
from ..scene import roles, shot
from ..work import session
from ..work.link import BackendLink
from . import objects


@dataclass(frozen=True)
class GuideInputs:
    """Of the active shot, as it is now. Holds no Blender data."""

    link: BackendLink
    clip: EditedClip
    trajectory: TrajectorySpec
    mesh: MeshSpec
    raster: RasterOptions
    notes: tuple[str, ...] = ()
    """What an artist may not expect of them, each a sentence."""


def gather(context: bpy.types.Context) -> GuideInputs:
    """Look at the active shot on every frame. Raises AddonError if something is missing, or cannot be sent."""
    target = shot.active_shot(context)
    link, clip = session.get().require_link(), shot.stored_clip(target)
    trajectory, folder = move.trajectory(context, target), shot.output_folder(target)
    edited = EditedClip(clip, collect.collect(target, folder), objects.collect(context, target, folder))
    notes = _notes(context.scene, target)
    return GuideInputs(link, edited, trajectory, occluders.mesh_spec(target), raster(context.scene), notes)


def _notes(scene: bpy.types.Scene, target: bpy.types.Object) -> tuple[str, ...]:
    notes: list[str] = []
    hidden = ", ".join(f"'{obj.name}'" for obj in roles.left_out(scene))
    if hidden:
        notes.append(f"Hidden and therefore left out of the guides: {hidden}.")
    cam, start = target.ex4d.camera, target.ex4d.frame_start
    frames = range(start, start + target.ex4d.num_frames)
    others = {marker.camera for marker in scene.timeline_markers if marker.frame in frames} - {None, cam}
    if others:
        names = ", ".join(sorted(f"'{other.name}'" for other in others))
        notes.append(f"Timeline markers switch to {names}; the shot is seen from its own camera, '{cam.name}'.")
    return tuple(notes)


def raster(scene: bpy.types.Scene) -> RasterOptions:
    """How guides and live views are drawn, as the scene has it."""
    return RasterOptions(rasterizer=scene.ex4d.rasterizer.lower())
