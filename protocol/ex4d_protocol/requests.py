"""What a job is asked to do: clips, meshes, trajectories, and the requests built from them.

A request holds everything relevant and refers to bulk data by content (:class:`BlobRef`). No path crosses
the wire.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ex4d_protocol.base import Count, Name, Part, Scalar, Sha256, Tagged, Text


class BlobRef(Part, frozen=True, kw_only=True):
    """Bytes by content. The same bytes are uploaded once, whatever they are called."""

    sha256: Sha256
    size: Count
    """Length in bytes."""
    name: Name = ""
    """For display only."""


MediaKind = Literal["video", "png_sequence", "npz", "npy", "exr_sequence"]


class Media(Part, frozen=True, kw_only=True):
    """A video or depth source: one blob (video, npz, npy) or one per frame, in order (sequences)."""

    kind: MediaKind
    blobs: Annotated[tuple[BlobRef, ...], msgspec.Meta(min_length=1, max_length=100_000)]


class ClipSpec(Part, frozen=True, kw_only=True):
    """A source clip. At most one of ``fov_deg``, ``focal_px``, ``intrinsics``; none: the default angle."""

    video: Media
    depth: Media
    depth_scale: float | None = None
    """Stored depth times this is depth along +z. Whole numbers (16-bit PNG) need it: millimetres have 0.001."""
    num_frames: Count | None = None
    """Use the first so many frames; None means all."""
    fov_deg: float | None = None
    """Horizontal field of view in degrees."""
    focal_px: float | None = None
    """Focal length in pixels, square pixels, centred."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels; origin at the image's top-left corner."""
    fill_invalid: bool = False
    """Replace NaN, infinite, zero and negative depth by its nearest valid neighbour, not refuse it."""
    fps: float | None = None
    """Overrides the video's own rate (a PNG sequence has none)."""
    name: Name = "clip"


class MeshOptionsSpec(Part, frozen=True, kw_only=True):
    """How the DW-mesh is built: the fields and defaults of the library's MeshOptions."""

    mode: Literal["endless", "solid"] = "endless"
    border_depth: float = 100.0
    min_angle_deg: float = 2.5
    pixel_anchor: Literal["center", "corner"] = "center"
    blank_occluded_colors: bool = False
    hide_caps: bool = True
    hidden_by: Literal["vertex", "face"] = "vertex"
    """New in 1.1, as are all below."""
    thickness: float | Literal["auto"] = "auto"
    thickness_unit: Literal["share", "depth"] = "share"
    edge_jump: float = 0.01
    sharpen_edges: Literal["auto", "on", "off"] = "auto"
    steady_depth: Literal["auto", "on", "off"] = "auto"
    other_frames: bool = False


class MeshEdit(Part, frozen=True, kw_only=True):
    """One source frame's edits. A part that was not edited is None."""

    frame: Count
    """0-based source frame."""
    positions: BlobRef | None = None
    """float32 little-endian [H*W, 3], C order: vertices in OpenCV axes, row by row."""
    face_flags: BlobRef | None = None
    """int8 [F]: 0 automatic, 1 visible, 2 occluded; faces in the order of the item ``faces``."""
    thickness: BlobRef | None = None
    """New in 1.1. float32 [H, W]: thickness of occluders in the depth's unit, NaN where the options decide."""


class MeshSpec(Part, frozen=True, kw_only=True):
    """Options and edits of a DW-mesh."""

    options: MeshOptionsSpec = MeshOptionsSpec()
    edits: tuple[MeshEdit, ...] = ()
    thickness: BlobRef | None = None
    """New in 1.1. As an edit's, for every frame whose edit has none. Only solid occluders have a thickness."""


class TrajectorySpec(Part, frozen=True, kw_only=True):
    """One camera per output frame, as little-endian float64 in C order. Build it with :meth:`from_arrays`."""

    num_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    world_from_camera: bytes
    """[N, 4, 4]: rigid pose; OpenCV axes (x right, y down, z forward), world = source camera of frame 0."""
    intrinsics: bytes
    """[N, 4]: fx, fy, cx, cy in pixels of the output image."""
    source_time: bytes
    """[N]: source frame shown, 0-based, fractions allowed."""
    name: Name = "custom"

    @classmethod
    def from_arrays(
        cls,
        world_from_camera: ArrayLike,  # [N, 4, 4]
        intrinsics: ArrayLike,  # [N, 4]
        source_time: ArrayLike,  # [N]
        *,
        width: int,
        height: int,
        name: str = "custom",
    ) -> TrajectorySpec:
        """Pack arrays. Raises ValueError if the shapes do not fit each other."""
        poses, k, time = (np.ascontiguousarray(a, "<f8") for a in (world_from_camera, intrinsics, source_time))
        n = len(poses)
        if poses.shape != (n, 4, 4) or k.shape != (n, 4) or time.shape != (n,):
            raise ValueError(
                f"A trajectory needs poses [N, 4, 4], intrinsics [N, 4] and source_time [N], "
                f"got {poses.shape}, {k.shape} and {time.shape}."
            )
        return cls(
            num_frames=n,
            width=width,
            height=height,
            world_from_camera=poses.tobytes(),
            intrinsics=k.tobytes(),
            source_time=time.tobytes(),
            name=name,
        )

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return poses [N, 4, 4], intrinsics [N, 4], source_time [N]. Raises ValueError on a wrong length."""
        return (
            _unpack("world_from_camera", self.world_from_camera, (self.num_frames, 4, 4)),
            _unpack("intrinsics", self.intrinsics, (self.num_frames, 4)),
            _unpack("source_time", self.source_time, (self.num_frames,)),
        )


def _unpack(what: str, data: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    need = math.prod(shape) * 8
    if len(data) != need:
        raise ValueError(f"The trajectory's {what} has {len(data)} bytes, {list(shape)} float64 values need {need}.")
    return np.frombuffer(data, "<f8").reshape(shape)


class RasterSpec(Part, frozen=True, kw_only=True):
    """How guides are drawn: the fields and defaults of the library's RasterOptions, and which rasterizer."""

    rasterizer: Name = "cpu"
    near: float = 0.001
    far: float = 1000.0
    mask_threshold: int = 125
    round_colors_down: bool = False
    source_first_frame: bool = False
    """Published rule: guide 0 is the source frame itself with a full mask."""
    antialias: bool = False
    """New in 1.1. Blend silhouette edges; only the rasterizer "nvdiffrast" can."""


class ObjectSpec(Part, frozen=True, kw_only=True):
    """New in 1.1. Triangles that stand in the scene beside the mesh (OpenCV axes, world = source camera of frame 0)."""

    vertices: BlobRef
    """float32 little-endian, C order: [V, 3], or [N, V, 3] if it ``moves``, one position per output frame."""
    faces: BlobRef
    """int32 [F, 3]."""
    colors: BlobRef | None = None
    """uint8 [V, 3], RGB: shown, as known content. None: a holdout, which blocks and leaves a hole to be filled."""
    moves: bool = False
    name: Name = "object"


Objects = Annotated[tuple[ObjectSpec, ...], msgspec.Meta(max_length=256)]


class BuildMesh(Tagged, frozen=True, kw_only=True):
    """Build the DW-mesh of every source frame.

    Items: ``clip_info`` (JSON), ``faces`` (int32 [F, 3], once), and per source frame ``colour`` (PNG, the
    footage), ``vertices`` (float32 [H*W, 3]) and ``visible`` (8-bit PNG, 255 where the vertex is visible).
    """

    clip: ClipSpec
    mesh: MeshSpec = MeshSpec()
    visible_only: tuple[Count, ...] = ()
    """New in 1.1. Only ``visible``, and only of these source frames: what an edit changes for a client that has the
    rest. Empty means everything. A 1.0 server sends everything in any case."""


class RenderGuides(Tagged, frozen=True, kw_only=True):
    """Draw what the moved camera sees of the source.

    Items: per output frame ``colour`` and ``mask`` (PNG, 255 = seen), and last ``coverage`` (float64 [N]).
    """

    clip: ClipSpec
    trajectory: TrajectorySpec
    mesh: MeshSpec = MeshSpec()
    raster: RasterSpec = RasterSpec()
    objects: Objects = ()
    """New in 1.1. Only the rasterizer "cpu" can draw them; another one refuses."""


class Generate(Tagged, frozen=True, kw_only=True):
    """Draw guides and have an engine finish them.

    Items: ``coverage`` (float64 [N]), per output frame ``frame`` (PNG, as each is done, in any order), and
    last ``take`` (JSON: everything needed to make it again).
    """

    clip: ClipSpec
    trajectory: TrajectorySpec
    engine: Name
    mesh: MeshSpec = MeshSpec()
    raster: RasterSpec = RasterSpec()
    settings: dict[str, Scalar] = {}
    """The engine's advertised settings; one that is missing takes its default."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    fps: float | None = None
    """Of the result; None means the clip's."""
    note: Text = ""
    """Kept in the take, for people."""
    objects: Objects = ()
    """New in 1.1. As in RenderGuides."""


class EstimateDepth(Tagged, frozen=True, kw_only=True):
    """New in 1.1. Estimate the depth of a video. At most one of ``fov_deg``, ``focal_px``, ``intrinsics``.

    Items: per source frame ``depth`` (float32 [H, W], distance along +z), and last ``depth_info`` (JSON). That names
    the whole depth as an .npz blob, which the server has already: use it as the ``depth`` of a :class:`ClipSpec`.
    """

    video: Media
    estimator: Name = ""
    """One of the advertised estimators; empty means the server's default, the first of them."""
    settings: dict[str, Scalar] = {}
    """The estimator's advertised settings; one that is missing takes its default."""
    num_frames: Count | None = None
    """Use the first so many frames; None means all."""
    fov_deg: float | None = None
    """Horizontal field of view in degrees. Without any of the three: the video's metadata, the estimator, a default."""
    focal_px: float | None = None
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels."""
    align: bool | None = None
    """Bring the frames to one scale; None: where the estimator looks at single images."""
    steady: bool | None = None
    """Calm flicker over time; None as above."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 42
    name: Name = "clip"


Request = BuildMesh | RenderGuides | Generate | EstimateDepth


def blobs_of(request: msgspec.Struct) -> dict[str, BlobRef]:
    """Every blob a request (or a part of one) refers to, by digest, in order of appearance."""
    found: dict[str, BlobRef] = {}

    def walk(value: Any) -> None:
        if isinstance(value, BlobRef):
            found.setdefault(value.sha256, value)
        elif isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                walk(getattr(value, name))
        elif isinstance(value, tuple):
            for entry in value:
                walk(entry)

    walk(request)
    return found
