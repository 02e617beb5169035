"""What a server of an older minor would leave out without a word, and so must not be sent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ex4d_ground.remedies import update_backend
from ex4d_protocol.base import PROTOCOL_MAJOR
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.messages import Welcome
from ex4d_protocol.requests import BlobRef

NEW: dict[str, tuple[int, str]] = {
    "ClipSpec.depth_channel": (1, "a depth channel"),
    "VideoReading.usual_fps": (1, "a frame rate for pictures that say none"),
    "VideoReading.start_frame": (1, "the number of the first picture"),
    "VideoReading.colour_space": (1, "a colour space"),
    "VideoReading.fields": (1, "refusing interlaced video"),
    "Media.kind=image_sequence": (1, "sequences of other pictures than PNG"),
    "MeshEdit.thickness": (1, "painted thickness"),
    "MeshSpec.thickness": (1, "painted thickness"),
    "MeshSpec.grid_side": (1, "edits of a proxy grid"),
    "MeshOptions.hidden_by": (1, "faces that hide alone"),
    "MeshOptions.thickness": (1, "a thickness of solid occluders"),
    "MeshOptions.thickness_unit": (1, "a unit of thickness"),
    "MeshOptions.edge_jump": (1, "the jump of a depth edge"),
    "MeshOptions.sharpen_edges": (1, "a choice about sharpening depth edges"),
    "MeshOptions.steady_depth": (1, "a choice about steadying depth"),
    "MeshOptions.other_frames": (1, "background from other frames"),
    "MeshOptions.world_memory": (2, "world memory"),
    "RasterOptions.antialias": (1, "antialiased guides"),
    "RenderGuides.objects": (1, "guide objects"),
    "Generate.objects": (1, "guide objects"),
    "Generate.layers": (1, "layers of takes"),
    "ExportTake": (1, "exporting takes"),
    "EstimateDepth": (1, "estimating depth"),
    "FetchWeights": (1, "downloading weights"),
}
"""Request, field, or field=value: the minor that brought it, and what people call it. A field counts where it is set to
something else than its default. What only helps display or speed is not here: leaving that out does no harm."""


def lacks(welcome: Welcome | None, what: str) -> bool:
    """Whether the server that said ``welcome`` is too old for ``what``, a key of :data:`NEW`."""
    return welcome is not None and (welcome.major, welcome.minor) < (PROTOCOL_MAJOR, NEW[what][0])


def require(request: msgspec.Struct, welcome: Welcome) -> None:
    """Raise RequestRefused, naming all of it, for a request of which the server would leave something out."""
    missing = {NEW[what][1]: NEW[what][0] for what in _used(request) if lacks(welcome, what)}
    if missing:
        raise RequestRefused(
            f"The backend speaks protocol {welcome.major}.{welcome.minor} and would leave out {', '.join(missing)}, "
            f"new in {PROTOCOL_MAJOR}.{max(missing.values())}.",
            code="backend_too_old",
            remedy=update_backend(),
        )


def _used(value: Any) -> Iterator[str]:
    """The keys of :data:`NEW` that ``value`` and what is in it make use of."""
    if isinstance(value, tuple):
        for entry in value:
            yield from _used(entry)
    if not isinstance(value, msgspec.Struct) or isinstance(value, BlobRef):
        return
    name = type(value).__name__
    if name in NEW:
        yield name
    for field in msgspec.structs.fields(value):
        held = getattr(value, field.name)
        keys = (f"{name}.{field.name}", f"{name}.{field.name}={held}" if isinstance(held, str) else "")
        if held != field.default:
            yield from (key for key in keys if key in NEW)
        yield from _used(held)
