"""The second layer of guides: everything that the clip itself can show of a move.

Guides hide what their mesh is not sure of: an endless mesh all that lies behind an edge, and any mesh what other frames
alone have seen. A model wants it so. A preview does not: what the clip really showed is better than any fill. So the
layer is the clip's solid mesh with other frames, drawn with the same edits, objects and holdouts as the guides. It says
nothing of the guides' masks and coverage.

Of it is kept what guides do not show. Where they are drawn of that solid mesh without other frames, both are drawn at
once (:class:`KnownBeside`); else the layer is drawn frame by frame when it is asked for (:func:`render_known`). For
live views :class:`ex4d.guides.LayerRenderer` draws it.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Unpack

import cv2
import numpy as np
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.frames.packed import PackedFrames
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import GuideRequest
from ex4d.progress import CancelToken, Watch, check, report
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer, Drawn
from ex4d.types import Guides, Known, KnownFrame, working_size
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError
from ex4d_ground.options import RasterOptions

_KEPT = 4
"""Frames that were drawn last: engines look at the one before, too."""
_RIM = 5
"""Pixels across in which the colours of two surfaces mix at an edge."""


def render_known(
    mesh: DWMesh,
    trajectory: Trajectory,
    guides: Guides,
    *,
    options: RasterOptions = RasterOptions(),
    objects: Sequence[GuideObject] = (),
    **watch: Unpack[Watch],
) -> Known:
    """What the clip of ``mesh`` shows along ``trajectory`` beside ``guides``, drawn on the CPU when it is asked for.

    Arguments as of ``render_guides``. Raises TrajectoryError for a source time outside the clip, ShapeError for objects
    that do not fit; Cancelled, also when a frame is asked for.
    """
    report(watch.get("on_progress"), stages.KNOWN, 0, 1)
    whole, cancel = known_mesh(mesh), watch.get("cancel")
    request = GuideRequest(whole, trajectory, options, objects=objects)
    request.seen  # noqa: B018 - not by several threads at once
    own = threading.local()

    @lru_cache(maxsize=_KEPT)
    def frame(i: int) -> KnownFrame:
        check(cancel)
        if not hasattr(own, "rasterizer"):
            own.rasterizer = CpuRasterizer(pause=lambda: check(cancel))
        camera, t = Camera.of(request.seen, i), request.times[i]
        surface = with_objects(whole.surface(t), objects, i, camera, whole.clip.mesh_from_world(t))
        colour, mask = own.rasterizer.draw(surface, camera, options)
        return beside(Drawn(colour, mask, own.rasterizer.inverse_depth), np.asarray(guides.mask[i]))

    report(watch.get("on_progress"), stages.KNOWN, 1, 1)
    return Known(len(trajectory), frame)


class KnownBeside:
    """Draws the layer beside guides of a solid mesh: what both show is built and drawn once.

    Only where :meth:`fits`. Raises what :class:`ex4d.dwmesh.DWMesh` raises.
    """

    def __init__(self, request: GuideRequest, cancel: CancelToken | None = None) -> None:
        self._request, self._cancel = request, cancel
        self._whole = known_mesh(request.mesh)
        self._frames = PackedFrames("What the clip shows")

    @staticmethod
    def fits(request: GuideRequest, rasterizer: str) -> bool:
        """Whether the layer's mesh is that of the guides with other frames added, and the CPU draws them."""
        mesh, plain = request.mesh, not request.options.antialias
        return rasterizer == CpuRasterizer.name and plain and (mesh.options.other_frames or _joins(mesh))

    def draw(self, rasterizer: CpuRasterizer, i: int) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """The guide of frame ``i``; the layer's frame is kept."""
        request, mesh = self._request, self._request.mesh
        camera, t = Camera.of(request.seen, i), request.times[i]
        place = mesh.clip.mesh_from_world(t)
        if self._whole is mesh:
            surface = with_objects(mesh.surface(t), request.objects, i, camera, place)
            seen = layer = Drawn(*rasterizer.draw(surface, camera, request.options), rasterizer.inverse_depth)
        else:
            pair = mesh.surface_beside(self._whole, t)
            one, two = (with_objects(each, request.objects, i, camera, place) for each in pair[:2])
            seen, layer = rasterizer.draw_pair(pair._replace(one=one, two=two), camera, request.options)
        colour, mask = seen[:2]
        if request.source_first_frame and i == 0:
            colour, mask = mesh.clip.frames[t], np.ones(mask.shape, np.bool_)
        self._frames.put(i, beside(layer, mask))
        return colour, mask

    def known(self) -> Known:
        """The layer of all frames that were drawn."""
        return Known(len(self._request.trajectory), lambda i: KnownFrame(*self._frames[i]))


def beside(layer: Drawn, mask: Bool) -> KnownFrame:
    """What of ``layer`` guides with this mask [H, W] do not show."""
    where = np.flatnonzero(layer.mask & ~mask)
    height, width = working_size(*mask.shape)
    nearest, seen = (
        cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST)
        for each in (_with_rims(layer), layer.mask.view(np.uint8))
    )
    depth = np.divide(1, nearest, out=np.zeros_like(nearest), where=(seen > 0) & (nearest > 0))
    return KnownFrame(where.astype(np.int32), layer.colour.reshape(-1, 3)[where], np.asarray(depth, np.float32))


def _with_rims(layer: Drawn) -> Float32:  # [H, W]
    """Every pixel's 1 / depth as that of the nearest surface around it: a rim's colours are those of what is in front.

    Taken for the background's, they would draw the outline of a thing into the hole behind it.
    """
    shown = np.where(layer.mask, layer.inverse_depth, np.float32(0))
    return np.asarray(cv2.dilate(shown, np.ones((_RIM, _RIM), np.uint8)), np.float32)


def known_mesh(mesh: DWMesh) -> DWMesh:
    """The clip's solid mesh, with the edits of ``mesh``, and with other frames where these can be put in place."""
    if mesh.options.other_frames:
        return mesh
    if _joins(mesh):
        try:
            return mesh.with_other_frames()
        except SettingError:  # the camera moves, and nobody knows how
            return mesh
    options = structs.replace(
        mesh.options, mode="solid", pixel_anchor="center", blank_occluded_colors=False, hide_caps=True
    )
    painted = None if mesh.solid is None else mesh.solid.thickness_map

    def made(*, other_frames: bool) -> DWMesh:
        chosen = structs.replace(options, other_frames=other_frames, world_memory=other_frames)
        edits = {"vertex_overrides": mesh.vertex_overrides, "face_flags": mesh.face_flags}
        return DWMesh(mesh.clip, chosen, thickness_map=painted, **edits)

    try:
        return made(other_frames=True)
    except SettingError:  # the camera moves, and nobody knows how; or it contradicts the frames
        return made(other_frames=False)


def _joins(mesh: DWMesh) -> bool:
    """Whether other frames join the surfaces of ``mesh`` as they are; those of a camera that moves change them."""
    return mesh.solid is not None and mesh.options.pixel_anchor == "center" and mesh.clip.moving_camera is None
