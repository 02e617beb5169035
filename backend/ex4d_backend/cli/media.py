"""A shot's files on their way to a backend: which kind they are, and all of them uploaded."""

from collections.abc import Sequence
from pathlib import Path

from ex4d.clip.images import image_files
from ex4d.progress import Watch, check, report
from ex4d_ground.errors import ClipError, DepthError
from ex4d_protocol.client import Client
from ex4d_protocol.events import UploadProgress
from ex4d_protocol.requests import BlobRef, Media, MediaKind

Files = tuple[MediaKind, Sequence[Path]]
_FILES: dict[str, MediaKind] = {".npz": "npz", ".npy": "npy"}
_FOLDERS: dict[str, MediaKind] = {".exr": "exr_sequence", ".png": "png_sequence"}


def video_files(path: Path) -> Files:
    """A video file, or a folder of numbered PNGs. Raises ClipError for an empty folder."""
    if not path.is_dir():
        return "video", [path]
    frames = image_files(path, [".png"])
    if not frames:
        raise ClipError(f"The folder {path} holds no PNG frames; name a video file or a folder of numbered PNGs.")
    return "png_sequence", frames


def depth_files(path: Path) -> Files:
    """An .npz or .npy file, or a folder of EXR or 16-bit PNG frames. Raises DepthError."""
    if not path.is_dir():
        kind = _FILES.get(path.suffix.lower())
        if kind is None:
            raise DepthError(f"{path} is no depth file; use .npz, .npy, or a folder of 16-bit PNG or EXR frames.")
        return kind, [path]
    for suffix, kind in _FOLDERS.items():
        frames = image_files(path, [suffix])
        if frames:
            return kind, frames
    raise DepthError(f"The folder {path} holds no EXR or PNG frames of depth; name another folder or file.")


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
