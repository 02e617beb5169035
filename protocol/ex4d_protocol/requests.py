"""What a job is asked to do: clips, meshes, and the requests built from them.

A request holds everything relevant and refers to bulk data by content (:class:`BlobRef`). No path crosses
the wire.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ex4d_ground.footage import Fields
from ex4d_ground.media_kinds import MediaKind
from ex4d_ground.options import MeshOptions, RasterOptions
from ex4d_ground.records import Count, Name, Record, Text
from ex4d_ground.stereo import Eyes
from ex4d_protocol.base import Sha256, Tagged
from ex4d_protocol.camera_specs import SourceCameraSpec, TrajectorySpec
from ex4d_protocol.maxima import MAX_FRAMES, Settings


class BlobRef(Record, frozen=True, kw_only=True):
    """Bytes by content. The same bytes are uploaded once, whatever they are called."""

    sha256: Sha256
    size: Count
    """Length in bytes."""
    name: Name = ""
    """For display only."""


class Media(Record, frozen=True, kw_only=True):
    """A video or depth source: one blob (video, npz, npy) or one per frame, in order (sequences)."""

    kind: MediaKind
    blobs: Annotated[tuple[BlobRef, ...], msgspec.Meta(min_length=1, max_length=MAX_FRAMES)]


class VideoReading(Record, frozen=True, kw_only=True):
    """New in 1.1. What people, or the names of its files, say of a video beside its bytes."""

    usual_fps: float | None = None
    """The rate of a sequence of pictures that says none; None means 15."""
    start_frame: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] = 1
    """Number of a sequence's first picture: exports count on from it."""
    colour_space: Name = ""
    """What the numbers mean: one of :data:`ex4d_ground.colour.KNOWN`, or a name of OpenColorIO's; "": as the video
    says itself."""
    ocio: BlobRef | None = None
    """The OpenColorIO configuration (.ocio, or .ocioz with its tables) that ``colour_space`` is a name of; None: the
    server's."""
    fields: Fields = "deinterlace"
    """What becomes of interlaced video."""


class ClipSpec(Record, frozen=True, kw_only=True):
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
    intrinsics_source: Text = ""
    """New in 1.1. Where ``intrinsics`` came from, for takes and people ("assumed: 54.22 deg"); "": given."""
    fill_invalid: bool = False
    """Fill NaN, zero and negative depth from what surrounds it, not refuse it. Infinity is sky in any case."""
    fps: float | None = None
    """Overrides the video's own rate (a PNG sequence has none)."""
    name: Name = "clip"
    depth_channel: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    """New in 1.1. The channel, pass or part of an EXR that is depth; None: the one whose name says so."""
    reading: VideoReading | None = None
    """New in 1.1. What the video's bytes do not say; None: nothing."""
    source_camera: SourceCameraSpec | None = None
    """New in 1.3. The camera that filmed the clip, where it moved or zoomed: moves and objects are in its world. It
    has a pose for every frame; one that is longer is cut where ``num_frames`` cuts the clip. None: it stood still."""


class MeshEdit(Record, frozen=True, kw_only=True):
    """One source frame's edits. A part that was not edited is None."""

    frame: Count
    """0-based source frame."""
    positions: BlobRef | None = None
    """float32 little-endian [H*W, 3], C order: vertices in OpenCV axes, row by row."""
    face_flags: BlobRef | None = None
    """int8 [F]: 0 automatic, 1 visible, 2 occluded; faces in the order of the item ``faces``."""
    thickness: BlobRef | None = None
    """New in 1.1. float32 [H, W]: thickness of occluders in the depth's unit, NaN where the options decide."""


class MeshSpec(Record, frozen=True, kw_only=True):
    """Options and edits of a DW-mesh."""

    options: MeshOptions = MeshOptions()
    edits: Annotated[tuple[MeshEdit, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    thickness: BlobRef | None = None
    """New in 1.1. As an edit's, for every frame whose edit has none. Only solid occluders have a thickness."""
    grid_side: Annotated[int, msgspec.Meta(ge=0, le=16_384)] = 0
    """New in 1.1. Vertices along the long side of the proxy grid that edits and thickness were made on, and that
    BuildMesh sends (SPEC.md says which pixels they are); 0, or the clip's own side and more: one vertex per pixel."""


class ObjectSpec(Record, frozen=True, kw_only=True):
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
    visible_only: Annotated[tuple[Count, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    """New in 1.1. Only ``visible``, and only of these source frames: what an edit changes for a client that has the
    rest. Empty means everything. A 1.0 server sends everything in any case."""
    footage: Literal["png", "light"] = "png"
    """New in 1.1. "light": ``colour`` of a clip larger than the usual proxy grid comes as JPEG, or not at all if
    the client plays it from the video itself; ``clip_info`` says which. A 1.0 server sends PNG in any case."""
    plays_frames: Count = 0
    """New in 1.1. How many frames the client finds in the video, if it can play it; 0: it cannot."""


class RenderGuides(Tagged, frozen=True, kw_only=True):
    """Draw what the moved camera sees of the source.

    Items: per output frame ``colour`` and ``mask`` (PNG, 255 = seen), where it is asked for and known ``planes`` (JSON,
    a list of :class:`ex4d_ground.planes.PlaneInfo`) and ``on_plane``, and last ``coverage`` (both float64 [N]).
    """

    clip: ClipSpec
    trajectory: TrajectorySpec
    mesh: MeshSpec = MeshSpec()
    raster: RasterOptions = RasterOptions()
    objects: Objects = ()
    """New in 1.1."""
    on_plane: bool = False
    """Whether to reckon the share of each frame that is hole and goes on a floor or a wall of the place. New in 1.3."""
    planes: Text = ""
    """What is changed of the place's planes (:mod:`ex4d_ground.planes`), "" nothing. New in 1.3."""


class Generate(Tagged, frozen=True, kw_only=True):
    """Draw guides and have an engine finish them.

    Items: ``coverage`` (float64 [N]), per output frame ``frame`` (PNG, as each is done, in any order) and, where asked
    for, ``layers`` (a file, see FORMATS.md), and last ``take`` (JSON: everything needed to make it again).
    """

    clip: ClipSpec
    trajectory: TrajectorySpec
    engine: Name
    mesh: MeshSpec = MeshSpec()
    raster: RasterOptions = RasterOptions()
    settings: Settings = {}
    """The engine's advertised settings; one that is missing takes its default."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    fps: float | None = None
    """Of the result; None means the clip's."""
    note: Text = ""
    """Kept in the take, for people."""
    objects: Objects = ()
    """New in 1.1. As in RenderGuides."""
    eyes: Eyes | None = None
    """New in 1.3. Make a stereo take: ``trajectory`` is the left eye's. Items ``right`` and ``right_layers`` are the
    right one's, ``coverage`` is the lesser of both."""
    layers: Literal["none", "plate", "all"] = "none"
    """New in 1.1. "plate": an item ``layers`` per output frame, if the source has more than 8 bits; "all": in any
    case."""


class ExportTake(Tagged, frozen=True, kw_only=True):
    """New in 1.1. Write a finished take in a format of other programs.

    Items: ``file``, one per output frame, or one of the whole movie. The client gives them their names.
    """

    take: BlobRef
    """Its ``take.json``."""
    frames: Annotated[tuple[BlobRef, ...], msgspec.Meta(min_length=1, max_length=MAX_FRAMES)]
    """Its pictures, in order."""
    layers: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    """Its layers, in order; none if it has none."""
    kind: Name
    """One of :data:`ex4d_ground.exports.KINDS`."""
    sound: BlobRef | None = None
    """A file whose sound is heard with a movie; None: silence."""
    sound_start: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds of it that come before the first frame."""
    ocio: BlobRef | None = None
    """As in the take's clip."""
    right: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    """New in 1.3. The right eye's pictures, in order, of a stereo take."""
    right_layers: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    """New in 1.3. The right eye's layers, in order; none if it has none."""
    eyes: Name = ""
    """New in 1.3. How both eyes are shown, one of :data:`ex4d_ground.exports.LAYOUTS`; "" is the usual."""


class EstimateDepth(Tagged, frozen=True, kw_only=True):
    """New in 1.1. Estimate the depth of a video. At most one of ``fov_deg``, ``focal_px``, ``intrinsics``.

    Items: per source frame ``depth`` (float32 [H, W], distance along +z), and last ``depth_info`` (JSON). That names
    the whole depth as an .npz blob, which the server has already: use it as the ``depth`` of a :class:`ClipSpec`.
    """

    video: Media
    estimator: Name = ""
    """One of the advertised estimators; empty means the server's default, the first of them."""
    settings: Settings = {}
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


class SolveCamera(Tagged, frozen=True, kw_only=True):
    """New in 1.3. Estimate how the camera moved that filmed a clip.

    Items: ``residuals`` (PNG: some frames, with the points that the camera explains in green and others in red), then
    ``camera_info`` (JSON, see SPEC.md). A camera that cannot be relied on is no failure of the job: it says why.
    """

    clip: ClipSpec
    """Its ``source_camera`` does not count."""
    matte: Media | None = None
    """What moves by itself, white in a video or in pictures, one per frame of the clip; None: nobody says."""
    find_focal: Literal["fixed", "shared", "changing"] = "fixed"
    """Whether the focal length is looked for: not, one of all frames, or one per frame from the clip's own on."""


class WebPage(Tagged, frozen=True, kw_only=True):
    """New in 1.3. Write a shot as a web page that plays it in depth, with a take of it to switch to.

    Items: ``page``, one HTML file that holds everything.
    """

    clip: ClipSpec
    mesh: MeshSpec = MeshSpec()
    """Its occluders are solid, whatever the mode."""
    take: BlobRef | None = None
    """A take's ``take.json``; its camera is replayed. None: the shot alone."""
    take_number: Count = 1
    frames: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    """The take's pictures, in order."""
    side: Annotated[int, msgspec.Meta(ge=48, le=2048)] = 960
    """Pixels of the longer side of the page's picture, at most."""


class FetchWeights(Tagged, frozen=True, kw_only=True):
    """New in 1.1. Download a package of model weights to the server's machine; no items.

    A client sends it only after a person has seen the package's size, licence and source, and agreed.
    """

    package: Name
    """One of ``Capabilities.packages``."""


Request = BuildMesh | RenderGuides | Generate | EstimateDepth | FetchWeights | ExportTake | SolveCamera | WebPage


def blobs_of(request: msgspec.Struct) -> dict[str, BlobRef]:
    """Every blob a request (or a part of one) refers to, by digest, in order of appearance."""
    found: dict[str, BlobRef] = {}

    def walk(value: Any) -> None:
        if isinstance(value, BlobRef):
            found.setdefault(value.sha256, value)
        elif isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                walk(getattr(value, name))
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            for entry in value:
                walk(entry)

    walk(request)
    return found
