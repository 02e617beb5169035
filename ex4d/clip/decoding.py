"""From a container's stream to upright pictures: deinterlaced, turned, at a constant rate."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from ex4d.clip.colours import AS_STORED, ColourChoice, FrameReader, Picture
from ex4d.clip.container import capital
from ex4d.clip.left_out import of_video
from ex4d.clip.orientation import OrientationReader
from ex4d.colour import View
from ex4d_ground.errors import ClipError
from ex4d_ground.footage import Fields
from ex4d_ground.remedies import deinterlace, fewer_frames

INTERLACED = "The video is interlaced; the two fields of each frame are made one picture (deinterlaced)."


class Decoder:
    """A stream's stored frames, upright. ``note`` is told once what was done to them."""

    def __init__(
        self,
        container: Any,
        stream: Any,
        label: str,
        note: Callable[[str], None],
        colour: ColourChoice = AS_STORED,
        fields: Fields = "deinterlace",
    ) -> None:
        self._container, self._stream, self._label, self._note = container, stream, label, note
        self._fields = fields
        self._read, self._orientation_of = FrameReader(colour, note), OrientationReader()
        self.turned = False
        """Whether rows and columns are exchanged; known once a frame was read."""

    @property
    def view(self) -> View | None:
        """What the frames' colours are and how they are shown; known once a frame was read."""
        return self._read.view

    def frames(self) -> Iterator[Picture]:
        """Each frame. Raises ClipError where the file is damaged, and for fields that are to be refused."""
        from av.error import FFmpegError

        count = 0
        try:
            for frame in _progressive(self._container.decode(self._stream), self._stream, self._interlaced):
                if count == 0:
                    for text in of_video(frame):
                        self._note(text)
                orientation = self._orientation_of(frame)
                self.turned = orientation.transposed
                yield self._read(frame, orientation)
                count += 1
        except FFmpegError as error:
            text = f"{capital(self._label)} is damaged after frame {count} ({error.strerror}); export it again."
            raise ClipError(text, remedy=fewer_frames(count) if count >= 2 else None) from error

    def _interlaced(self) -> None:
        """The first interlaced frame has come. Raises ClipError."""
        if self._fields == "refuse":
            raise ClipError(
                f"{capital(self._label)} is interlaced: each frame holds two moments.", remedy=deinterlace()
            )
        self._note(INTERLACED)


def _progressive(frames: Iterator[Any], stream: Any, interlaced: Callable[[], None]) -> Iterator[Any]:
    """The frames as they are, until one is interlaced; from there on through a deinterlacer, which keeps the others."""
    for frame in frames:
        if not frame.interlaced_frame:
            yield frame
            continue
        interlaced()
        yield from _deinterlaced(frame, frames, stream)


def _deinterlaced(first: Any, rest: Iterator[Any], stream: Any) -> Iterator[Any]:
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(template=stream, width=first.width, height=first.height, format=first.format)
    weave = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()

    def ready() -> Iterator[Any]:
        while True:
            try:
                yield graph.vpull()
            except (BlockingIOError, EOFError):
                return

    for frame in chain([first], rest):
        graph.vpush(frame)
        yield from ready()
    graph.vpush(None)
    yield from ready()
