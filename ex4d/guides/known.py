"""The second layer of guides: everything that the clip itself can show of a move.

Guides hide what their mesh is not sure of: an endless mesh all that lies behind an edge, and any mesh what other frames
alone have seen. A model wants it so. A preview does not: what the clip really showed is better than any fill. So the
layer is the clip's solid mesh with other frames, drawn with the same edits, objects and holdouts as the guides. It says
nothing of the guides' masks and coverage.
"""

import threading
from collections.abc import Sequence
from typing import Unpack

import numpy as np
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.frames import FrameStack
from ex4d.frames.ahead import in_order, thread_count, workers_within
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import GuideRequest
from ex4d.needs import WORKING_BYTES_PER_PIXEL
from ex4d.progress import Watch, check, report
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Known
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError
from ex4d_ground.options import RasterOptions


def render_known(
    mesh: DWMesh,
    trajectory: Trajectory,
    *,
    options: RasterOptions = RasterOptions(),
    objects: Sequence[GuideObject] = (),
    threads: int | None = None,
    **watch: Unpack[Watch],
) -> Known:
    """Draw what the clip of ``mesh`` shows along ``trajectory``, on the CPU; arguments as of ``render_guides``.

    Raises TrajectoryError for a source time outside the clip, ShapeError for objects that do not fit, Cancelled.
    """
    whole, count = known_mesh(mesh), len(trajectory)
    request = GuideRequest(whole, trajectory, options, objects=objects)
    colours, masks, depths = (FrameStack(expected=count, label="What the clip shows") for _ in range(3))
    workers = workers_within(thread_count(threads), WORKING_BYTES_PER_PIXEL * mesh.height * mesh.width)
    own = threading.local()

    def render(i: int) -> tuple[UInt8, Bool, Float32]:
        cancel = watch.get("cancel")
        check(cancel)
        if not hasattr(own, "rasterizer"):
            own.rasterizer = CpuRasterizer(pause=lambda: check(cancel))
        camera, t = Camera.of(request.seen, i), request.times[i]
        surface = with_objects(whole.surface(t), objects, i, camera, whole.clip.mesh_from_world(t))
        colour, mask = own.rasterizer.draw(surface, camera, options)
        inverse = own.rasterizer.inverse_depth
        depth = np.divide(1, inverse, out=np.zeros_like(inverse), where=mask & (inverse > 0))
        return colour, mask, depth

    report(watch.get("on_progress"), stages.KNOWN, 0, count)
    for i, (colour, mask, depth) in enumerate(in_order(render, range(count), workers, watch.get("cancel"))):
        colours.append(colour)
        masks.append(mask)
        depths.append(depth)
        report(watch.get("on_progress"), stages.KNOWN, i + 1, count)
    return Known(colours.frames(), masks.frames(), depths.frames())


def known_mesh(mesh: DWMesh) -> DWMesh:
    """The clip's solid mesh, with the edits of ``mesh``, and with other frames where these can be put in place."""
    options = structs.replace(
        mesh.options, mode="solid", pixel_anchor="center", blank_occluded_colors=False, hide_caps=True
    )
    painted = None if mesh.solid is None else mesh.solid.thickness_map

    def made(*, other_frames: bool) -> DWMesh:
        chosen = structs.replace(options, other_frames=other_frames, world_memory=other_frames)
        edits = {"vertex_overrides": mesh.vertex_overrides, "face_flags": mesh.face_flags}
        return DWMesh(mesh.clip, chosen, thickness_map=painted, **edits)

    if mesh.options.other_frames:
        return mesh
    try:
        return made(other_frames=True)
    except SettingError:  # the camera moves, and nobody knows how; or it contradicts the frames
        return made(other_frames=False)
