"""Guides in the plate's own depth and colour space: what stands under the 8-bit guides, drawn when it is asked for."""

from collections.abc import Sequence
from threading import local

import numpy as np
from numpy.typing import NDArray

from ex4d.dwmesh import DWMesh
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import source_frames
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.raster.deep import redrawn
from ex4d.surface import Surface
from ex4d.types import Guides, Plate
from ex4d_ground.arrays import Bool, Float32, Int32
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ShapeError
from ex4d_ground.options import RasterOptions


class DeepGuides:
    """A plate seen by a moved camera, frame by frame: as the 8-bit guides, with the plate's numbers.

    The surface and the mask are those of the guides. Where the camera stands at the source, the numbers are the
    plate's, bit by bit. What has no numbers in the plate (objects with a colour of their own, background of several
    other frames) gets those that its 8 bits mean. Nothing is kept; indexing draws. Safe to use from several threads.
    """

    def __init__(
        self,
        mesh: DWMesh,
        trajectory: Trajectory,
        guides: Guides,
        *,
        options: RasterOptions = RasterOptions(),
        source_first_frame: bool = False,
        objects: Sequence[GuideObject] = (),
    ) -> None:
        if guides.mask.shape != (len(trajectory), trajectory.height, trajectory.width):
            raise ShapeError(f"The guides are {guides.mask.shape}, the move has {len(trajectory)} frames.")
        self.plate: Plate | None = mesh.clip.plate
        """None where the clip's 8-bit frames are all there is: then there is only depth to ask for."""
        self._mesh, self._guides, self._objects = mesh, guides, objects
        self._seen_move = mesh.clip.seen_by_source(trajectory)
        self._options, self._first = options, source_first_frame or options.source_first_frame
        self._times = source_frames(trajectory, mesh.num_frames).tolist()
        self._numbered = None if self.plate is None else _numbered(mesh)
        self._own = local()

    def __len__(self) -> int:
        return len(self._times)

    def mask(self, i: int) -> Bool:  # [H, W]
        """Where frame ``i`` shows the source."""
        return np.asarray(self._guides.mask[i])

    def __getitem__(self, i: int) -> NDArray:  # [H, W, 3] of the plate's dtype
        """Frame ``i``: the plate's numbers where the mask is true, 0 elsewhere."""
        plate = self._require_plate()
        frame = plate.frames[self._times[i]]
        mask = self._guides.mask[i]
        if self._first and i == 0:
            return np.array(frame)
        drawn, found = self._drawn(i, np.ascontiguousarray(frame).reshape(-1, 3), mask)
        out = as_plate(drawn, frame.dtype)
        lacking = mask & ~found
        if lacking.any():
            shown = plate.view.undone(self._guides.colour[i][lacking])
            out[lacking] = of_signals(shown, frame.dtype)
        return out

    def depth(self, i: int) -> Float32:  # [H, W]
        """z-depth of what frame ``i`` shows in its own camera; 0 where the mask is false."""
        _, _, nearest = self._seen(i)
        return np.where(self._guides.mask[i] & (nearest > 0), 1 / np.maximum(nearest, 1e-20), 0).astype(np.float32)

    def _drawn(self, i: int, pixels: NDArray, mask: Bool) -> tuple[Float32, Bool]:
        surface, camera, nearest = self._seen(i)
        sources = self._vertex_sources(self._times[i])
        shown = self._mesh.clip.frames[self._times[i]].reshape(-1, 3)
        numbers = np.zeros((len(surface.vertices), 4), np.float32)
        count = len(sources)
        numbers[:count, :3] = pixels[sources]
        numbers[:, 3] = surface.colors[:, 3]
        # A vertex whose colour is not its pixel's shows something else: objects, background of other frames.
        own = (shown[sources] == surface.colors[:count, :3]).all(axis=1) | (surface.colors[:count, 3] == 0)
        foreign = np.concatenate([~own, np.ones(len(numbers) - count, np.bool_)]) & (surface.colors[:, 3] > 0)
        if foreign.any():
            signals = self._require_plate().view.undone(surface.colors[foreign, :3])
            numbers[foreign, :3] = of_signals(signals, pixels.dtype)
        return redrawn(surface, numbers, camera, self._options, nearest, mask)

    def _require_plate(self) -> Plate:
        if self.plate is None:
            raise ShapeError("The clip has no plate: its 8-bit frames are all there is.")
        return self.plate

    def _seen(self, i: int) -> tuple[Surface, Camera, Float32]:
        """The surface and the camera of frame ``i``, and 1 / z of what the CPU's rasterizer shows; the last is kept."""
        if getattr(self._own, "index", None) != i:
            self._own.index = None
            camera, t = Camera.of(self._seen_move, i), self._times[i]
            place = self._mesh.clip.mesh_from_world(t)
            surface = with_objects(self._mesh.surface(t), self._objects, i, camera, place)
            if not hasattr(self._own, "rasterizer"):
                self._own.rasterizer = CpuRasterizer()
            self._own.rasterizer.draw(surface, camera, self._options)
            self._own.seen, self._own.index = (surface, camera, self._own.rasterizer.inverse_depth), i
        return self._own.seen

    def _vertex_sources(self, t: int) -> Int32:  # [V]
        """The pixel that each vertex of the mesh has its colour from; any pixel for those that have it from none."""
        self._require_plate()
        assert self._numbered is not None
        codes = self._numbered.surface(t).colors.astype(np.int32)
        index = codes[:, 0] | codes[:, 1] << 8 | codes[:, 2] << 16
        return np.minimum(index, self._mesh.height * self._mesh.width - 1)


def _numbered(mesh: DWMesh) -> DWMesh:
    """The mesh with each pixel's number for its colour."""
    shape = mesh.height, mesh.width
    if shape[0] * shape[1] > 1 << 24:
        raise ShapeError(f"Plates are kept up to 16.7 million pixels a frame, these are {shape[1]}x{shape[0]}.")
    index = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)
    picture = np.stack([index & 255, index >> 8 & 255, index >> 16], axis=-1).astype(np.uint8)
    return mesh.with_frames(np.broadcast_to(picture, (mesh.num_frames, *picture.shape)))


def as_plate(numbers: Float32, dtype: np.dtype) -> NDArray:
    """Numbers on a plate's own scale, as its type."""
    if dtype == np.uint16:
        return np.rint(np.clip(numbers, 0, 65535)).astype(np.uint16)
    return numbers.astype(dtype)


def of_signals(signals: Float32, dtype: np.dtype) -> NDArray:
    """Signals, nominally 0..1, on a plate's own scale."""
    scaled = signals * np.float32(65535) if dtype == np.uint16 else signals
    return as_plate(scaled, dtype)
