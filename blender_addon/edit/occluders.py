"""What hides what behind it: a shot's choice of occluders, as the backend's jobs and live views take it.

The mesh in Blender is the editable grid either way; the choice is about guides, coverage and takes.
"""

from typing import Any

import bpy
import msgspec
import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_ground.options import MeshOptions
from ex4d_protocol.requests import BlobRef, MeshSpec

from ..jobs.edit_uploads import THICKNESS_FOLDER
from ..scene import shot as shot_module
from ..work.errors import AddonError
from . import state, thickness

DIGITS = 6
"""Blender keeps single precision: 0.1 is meant as 0.1."""


def mesh_spec(target: bpy.types.Object) -> MeshSpec:
    """The shot's mesh options; its edits come on top."""
    shot = target.ex4d
    if shot.occluders != "SOLID":
        return MeshSpec()
    given = {"SHARE": shot.thickness_share, "LENGTH": shot.thickness_length}.get(shot.thickness_by)
    options = MeshOptions(
        mode="solid",
        thickness="auto" if given is None else round(given, DIGITS),
        thickness_unit="depth" if shot.thickness_by == "LENGTH" else "share",
        other_frames=shot.other_frames,
    )
    return MeshSpec(options=options)


def restore(target: bpy.types.Object, mesh: dict[str, Any] | None) -> None:
    """Set the shot's occluders to those of a take's ``mesh``; takes that say none change nothing.

    Raises AddonError if they are not ones that this version knows, or, with all else set, if the thickness that was
    painted is not on disk any more.
    """
    if mesh is None:
        return  # a take that is not whole
    try:
        spec = msgspec.convert(mesh, MeshSpec)
    except msgspec.ValidationError as error:
        raise AddonError("The take's occluders are not ones that this version knows.", str(error)) from error
    shot, options = target.ex4d, spec.options
    shot.occluders = options.mode.upper()
    if options.mode != "solid":
        return
    shot.other_frames = options.other_frames
    if isinstance(options.thickness, str):
        shot.thickness_by = "AUTO"
    elif options.thickness_unit == "depth":
        shot.thickness_by, shot.thickness_length = "LENGTH", options.thickness
    else:
        shot.thickness_by, shot.thickness_share = "SHARE", options.thickness
    _restore_paint(target, spec)


def _restore_paint(target: bpy.types.Object, spec: MeshSpec) -> None:
    """Paint the thickness that a take was made with, and no other. Raises AddonError."""
    painted = {edit.frame: edit.thickness for edit in spec.edits if edit.thickness is not None}
    if spec.thickness is None and not painted and not thickness.LENGTHS.attributes(state.body_of(target).data):
        return
    body = state.body_of(target)
    if spec.grid_side != target.ex4d.grid_side and (painted or spec.thickness is not None):
        raise AddonError("The take's thickness was painted on a mesh of another size than this shot's.")
    if body.mode != "OBJECT":
        raise AddonError("The thickness cannot be painted anew while the mesh is being edited.")
    folder = shot_module.output_folder(target) / THICKNESS_FOLDER

    def read(blob: BlobRef) -> Float32:
        try:
            return np.fromfile(folder / f"{blob.sha256}.f4", "<f4")
        except OSError as error:
            raise AddonError("The take's painted thickness is not on disk any more.", str(error)) from error

    whole = read(spec.thickness) if spec.thickness is not None else None
    thickness.replace(body.data, whole, {t: read(blob) for t, blob in painted.items()})


def draw(layout: bpy.types.UILayout, target: bpy.types.Object) -> None:
    """The choice, and what belongs to it."""
    shot = target.ex4d
    row = layout.row()
    row.use_property_split = False
    row.prop(shot, "occluders", expand=True)
    if shot.occluders != "SOLID":
        return
    layout.prop(shot, "thickness_by")
    if shot.thickness_by == "SHARE":
        layout.prop(shot, "thickness_share", text="Share")
    elif shot.thickness_by == "LENGTH":
        layout.prop(shot, "thickness_length", text="Length")
    layout.prop(shot, "other_frames")
