"""The camera that filmed a shot's clip, estimated by a backend instead of here."""

from typing import Any

from ex4d.clip import with_source_camera
from ex4d.progress import Watch
from ex4d.shots.filming import estimate_notes
from ex4d.shots.options import ShotOptions
from ex4d.types import Clip
from ex4d_backend.cli.media import upload_media, video_files
from ex4d_backend.cli.received import follow
from ex4d_ground.errors import CameraNotSolvedError
from ex4d_ground.takes import source_camera_from
from ex4d_protocol import messages as m
from ex4d_protocol import minors
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import ClipSpec, SolveCamera


def solves_there(client: Client, shot: ShotOptions) -> bool:
    """Whether the shot's filming camera is to be estimated, and the backend can do that."""
    return shot.estimates_camera and not minors.lacks(client.welcome, "SolveCamera")


def filmed_there(
    client: Client, shot: ShotOptions, clip: Clip, spec: ClipSpec, watch: Watch
) -> tuple[Clip, tuple[str, ...]]:
    """``clip`` with the camera that the backend finds for ``spec``, and what people should know of it.

    Raises CameraNotSolvedError with the backend's reason where it found none, ClipError for a matte, the protocol's
    errors, Cancelled.
    """
    matte = None if shot.source_matte is None else upload_media(client, video_files(shot.source_matte), watch)
    info: dict[str, Any] = {}

    def keep(item: ItemReceived) -> None:
        if item.name == "camera_info":
            info.update(item.json())

    job_id = client.submit(SolveCamera(clip=spec, matte=matte), title=f"Camera of {clip.name}"[:128])
    follow(client, job_id, keep, watch)
    client.ask(m.AckResults(job_id=job_id))
    if not info.get("solved") or info.get("camera") is None:
        reason = str(info.get("failure") or "The backend found no camera for this clip; give one.")
        raise CameraNotSolvedError(reason)
    lines, lost = (info.get(name) or () for name in ("notes", "lost"))
    notes = estimate_notes(clip, [str(line) for line in lines], [int(t) for t in lost], still=bool(info.get("still")))
    return with_source_camera(clip, source_camera_from(info["camera"])), notes
