"""Takes on disk: one folder layout and one description, whoever made the take. FORMATS.md is normative.

    take_001/frame_0001.png, frame_0002.png, ...
    take_001/take.json     written last: a folder without it is no finished take
    take_001/right/...     the right eye's pictures of a stereo take, named like the left one's
    take_001.mp4           beside it, where a movie was wanted

A take gets the next free number; nothing that exists is ever overwritten.
"""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ex4d_ground.cameras import Trajectory
from ex4d_ground.colour import ColourSpace
from ex4d_ground.errors import ClipError, InputError, TrajectoryError, in_brief
from ex4d_ground.files import frame_name
from ex4d_ground.footage import Footage
from ex4d_ground.records import Record
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.stereo import RIGHT, Eyes

FORMAT = "ex4d-blender-take"
VERSION = 2
TAKE_FILE = "take.json"
LAYERS = "plate"
"""Folder of a take's layers, one EXR a frame."""
MOST_FRAMES = 100_000
"""More than any take: as many cameras as a camera file may hold."""
MAX_BYTES = 256 << 20
"""Larger than the description of any take: 10,000 cameras take 6 MB."""
PARTIAL_FILE = "partial.json"
"""Written first where frames arrive one by one: what an unfinished take would have been."""
AXES = "OpenCV: x right, y down, z forward; world = source camera of frame 0"


class TakeCamera(Record, frozen=True, kw_only=True, omit_defaults=False):
    """A take's move as JSON numbers; floats keep every bit."""

    name: str = "custom"
    width: int
    height: int
    axes: str = AXES
    world_from_camera: list[list[list[float]]]  # [N, 4, 4]
    intrinsics: list[list[float]]  # [N, 4] fx, fy, cx, cy in pixels
    source_time: list[float]  # [N] source frames, 0-based

    @classmethod
    def of(cls, move: Trajectory) -> TakeCamera:
        """The move's record."""
        return cls(
            name=move.name,
            width=move.width,
            height=move.height,
            world_from_camera=move.world_from_camera.tolist(),
            intrinsics=move.intrinsics.tolist(),
            source_time=move.source_time.tolist(),
        )

    @property
    def trajectory(self) -> Trajectory:
        """The move again. Raises TrajectoryError or ShapeError if the file was edited into something that is none."""
        try:
            poses, lenses = np.array(self.world_from_camera, np.float64), np.array(self.intrinsics, np.float64)
        except ValueError as error:  # rows of different lengths
            raise TrajectoryError(f"The take's camera is damaged: {error}.") from error
        return Trajectory(poses, lenses, np.array(self.source_time, np.float64), self.width, self.height, self.name)


def source_camera_record(camera: SourceCamera) -> dict[str, Any]:
    """A source camera as JSON numbers, which keep every bit: what a take's ``clip`` holds as ``source_camera``."""
    return {
        "origin": camera.origin,
        "width": camera.width,
        "height": camera.height,
        "world_from_camera": camera.world_from_camera.tolist(),
        "intrinsics": camera.intrinsics.tolist(),
    }


def source_camera_from(record: Mapping[str, Any]) -> SourceCamera:
    """The camera of :func:`source_camera_record`. Raises TrajectoryError or ShapeError for what is none."""
    try:
        poses, rows = (np.array(record[name], np.float64) for name in ("world_from_camera", "intrinsics"))
        return SourceCamera(poses, rows, int(record["width"]), int(record["height"]), record.get("origin", "given"))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise TrajectoryError(f"The record of a source camera is damaged: {error}.") from error


class TakeInfo(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What ``take.json`` says: everything needed to list a take and to make it again."""

    format: str = FORMAT
    version: int = VERSION
    engine: str
    engine_licence: str = ""
    preview: bool = False
    """Whether it shows the move alone, made without a model."""
    watermark: str = ""
    """Stands in every picture's and movie's metadata, too."""
    settings: dict[str, Any] = {}
    """As they were asked for, so that the take can be made again."""
    used: dict[str, Any] = {}
    """Those that came out otherwise, with what was used: ``fill`` is "background" where no place was known. ``planes``
    are those of the place that filled holes."""
    seed: int = 0
    fps: float = 15.0
    num_frames: Annotated[int, msgspec.Meta(ge=0, le=MOST_FRAMES)] = 0
    width: int = 0
    height: int = 0
    frames: str = frame_name(0)
    """Name of the first picture; the others count on from it."""
    video: bool = False
    """Whether a movie of the folder's name lies beside it."""
    note: str = ""
    """The artist's own words."""
    eyes: Eyes | None = None
    """Of a stereo take: its pictures and ``camera`` are the left eye's, the right one's lie in :data:`RIGHT`."""
    rasterizer: str = ""
    """Which program drew the guides; "" if it was not noted."""
    lead_in_frames: int = 0
    """Frames made in front of the move, so that the model starts from a whole picture, and left out again."""
    coverage: list[float] = []  # [N]
    """Share of each frame that the source really shows, 0 to 1."""
    empty_frames: list[int] = []
    """Frames, 0-based, whose camera sees nothing of the source."""
    camera: TakeCamera | None = None
    """None only in takes that were written by hand or are not whole."""
    clip: dict[str, Any] = {}
    """Name, lens and depth of the source; of a take that a backend made also ``spec``, the clip by content. Where the
    source camera moves or zooms, ``source_camera`` says how (:func:`source_camera_record`)."""
    mesh: dict[str, Any] | None = None
    """Options and edits of the DW-mesh (the protocol's MeshSpec, defaults left out); None: not said."""
    raster: dict[str, Any] = {}
    """How the guides were drawn (:class:`~ex4d_ground.options.RasterOptions`)."""
    objects: list[dict[str, Any]] = []
    """What stood in the scene beside the mesh."""
    blobs: dict[str, str] = {}
    """File name of everything that was uploaded, by SHA-256."""
    layers: str = ""
    """Folder within the take's that holds mask, depth and, of a plate, colour in its own depth; "" if there is none."""
    colour: ColourSpace | None = None
    """What the source's numbers mean, and those of the layers' colour; None: not noted."""
    layer_colour: bool = False
    """Whether the layers have colour."""
    tone_mapped: bool = False
    """Whether the 8-bit frames show light above white brought down to it."""
    footage: Footage = Footage()
    """What else the shot carries. ``sound`` says that the movie has sound."""
    metadata: dict[str, Any] = {}
    """Versions, licences, hash of the clip, and what else its maker noted."""

    @property
    def source_camera(self) -> SourceCamera | None:
        """How the camera moved that filmed the source; None: it stood still. Raises TrajectoryError, ShapeError."""
        record = self.clip.get("source_camera")
        return source_camera_from(record) if isinstance(record, Mapping) else None

    @property
    def mean_coverage(self) -> float:
        """Mean of ``coverage``; 0 if it was not noted."""
        return float(np.mean(self.coverage)) if self.coverage else 0.0

    def encoded(self) -> str:
        """The text of ``take.json``. Raises InputError for settings or metadata that are no JSON."""
        try:
            return json.dumps(msgspec.to_builtins(self), indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"The take's settings or metadata cannot be written as JSON: {error}.") from error


def describe(engine: str, move: Trajectory | None = None, **facts: Any) -> TakeInfo:
    """A take's description with all that follows from the engine's name and the move; ``facts`` are further fields."""
    if move is not None:
        facts = {"num_frames": len(move), "width": move.width, "height": move.height, **facts}
        facts["camera"] = TakeCamera.of(move)
    facts.setdefault("preview", engine == "preview")
    return TakeInfo(engine=engine, watermark=f"engine={engine}", **facts)


def decode_take(data: bytes | Mapping[str, Any], what: str) -> TakeInfo:
    """A description from the text of ``take.json`` or its values; ``what`` names it in messages.

    Descriptions from before version 2 are understood: a backend's had neither format nor version. Raises ClipError.
    """
    try:
        if isinstance(data, bytes):
            data = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClipError(f"{what} cannot be read: {error}.") from error
    values = dict(data)
    if values.setdefault("format", FORMAT) != FORMAT or "engine" not in values:
        raise ClipError(f"{what} is not a take's description.")
    if isinstance(values.get("version"), str):  # the program's own, in a backend's earlier takes
        noted = values.get("metadata", {})
        values["metadata"] = {"versions": {"ex4d": values.pop("version")}, **(noted if isinstance(noted, dict) else {})}
    version = values.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        raise ClipError(f"{what} has version {version}, this program reads up to {VERSION}; update it.")
    try:
        return msgspec.convert({**values, "version": VERSION}, TakeInfo)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ClipError(f"{what} was damaged or edited: {error}.") from error


def read_take_info(folder: Path | str) -> TakeInfo:
    """What a finished take's folder says of itself, without its frames. Raises ClipError naming the file."""
    return _read(Path(folder) / TAKE_FILE)


def read_unfinished_take_info(folder: Path | str) -> TakeInfo:
    """What a take says of itself, be it finished or not yet. Raises ClipError naming the file."""
    path = Path(folder) / TAKE_FILE
    return _read(path if path.exists() else path.with_name(PARTIAL_FILE))


def _read(path: Path) -> TakeInfo:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
        if path.stat().st_size > MAX_BYTES:
            raise ClipError(f"{path} has {path.stat().st_size} bytes, more than any take's description.")
        data = path.read_bytes()
    except OSError as error:
        raise ClipError(f"{path} cannot be read, so this is no take folder: {in_brief(error)}.") from error
    return decode_take(data, str(path))


def take_number(folder: Path) -> int:
    """The number in the name of a take's folder; 1 if it has none."""
    found = re.fullmatch(r"take_(\d+)", folder.resolve().name)
    return int(found[1]) if found else 1


def shot_name(info: TakeInfo, folder: Path) -> str:
    """The name of a take's clip, or else of the folder that holds the take's."""
    noted = info.metadata.get("clip")
    name = noted.get("name") if isinstance(noted, dict) else None
    return str(info.clip.get("name") or name or folder.resolve().parent.name or "shot")


def sound_of_take(info: TakeInfo) -> float | None:
    """Seconds of the source's sound that come before the take's first frame; None if the take has no sound."""
    if not info.footage.sound or info.camera is None or not info.camera.source_time or not 0 < info.fps <= 1000:
        return None
    start = math.floor(info.camera.source_time[0] + 0.5) / info.fps
    return start if 0 <= start < math.inf else None


def missing_frames(folder: Path, info: TakeInfo) -> list[int]:
    """Numbers, from 1, of the frames of which a take's folder lacks a picture, or holds an empty one."""
    folders = [folder] if info.eyes is None else [folder, folder / RIGHT]
    lost = {i for each in folders for i in range(info.num_frames) if not _is_there(each / frame_name(i))}
    return [i + 1 for i in sorted(lost)]


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def take_folders(parent: Path) -> list[Path]:
    """Folders below ``parent`` that hold a take, finished or not, in the order of their names."""
    return sorted({path.parent for name in (TAKE_FILE, PARTIAL_FILE) for path in parent.glob(f"take_*/{name}")})


def claim_take_folder(parent: Path) -> Path:
    """Make the next free ``take_NNN`` below ``parent``, after every number in use, and return it. Raises OSError.

    Making it is the claim: of several processes each gets a folder of its own.
    """
    parent.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(m[1]) for p in parent.iterdir() if (m := re.match(r"take_(\d+)", p.name))), default=0)
    while True:
        folder = parent / f"take_{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
