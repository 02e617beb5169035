"""A shot's files on their way to a backend: which kind they are, and all of them uploaded."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ex4d.clip.depth import find_depth_pictures
from ex4d.clip.pairing import Source, paired_sources
from ex4d.clip.video import find_pictures
from ex4d.progress import Watch, check, report
from ex4d.types import Clip
from ex4d_ground.errors import ClipError, DepthError
from ex4d_ground.media_kinds import MediaKind, colour_sequence_kind, depth_file_kind, depth_sequence_kind
from ex4d_ground.sequences import FrameFiles
from ex4d_protocol.client import Client
from ex4d_protocol.events import UploadProgress
from ex4d_protocol.requests import BlobRef, Media

Files = tuple[MediaKind, Sequence[Path | bytes]]


@dataclass(frozen=True)
class ShotFiles:
    """A shot's files as they are sent, and what is read here of the same."""

    video: Files
    depth: Files | None
    video_source: Source
    depth_source: Source | None
    note: str = ""
    """What people should know of them."""

    @property
    def start_frame(self) -> int:
        """The number of the first frame."""
        return self.video_source.first_number if isinstance(self.video_source, FrameFiles) else 1


def shot_files(video: Path, depth: Path | None, *, num_frames: int | None = None) -> ShotFiles:
    """A video file or a sequence of PNGs, and its depth. Raises ClipError, DepthError."""
    if depth is None:
        pictures = find_pictures(video)
        if pictures is not None:
            pictures.first(num_frames).require_whole(ClipError)
        return ShotFiles(_video(pictures or video), None, pictures or video, None)
    video_source, depth_source, note = paired_sources(video, depth, num_frames=num_frames)
    if isinstance(video_source, Path):
        video_source = find_pictures(video_source) or video_source
    if isinstance(depth_source, Path):
        depth_source = find_depth_pictures(depth_source) or depth_source
    for files, error in ((video_source, ClipError), (depth_source, DepthError)):
        if isinstance(files, FrameFiles):
            files.first(num_frames).require_whole(error)
    return ShotFiles(_video(video_source), _depth(depth_source), video_source, depth_source, note)


def video_files(path: Path) -> Files:
    """A video file, or a sequence of pictures. Raises ClipError for a sequence that lacks one."""
    pictures = find_pictures(path)
    if pictures is not None:
        pictures.require_whole(ClipError)
    return _video(pictures or path)


def _video(source: Source) -> Files:
    if isinstance(source, Path):
        return "video", [source]
    return colour_sequence_kind(source.paths[0]), source.paths


def _depth(source: Source) -> Files:
    if isinstance(source, FrameFiles):
        return depth_sequence_kind(source.paths[0]), source.paths
    kind = depth_file_kind(source)
    if kind is None:
        raise DepthError(f"{source} is no depth file; use .npz, .npy, or a sequence of 16-bit PNG or EXR frames.")
    return kind, [source]


def clip_files(clip: Clip) -> tuple[Files, Files]:
    """Frames and depth of a clip that differs from its file, as a backend reads them."""
    frames = [cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes() for frame in clip.frames]
    depth = io.BytesIO()
    np.save(depth, clip.depth)
    return ("png_sequence", frames), ("npy", [depth.getvalue()])


def upload_media(client: Client, files: Files, watch: Watch) -> Media:
    """Send a video or depth as :func:`upload_all` does."""
    return Media(kind=files[0], blobs=upload_all(client, files[1], watch))


def upload_all(client: Client, parts: Sequence[Path | bytes], watch: Watch) -> tuple[BlobRef, ...]:
    """Send what the backend lacks. Raises RequestRefused, ConnectionFailed, UploadFailed, Cancelled."""
    uploads = [client.upload(part) for part in parts]
    for upload in uploads:
        while not (upload.at_server or upload.error):
            check(watch.get("cancel"))
            for event in client.poll(0.02):
                if isinstance(event, UploadProgress) and event.stage == "send":
                    report(watch.get("on_progress"), f"upload {event.name}", event.done, event.total)
            if client.state == "incompatible":
                break
            client.wait_readable(0.1)
        client.wait_uploaded(upload)
    return tuple(upload.ref for upload in uploads)
