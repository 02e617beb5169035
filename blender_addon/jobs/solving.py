"""Having the backend estimate how the camera moved that filmed a clip, and keeping its picture of what fits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from .media import MediaFiles, find_video

PICTURE = "filming_residuals.png"
"""In the shot's folder: followed points, green where the estimated camera explains them, red where not."""

FindFocal = Literal["fixed", "shared", "changing"]


@dataclass(frozen=True)
class Solved:
    """What the backend says of the camera."""

    info: dict[str, Any]
    """Its ``camera_info``."""


def solve(
    link: BackendLink, clip: StoredClip, folder: Path, *, matte: Path | None, find_focal: FindFocal
) -> Steps[Solved]:
    """Have the camera of ``clip`` estimated without what is white in ``matte``; the picture goes to ``folder``.

    A camera that could not be found is a result, with a sentence that says why. Raises AddonError for a backend that
    is too old, and if it says nothing.
    """
    if minors.lacks(link.client.welcome, "SolveCamera"):
        raise AddonError("The backend is too old to estimate the filming camera.", remedy=update_backend())
    masks = None if matte is None else find_video(matte)
    uploads = () if masks is None else tuple(link.client.upload(path) for path in masks.paths)
    info: dict[str, Any] = {}

    def on_item(item: ev.ItemReceived) -> None:
        if item.name == "camera_info":
            info.update(item.json())
        elif item.name == "residuals":
            files.write_whole(folder / PICTURE, bytes(item.data))

    job_id = yield from run_with_clip(
        link, EditedClip(clip), _request(masks, uploads, find_focal), more=uploads,
        title="Estimate the filming camera", on_item=on_item,
    )  # fmt: skip
    link.client.ack(job_id)
    if not info:
        raise AddonError("The backend sent no camera for this clip; look at the backend's log.")
    return Solved(info)


def _request(
    masks: MediaFiles | None, uploads: tuple[Upload, ...], find_focal: FindFocal
) -> Callable[[ClipSpec], SolveCamera]:
    def make(clip: ClipSpec) -> SolveCamera:
        matte = None if masks is None else Media(kind=masks.kind, blobs=tuple(upload.ref for upload in uploads))
        return SolveCamera(clip=clip, matte=matte, find_focal=find_focal)

    return make
