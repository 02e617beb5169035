"""What a server of an older minor would leave out without a word, and so must not be sent."""

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

import msgspec
import numpy as np

from ex4d_ground.errors import InputError
from ex4d_ground.remedies import update_backend
from ex4d_protocol.base import PROTOCOL_MAJOR
from ex4d_protocol.errors import BackendTooOld
from ex4d_protocol.live import LiveView
from ex4d_protocol.messages import Welcome
from ex4d_protocol.requests import BlobRef, BuildMesh, RenderGuides, TrajectorySpec

Adaptable = TypeVar("Adaptable", bound=msgspec.Struct)

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
    "Generate.eyes": (3, "stereo takes"),
    "ExportTake.right": (3, "exports of stereo takes"),
    "PresetQuery.target": (3, "moves around a point of the world"),
    "ExportTake": (1, "exporting takes"),
    "EstimateDepth": (1, "estimating depth"),
    "FetchWeights": (1, "downloading weights"),
    "ClipSpec.source_camera": (3, "how the filming camera moved"),
    "RenderGuides.planes": (3, "changed planes"),
    "WebPage": (3, "web pages"),
    "SolveCamera": (3, "estimating how the filming camera moved"),
}
"""Request, field, or field=value: the minor that brought it, and what people call it. A field counts where it is set to
something else than its default. What only helps display or speed is not here: leaving that out does no harm."""


def lacks(welcome: Welcome | None, what: str) -> bool:
    """Whether the server that said ``welcome`` is too old for ``what``, a key of :data:`NEW`."""
    return welcome is not None and (welcome.major, welcome.minor) < (PROTOCOL_MAJOR, NEW[what][0])


def require(request: msgspec.Struct, welcome: Welcome) -> None:
    """Raise BackendTooOld, naming all of it, for a request of which the server would leave something out."""
    missing = {NEW[what][1]: NEW[what][0] for what in _used(request) if lacks(welcome, what)}
    if missing:
        raise BackendTooOld(
            f"The backend speaks protocol {welcome.major}.{welcome.minor} and would leave out {', '.join(missing)}, "
            f"new in {PROTOCOL_MAJOR}.{max(missing.values())}.",
            remedy=update_backend(),
        )


def adapted(request: Adaptable, welcome: Welcome | None) -> Adaptable:
    """``request`` in the words of an older server, where it can be said so without a difference to the result.

    World memory of a clip without a source camera shows no more than other frames do, so it is left out. A server that
    knows no source camera draws every frame's mesh as if that had stood still: guides and live views are the same if
    each camera is told relative to the one that filmed the frame it shows, and vertices are in that one's axes in any
    case. What joins frames, a lens that changes, objects, and takes (whose description would be another) cannot be said
    so: such a request stays as it is, for :func:`require` to refuse. Raises BackendTooOld for a move that shows frames
    which the source camera does not have.
    """
    clip = getattr(request, "clip", None)
    if clip is not None and clip.source_camera is None and lacks(welcome, "MeshOptions.world_memory"):
        return _without_memory(request)
    if clip is None or clip.source_camera is None or not lacks(welcome, "ClipSpec.source_camera"):
        return request
    camera = clip.source_camera.unpack()
    if np.ptp(camera.intrinsics, axis=0).max() > 0:
        return request
    bare = msgspec.structs.replace(clip, source_camera=None)
    if isinstance(request, BuildMesh):
        return msgspec.structs.replace(request, clip=bare)
    if not isinstance(request, RenderGuides | LiveView) or request.objects or request.mesh.options.other_frames:
        return request
    try:
        seen = TrajectorySpec.pack(camera.seen_by_source(request.trajectory.unpack()))
    except InputError as error:
        raise BackendTooOld(str(error), code="bad_request") from error
    return msgspec.structs.replace(request, clip=bare, trajectory=seen)


def _without_memory(request: Adaptable) -> Adaptable:
    if not isinstance(request, BuildMesh | RenderGuides | LiveView) or not request.mesh.options.world_memory:
        return request
    options = msgspec.structs.replace(request.mesh.options, world_memory=False)
    return msgspec.structs.replace(request, mesh=msgspec.structs.replace(request.mesh, options=options))


def _used(value: Any) -> Iterator[str]:
    """The keys of :data:`NEW` that ``value`` and what is in it make use of."""
    if isinstance(value, tuple):
        for entry in value:
            yield from _used(entry)
    if not isinstance(value, msgspec.Struct) or isinstance(value, BlobRef):
        return
    kind = type(value)
    if kind.__name__ in NEW:
        yield kind.__name__
    for name, default in _fields(kind):
        held, key = getattr(value, name), f"{kind.__name__}.{name}"
        if held != default:
            keys = (key, f"{key}={held}" if isinstance(held, str) else "")
            yield from (each for each in keys if each in NEW)
        yield from _used(held)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """Names and defaults, kept: msgspec evaluates all annotations anew, a millisecond for a request of a live view."""
    return tuple((field.name, field.default) for field in msgspec.structs.fields(kind))
