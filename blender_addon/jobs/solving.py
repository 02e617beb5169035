"""Having the backend estimate how the camera moved that filmed a clip, and keeping its picture of what fits."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ex4d_ground.arrays import Bool
from ex4d_ground.media_kinds import MediaKind
from ex4d_ground.remedies import update_backend
from ex4d_protocol import events as ev
from ex4d_protocol import minors
from ex4d_protocol.client import Upload
from ex4d_protocol.requests import ClipSpec, Media, SolveCamera

from ..scene.clip import StoredClip
from ..work import files
from ..work.errors import AddonError
from ..work.link import BackendLink
from ..work.tasks import Steps
from .clip import EditedClip, run_with_clip
from .media import find_video

PICTURE = "filming_residuals.png"
"""In the shot's folder: followed points, green where the estimated camera explains them, red where not."""

FindFocal = Literal["fixed", "shared", "changing"]


@dataclass(frozen=True)
class Solved:
    """What the backend says of the camera."""

    info: dict[str, Any]
    """Its ``camera_info``."""


def solve(
    link: BackendLink,
    clip: StoredClip,
    folder: Path,
    *,
    matte: Path | Sequence[Bool] | None,  # a file or folder, or [H, W] for each frame, of any size of the clip's shape
    find_focal: FindFocal,
) -> Steps[Solved]:
    """Have the camera of ``clip`` estimated without what is white in ``matte``; the picture goes to ``folder``.

    A camera that could not be found is a result, with a sentence that says why. Raises AddonError for a backend that
    is too old, and if it says nothing.
    """
    if minors.lacks(link.client.welcome, "SolveCamera"):
        raise AddonError("The backend is too old to estimate the filming camera.", remedy=update_backend())
    kind: MediaKind = "png_sequence"
    parts: Sequence[Path | bytes] = ()
    if isinstance(matte, Path):
        found = find_video(matte)
        kind, parts = found.kind, found.paths
    elif matte is not None:
        parts = [png_of(mask) for mask in matte]
    sent = {part: link.client.upload(part) for part in dict.fromkeys(parts)}  # frames may be painted alike
    uploads = tuple(sent[part] for part in parts)
    info: dict[str, Any] = {}

    def on_item(item: ev.ItemReceived) -> None:
        if item.name == "camera_info":
            info.update(item.json())
        elif item.name == "residuals":
            files.write_whole(folder / PICTURE, bytes(item.data))

    job_id = yield from run_with_clip(
        link, EditedClip(clip), _request(kind, uploads, find_focal), more=tuple(sent.values()),
        title="Estimate the filming camera", on_item=on_item,
    )  # fmt: skip
    link.client.ack(job_id)
    if not info:
        raise AddonError("The backend sent no camera for this clip; look at the backend's log.")
    return Solved(info)


def _request(kind: MediaKind, uploads: tuple[Upload, ...], find_focal: FindFocal) -> Callable[[ClipSpec], SolveCamera]:
    def make(clip: ClipSpec) -> SolveCamera:
        matte = Media(kind=kind, blobs=tuple(upload.ref for upload in uploads)) if uploads else None
        return SolveCamera(clip=clip, matte=matte, find_focal=find_focal)

    return make


def png_of(mask: Bool) -> bytes:  # [H, W]
    """A grey picture, white where ``mask`` is true."""
    height, width = mask.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with its filter, 0
    rows[:, 1:] = mask * np.uint8(255)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    written = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
               for kind, data in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)
