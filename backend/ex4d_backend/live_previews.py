"""Live views as the preview engine would show them: holes filled with what else the clip shows, and with its place."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ex4d.bands import Bands
from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.sharpen import is_smeared
from ex4d.engines import GenerateRequest
from ex4d.engines.preview_painter import preview_frame
from ex4d.engines.preview_settings import PreviewSettings
from ex4d.fill import World
from ex4d.guides import GuideObject, LayerRenderer
from ex4d.raster import Camera
from ex4d.types import Clip, Guides, Known
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import RasterOptions


@dataclass(frozen=True)
class OneFrame:
    """What one picture shows."""

    whole: Trajectory
    """The move that it is a frame of, in the world."""
    camera: Camera
    """Its camera in the axes of the mesh."""
    t: int
    """The source frame."""
    objects: tuple[GuideObject, ...]
    index: int
    """The output frame whose positions the objects have."""

    @classmethod
    def of(
        cls, move: Trajectory, seen: Trajectory, i: int, t: int, objects: tuple[GuideObject, ...] = ()
    ) -> "OneFrame":
        """Frame ``i`` of a move; ``seen`` is the move in the axes of the meshes."""
        return cls(move, Camera.of(seen, i), t, objects, i)

    @property
    def move(self) -> Trajectory:
        """Its camera alone, in the world."""
        one, move = slice(self.index, self.index + 1), self.whole
        parts = move.world_from_camera[one], move.intrinsics[one], move.source_time[one]
        return Trajectory(*parts, move.width, move.height, move.name)


class HoleFiller:
    """Fills the holes of one mesh's guides. Making one takes long; used from one thread afterwards."""

    def __init__(self, mesh: DWMesh, options: RasterOptions, bands: Bands, *, known_first: bool, t: int) -> None:
        """``known_first`` as the engine has it; ``t`` is the source frame that is shown first."""
        warm_up()
        self._clip, self._bands, self._smeared = mesh.clip, bands, is_smeared(mesh.clip.depth)
        self._layer = LayerRenderer(mesh, options, bands=bands) if known_first else None
        if self._layer is not None:
            self._layer.prepare(t)

    @property
    def size_bytes(self) -> int:
        """Memory of what it keeps."""
        return 0 if self._layer is None else self._layer.size_bytes

    def fill(
        self, colour: UInt8, mask: Bool, frame: OneFrame, settings: PreviewSettings, world: World | None
    ) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 3]
        """A guide with its holes filled; ``world`` is the clip's place, for settings that use it."""
        guides = Guides(colour[None], mask[None])
        if self._layer is not None:
            known = self._layer.render(frame.t, frame.camera, mask, frame.objects, index=frame.index)
            guides = guides.with_known(Known(1, lambda _: known))
        request = GenerateRequest(guides, frame.move, self._clip)
        return preview_frame(request, settings, world, smeared=self._smeared, split=self._bands)


@cache
def warm_up() -> None:
    """Have the loops that fill holes compiled (or read from the cache), once for the process."""
    depth = np.full((1, 32, 32), 4.0, np.float32)
    depth[:, 8:16, 8:16] = 2.0
    clip = Clip(np.zeros((1, 32, 32, 3), np.uint8), depth, Intrinsics.from_fov(32, 32))
    pose = np.eye(4)
    pose[0, 3] = 3.0
    k = clip.intrinsics
    move = Trajectory(pose[None], np.array([[k.fx, k.fy, k.cx, k.cy]]), np.zeros(1), k.width, k.height)
    layer = LayerRenderer(DWMesh(clip), threads=1)
    colour, mask = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.bool_)
    mask[:, :8] = True
    known = layer.render(0, Camera(pose, k), mask)
    guides = Guides(colour[None], mask[None]).with_known(Known(1, lambda _: known))
    back_wall = np.zeros((1, 16), np.float32)
    back_wall[0, :9], back_wall[0, 12:] = np.eye(3).ravel(), 1
    nothing = World(back_wall, np.zeros((1, 16, 32, 4), np.uint8), np.zeros((1, 16, 16), np.bool_), ())
    preview_frame(GenerateRequest(guides, move, clip), PreviewSettings(), nothing)
