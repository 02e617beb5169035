"""Live views: what a camera sees of a clip right now, for display while the camera is being moved. New in 1.1.

A live view is no job: nothing of it is stored, it waits for no job, and a newer request takes an older one's place.
"""

from typing import Annotated, Literal

import msgspec

from ex4d_ground.options import RasterOptions
from ex4d_ground.records import Count, Name, Text
from ex4d_protocol.base import Tagged
from ex4d_protocol.maxima import MAX_FRAMES, Settings
from ex4d_protocol.requests import ClipSpec, MeshSpec, Objects, TrajectorySpec

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Frames = Annotated[tuple[Count, ...], msgspec.Meta(max_length=MAX_FRAMES)]
Shares = Annotated[tuple[Share, ...], msgspec.Meta(max_length=MAX_FRAMES)]


Place = Literal["", "finding", "known", "unknown"]
Previewed = Literal["", "finding", "shown"]
GOES_ON = 128
"""Alpha of a hole that goes on a floor or a wall of the place."""


class LiveView(Tagged, frozen=True, kw_only=True):
    """C>S: draw these cameras now. Answered by pictures or coverage, LiveSuperseded, or ErrorReply."""

    view: Name
    """The client's name for what it looks at. Of each view, the newest request for pictures and the newest for
    coverage count; an older one that has not ended is answered LiveSuperseded."""
    sequence: Count
    """The client's count of its requests; comes back in every answer."""
    clip: ClipSpec
    trajectory: TrajectorySpec
    mesh: MeshSpec = MeshSpec()
    raster: RasterOptions = RasterOptions()
    """``source_first_frame`` does not count."""
    scale: Annotated[float, msgspec.Meta(ge=0.02, le=1.0)] = 1.0
    """Size of the pictures as a share of the trajectory's; each side is rounded, and 2 pixels at least."""
    picture: bool = True
    """Whether the pictures are wanted, or only the coverage of each frame."""
    objects: Objects = ()
    """What stands in the scene beside the mesh."""
    object_frames: Count = 0
    """How many positions objects that move have, so that one upload serves every frame; 0: one per camera."""
    object_start: Count = 0
    """Which of them is the first camera's; those of the others follow."""
    on_plane: bool = False
    """New in 1.3. Whether to tell holes that go on a floor or a wall of the place from those that can only be invented.
    The place is found beside the pictures, which do not wait for it: ``place`` of the answers says how far that is."""
    planes: Text = ""
    """New in 1.3. As in RenderGuides."""
    preview: Settings | None = None
    """New in 1.3. Show what a take of the engine ``preview`` with these settings would: holes are filled. ``planes``
    stands in for its setting, and ``temporal`` does not count, since there is no frame before. What that needs is found
    beside the pictures, which are guides until then: ``preview`` of the answers says so. None: guides."""


class _LiveAnswer(Tagged, frozen=True, kw_only=True):
    view: Name
    sequence: Count


class _Told(_LiveAnswer, frozen=True, kw_only=True):
    place: Place = ""
    """New in 1.3. Of a request with ``on_plane``: "finding" while the place is not known yet, so that asking again
    later tells more; "known"; or "unknown" where it never will be, above all where the filming camera moves far. Also
    of one whose preview is filled with the place."""
    why: Text = ""
    """New in 1.3. What kept the place from being found, where that is not the filming camera: a sentence."""


class LivePicture(_Told, frozen=True, kw_only=True):
    """S>C data: one frame's guide; the blob is |u1 [height, width, 4] in C order, or a part of it.

    RGB is the guide's colour, zero where the camera sees nothing of the source; alpha is 255 where it does, else 0,
    or :data:`GOES_ON` in a hole that is known to go on a floor or a wall. Where a preview is shown, RGB is that of all
    pixels.
    """

    frame: Count
    """0-based, of the request's trajectory."""
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    coverage: Share
    preview: Previewed = ""
    """New in 1.3. Of a request with ``preview``: "finding" while this is still the guide, so that asking again later
    gives more; or "shown"."""
    offset: Count = 0
    """Of this part among the picture's bytes; parts come in order."""
    done: bool = True
    """Nothing more will come for this request: the last part of the last frame."""


class LiveCoverage(_Told, frozen=True, kw_only=True):
    """S>C: coverage of some of the request's frames, as they are known; each frame comes once, in any order."""

    frames: Frames = ()
    """0-based, of the request's trajectory."""
    coverage: Shares = ()
    """One for each of ``frames``."""
    on_plane: Shares = ()
    """New in 1.3. The share of each of ``frames`` that goes on a floor or a wall, where ``place`` is known."""
    done: bool = False
    """Nothing more will come for this request."""


class LiveProgress(_LiveAnswer, frozen=True, kw_only=True):
    """S>C: the request waits, at most five times a second: for what draws it to start, or for its clip to be read."""

    stage: Name = ""
    """"starting", or what is done to read the clip."""
    done: Count = 0
    total: Count = 0


class LiveSuperseded(_LiveAnswer, frozen=True, kw_only=True):
    """S>C: a newer request took this one's place; nothing more will come for it."""


LiveReply = LivePicture | LiveCoverage | LiveProgress | LiveSuperseded

__all__ = [
    "GOES_ON",
    "LiveCoverage",
    "LivePicture",
    "LiveProgress",
    "LiveReply",
    "LiveSuperseded",
    "LiveView",
    "Place",
    "Previewed",
]
