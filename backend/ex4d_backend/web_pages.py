"""Shots as web pages, with takes that a client sends along."""

from ex4d.dwmesh import DWMesh
from ex4d.web import WebOptions, shot_source, take_source, write_page
from ex4d_backend.blob_files import blob_path
from ex4d_backend.limits import too_many_pixels
from ex4d_backend.recording import JobContext
from ex4d_backend.sources import link_blob
from ex4d_ground.errors import InputError
from ex4d_ground.files import frame_name
from ex4d_ground.takes import TAKE_FILE, decode_take
from ex4d_protocol.requests import WebPage


def record_page(request: WebPage, mesh: DWMesh, context: JobContext) -> None:
    """Write the page of ``request``. Raises ClipError, InputError, SettingError, ShapeError, OutputError."""
    sources, replays = [shot_source(mesh)], []
    if request.take is not None:
        folder = context.scratch / f"take_{request.take_number:03d}"
        path = blob_path(context.blobs, request.take.sha256)
        if not path.is_file():
            raise InputError("The take's description has expired on the backend; send it again.")
        info = decode_take(path.read_bytes(), "The take's description")
        text = too_many_pixels(info.num_frames, info.width, info.height, context.clip_pixels)
        if len(request.frames) != info.num_frames:
            text = f"The take has {info.num_frames} frames, but {len(request.frames)} pictures were sent; send all."
        if text:
            raise InputError(text)
        for i, blob in enumerate(request.frames):
            link_blob(context.blobs, blob, folder / frame_name(i))
        (folder / TAKE_FILE).write_text(info.encoded(), encoding="utf-8")
        source, replay = take_source(folder, mesh, **context.watch)
        sources.append(source)
        replays.append(replay)
    page = write_page(context.scratch / "page", sources, replays, WebOptions(side=request.side), **context.watch)
    context.recorder.file("page", -1, page)
