"""Cameras and pictures of many frames as tensors on one device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ex4d.raster.base import Camera
from ex4d.surface import Surface
from ex4d.surface.batch import SurfaceBatch
from ex4d.types import Guides
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import RasterOptions

DARKER = 1e-3  # added before rounding down, so that 254.99999 from exact 255s stays 255


@dataclass(frozen=True)
class CameraBatch:
    """One view per frame, with the drawing options beside it in float64."""

    pose: Tensor  # [B, 12] camera_from_world, three rows
    lens: Tensor  # [B, 8] fx, fy, cx, cy, near, 1 / far, alpha threshold, what is added to colours before truncation
    far: float
    width: int
    height: int

    @classmethod
    def of(cls, cameras: list[Camera], options: RasterOptions, device: torch.device) -> CameraBatch:
        """Views of one size."""
        k = [camera.intrinsics for camera in cameras]
        pose = np.stack([camera.camera_from_world[:3].reshape(12) for camera in cameras])
        lens = np.array([[i.fx, i.fy, i.cx, i.cy] for i in k])
        return cls._of(pose, lens, k[0].width, k[0].height, options, device)

    @classmethod
    def along(cls, trajectory: Trajectory, options: RasterOptions, device: torch.device) -> CameraBatch:
        """All views of a trajectory, inverted as :meth:`Camera.of` does."""
        poses = np.linalg.inv(trajectory.world_from_camera)[:, :3].reshape(-1, 12)
        return cls._of(poses, trajectory.intrinsics, trajectory.width, trajectory.height, options, device)

    @classmethod
    def _of(
        cls, pose: np.ndarray, lens: np.ndarray, width: int, height: int, options: RasterOptions, device: torch.device
    ) -> CameraBatch:
        rounding = DARKER if options.round_colors_down else 0.5
        rest = [options.near, 1.0 / options.far, float(options.mask_threshold), rounding]
        full = np.concatenate([lens, np.tile(rest, (len(lens), 1))], axis=1)
        views, lenses = (torch.from_numpy(np.ascontiguousarray(a, np.float64)).to(device) for a in (pose, full))
        return cls(views, lenses, options.far, width, height)

    def part(self, first: int, last: int) -> CameraBatch:
        """Views ``first..last-1``."""
        return CameraBatch(self.pose[first:last], self.lens[first:last], self.far, self.width, self.height)


@dataclass(frozen=True)
class DrawnBatch:
    """Pictures on the device, of some frames or of a whole move."""

    colour: Tensor  # [B, H, W, 3] uint8, zero outside the mask
    mask: Tensor  # [B, H, W] bool
    depth: Tensor | None = None  # [B, H, W] float32 z-depth of what is seen, 0 outside the mask

    @property
    def coverage(self) -> Tensor:  # [B] float32
        """Share of each frame's pixels that the source shows."""
        return self.mask.flatten(1).float().mean(dim=1)

    def to_host(self) -> Guides:
        """The same as arrays, copied through page-locked memory."""
        colour, mask = _on_host(self.colour), _on_host(self.mask)
        depth = None if self.depth is None else _on_host(self.depth)
        if self.colour.device.type == "cuda":
            torch.cuda.current_stream(self.colour.device).synchronize()
        return Guides(colour.numpy(), mask.numpy(), None if depth is None else depth.numpy())


def _on_host(tensor: Tensor) -> Tensor:
    """A copy in page-locked host memory, under way when this returns."""
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


class BatchRasterizer(ABC):
    """Draws batches of surfaces on a CUDA device; also one surface at a time, as every rasterizer does."""

    name: str

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def draw(
        self, surface: Surface, camera: Camera, options: RasterOptions = RasterOptions()
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        surfaces = SurfaceBatch.of([surface], self.device)
        drawn = self.draw_batch(surfaces, CameraBatch.of([camera], options, self.device), options).to_host()
        return drawn.colour[0], drawn.mask[0]

    @staticmethod
    @abstractmethod
    def bytes_per_frame(num_vertices: int, num_triangles: int, pixels: int) -> int:
        """Device memory that one frame of a batch takes while it is drawn, the mesh's included."""

    @abstractmethod
    def draw_batch(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, options: RasterOptions, *, depth: bool = False
    ) -> DrawnBatch:
        """Each surface as its camera sees it; ``depth`` adds the z-depth of what is seen.

        Raises RasterError for planes that cannot be used, or where the rasterizer runs out of room.
        """
