"""What a shot knows of its clip: numbers, what the backend calls it, where its files were. No Blender in here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ex4d_ground.source_camera import SourceCamera
from ex4d_protocol.requests import ClipSpec, SourceCameraSpec

from ..work.errors import AddonError


@dataclass(frozen=True)
class ClipFacts:
    """What the backend says about the clip (its ``clip_info``), plus where it came from."""

    name: str
    num_frames: int
    width: int
    height: int
    fps: float
    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy in pixels."""
    intrinsics_source: str
    near_depth: float
    clip_json: str
    video_path: str
    depth_path: str
    depth_estimator: str = ""
    """What estimated the depth; "" if it came as a file."""
    depth_licence: str = ""
    grid_side: int = 0
    """Vertices along the long side of the mesh, 0 for one per pixel."""
    start_frame: int = 1
    """Number of the source's first frame; 1 for a source that counts from 0, as Blender's scenes begin there."""
    rate: str = ""
    """Frames a second as a fraction, "24000/1001"; "" if that is not known."""
    timecode: str = ""
    """Of the first frame."""
    reel: str = ""
    has_sound: bool = False
    """Whether there is sound that belongs to the clip's frames."""
    colour_space: str = ""
    """Name of what the source's numbers mean."""
    ocio_path: str = ""
    """The OpenColorIO configuration it was imported with; "" if none was given."""


FILMING_LENS = "given by the filming camera"

_MOST_FRAMES = 1_048_574
"""Blender's timeline ends here."""


def carried(info: dict[str, Any]) -> dict[str, Any]:
    """What the clip carries beside its pictures, by the backend's ``clip_info``; older backends say nothing of it."""
    said = info.get("carries")
    said = said if isinstance(said, dict) else {}
    texts = {"rate": "rate", "timecode": "timecode", "reel": "reel", "colour_space": "colour"}
    out: dict[str, Any] = {name: str(said.get(key, "")) for name, key in texts.items()}
    start = said.get("start_frame", 1)
    fits = isinstance(start, int) and start >= 1 and start + int(info["num_frames"]) <= _MOST_FRAMES
    return out | {"start_frame": start if fits else 1, "has_sound": bool(said.get("sound", False))}


def clip_numbers(info: dict[str, Any]) -> dict[str, Any]:
    """What a shot needs of the backend's ``clip_info``. Raises AddonError if a field is missing."""
    kinds: dict[str, Any] = dict.fromkeys(("num_frames", "width", "height"), int)
    kinds |= {"fps": float, "near_depth": float, "intrinsics": tuple, "intrinsics_source": str}
    try:
        numbers = {name: kind(info[name]) for name, kind in kinds.items()}
        return numbers | {"grid_side": int(info.get("grid_side", 0))}  # older backends send one vertex per pixel
    except KeyError as error:
        raise AddonError(
            f"The backend's clip_info lacks {error.args[0]!r}; use an add-on and a backend of the same version."
        ) from error


@dataclass(frozen=True)
class StoredClip:
    """A clip imported earlier: what the backend calls it, and where its files were."""

    clip_json: str
    video: Path
    depth: Path
    lens: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy if the backend has estimated the depth: the copy here does not hold the lens it found."""
    grid_side: int = 0
    """Of the mesh that is edited here, see :class:`ClipFacts`."""
    ocio: Path | None = None
    """The OpenColorIO configuration that it was imported with."""
    filmed_by: SourceCamera | None = None
    """How the camera moved that filmed it; None if it stood still or nobody knows."""
    has_own_lens: bool = False
    """Whether that camera's lens is another than the import's."""

    @property
    def spec(self) -> ClipSpec:
        """The clip as the protocol's structure. Raises AddonError if the .blend's copy is damaged."""
        try:
            spec = msgspec.json.decode(self.clip_json, type=ClipSpec)
        except msgspec.MsgspecError as error:
            raise AddonError("This shot's clip data cannot be read; import the clip again.", str(error)) from error
        return self.filmed(spec)

    def filmed(self, spec: ClipSpec) -> ClipSpec:
        """``spec`` with how it was filmed."""
        if self.filmed_by is None:
            return spec
        spec = msgspec.structs.replace(spec, source_camera=SourceCameraSpec.pack(self.filmed_by))
        if not self.has_own_lens:
            return spec
        fx, fy, cx, cy = (float(value) for value in self.filmed_by.intrinsics[0])
        said = {"intrinsics": (fx, fy, cx, cy), "intrinsics_source": FILMING_LENS, "fov_deg": None, "focal_px": None}
        return msgspec.structs.replace(spec, **said)
