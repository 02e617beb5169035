"""Layers of takes, and finished takes in the formats of other programs."""

import math
from pathlib import Path

from msgspec import structs

from ex4d.colour.ocio import colour_space_by_name
from ex4d.export import export_take
from ex4d.frames.ahead import in_order, thread_count
from ex4d.progress import reported
from ex4d.takes import write_layer
from ex4d.types import Sound, Take
from ex4d_backend.blob_files import blob_path
from ex4d_backend.limits import too_many_pixels
from ex4d_backend.recording import JobContext
from ex4d_backend.sources import link_blob
from ex4d_ground import stages
from ex4d_ground.errors import InputError
from ex4d_ground.exports import get_kind
from ex4d_ground.files import frame_name
from ex4d_ground.stereo import RIGHT
from ex4d_ground.takes import LAYERS, TAKE_FILE, TakeInfo, decode_take
from ex4d_protocol.requests import BlobRef, ExportTake

LAYERS_ITEM = "layers"
_WHAT = "The take's description"


def record_layers(take: Take, context: JobContext, name: str = LAYERS_ITEM) -> None:
    """One item ``name`` for each frame's layers, where the take has any."""
    layers = take.layers
    if layers is None:
        return
    folder = context.scratch / LAYERS
    folder.mkdir(exist_ok=True)

    def written(i: int) -> Path:
        path = folder / frame_name(i, ".exr")
        write_layer(path, take, layers, i)
        return path

    count = len(take.frames)
    made = in_order(written, range(count), thread_count(), context.watch.get("cancel"))
    for i, path in enumerate(reported(made, stages.LAYERS, count, **context.watch)):
        context.recorder.file(name, i, path)


def export(request: ExportTake, context: JobContext) -> None:
    """Write the take of ``request`` as its kind asks. Raises ClipError, InputError, SettingError, ShapeError."""
    info = _checked(request, context)
    folder = context.scratch / "take_001"
    for i, blob in enumerate(request.frames):
        link_blob(context.blobs, blob, folder / frame_name(i))
    for i, blob in enumerate(request.layers):
        link_blob(context.blobs, blob, folder / LAYERS / frame_name(i, ".exr"))
    for i, blob in enumerate(request.right):
        link_blob(context.blobs, blob, folder / RIGHT / frame_name(i))
    for i, blob in enumerate(request.right_layers):
        link_blob(context.blobs, blob, folder / RIGHT / LAYERS / frame_name(i, ".exr"))
    (folder / TAKE_FILE).write_text(info.encoded(), encoding="utf-8")
    sound = None
    if request.sound is not None:
        sound = Sound(link_blob(context.blobs, request.sound, context.scratch / "sound.video"), request.sound_start)
    name = "{frame}" if get_kind(request.kind).numbered else "movie"  # the client has names of its own
    files = export_take(
        folder,
        request.kind,
        context.scratch / "out",
        name=name,
        eyes=request.eyes or None,
        sound=sound,
        **context.watch,
    )
    for i, path in enumerate(files):
        context.recorder.file("file", i if len(files) > 1 else -1, path)


def _checked(request: ExportTake, context: JobContext) -> TakeInfo:
    """What the take says of itself, as it will lie here. Raises ClipError, InputError, SettingError."""
    path = blob_path(context.blobs, request.take.sha256)
    if not path.is_file():
        raise InputError("The take's description has expired on the backend; send it again.")
    info = decode_take(path.read_bytes(), _WHAT)
    if len(request.frames) != info.num_frames or len(request.layers) not in (0, info.num_frames):
        counts = f"{len(request.frames)} pictures and {len(request.layers)} layers"
        raise InputError(f"The take has {info.num_frames} frames, but {counts} were sent; send all of them.")
    both = info.eyes is not None
    if len(request.right) != both * info.num_frames or len(request.right_layers) != both * len(request.layers):
        counts = f"{len(request.right)} pictures and {len(request.right_layers)} layers"
        raise InputError(f"The take has {info.num_frames} frames, but of its right eye {counts} were sent; send all.")
    if not math.isfinite(request.sound_start):
        raise InputError(f"Sound cannot begin at {request.sound_start} seconds.")
    text = too_many_pixels(info.num_frames, (1 + both) * info.width, info.height, context.clip_pixels)
    if text:
        raise InputError(text)
    footage = structs.replace(info.footage, sound=request.sound is not None)
    info = structs.replace(info, footage=footage, video=False, layers=LAYERS if request.layers else "")
    if not request.layers:
        return structs.replace(info, layer_colour=False)
    return _with_configuration(info, request.ocio, context.blobs)


def _with_configuration(info: TakeInfo, ocio: BlobRef | None, blobs: Path) -> TakeInfo:
    """A named colour space is looked up in the configuration that was sent, else in the server's own."""
    colour = info.colour
    if colour is None or colour.transfer != "named" or not colour.name:
        return info
    found = colour_space_by_name(colour.name, None if ocio is None else blob_path(blobs, ocio.sha256))
    return structs.replace(info, colour=structs.replace(colour, config=found.config))
