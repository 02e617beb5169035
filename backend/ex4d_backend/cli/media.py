"""A shot's files on their way to a backend: which kind they are, and all of them uploaded."""

from __future__ import annotations

from pathlib import Path

from ex4d.errors import ClipError, DepthError
from ex4d.progress import CancelToken, OnProgress, Progress
from ex4d_protocol.client import Client
from ex4d_protocol.events import UploadProgress
from ex4d_protocol.requests import Media, MediaKind

Files = tuple[MediaKind, tuple[Path, ...]]


def video_files(path: Path) -> Files:
    """A video file, or a folder of numbered PNGs. Raises ClipError for an empty folder."""
    if not path.is_dir():
        return "video", (path,)
    frames = tuple(sorted(p for p in path.iterdir() if p.suffix.lower() == ".png"))
    if not frames:
        raise ClipError(f"The folder {path} holds no PNG frames; name a video file or a folder of numbered PNGs.")
    return "png_sequence", frames


def depth_files(path: Path) -> Files:
    """An .npz or .npy file, or a folder of EXR or 16-bit PNG frames. Raises DepthError."""
    if not path.is_dir():
        kinds: dict[str, MediaKind] = {".npz": "npz", ".npy": "npy"}
        kind = kinds.get(path.suffix.lower())
        if kind is None:
            raise DepthError(f"{path} is no depth file; use .npz, .npy, or a folder of 16-bit PNG or EXR frames.")
        return kind, (path,)
    suffixes: dict[str, MediaKind] = {".exr": "exr_sequence", ".png": "png_sequence"}
    for suffix, kind in suffixes.items():
        frames = tuple(sorted(p for p in path.iterdir() if p.suffix.lower() == suffix))
        if frames:
            return kind, frames
    raise DepthError(f"The folder {path} holds no EXR or PNG frames of depth; name another folder or file.")


def upload_all(client: Client, files: Files, on_progress: OnProgress, cancel: CancelToken) -> Media:
    """Send what the backend lacks. Raises RequestRefused, ConnectionFailed, UploadFailed, Cancelled."""
    kind, paths = files
    uploads = [client.upload(path) for path in paths]
    for upload in uploads:
        while not (upload.at_server or upload.error):
            cancel.check()
            for event in client.poll(0.02):
                if isinstance(event, UploadProgress) and event.stage == "send":
                    on_progress(Progress(f"upload {event.name}", event.done, event.total))
            if client.state == "incompatible":
                break
            client.wait_readable(0.1)
        client.wait_uploaded(upload)
    return Media(kind=kind, blobs=tuple(upload.ref for upload in uploads))
