"""What all movies that are written share: a file that appears whole or not at all, its frames and its sound."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from ex4d.clip.sound import SoundTrack
from ex4d.clip.stereo_box import mark_side_by_side
from ex4d_ground.errors import OutputError, ShapeError
from ex4d_ground.files import atomic_path


@contextmanager
def movie_container(path: Path, options: Mapping[str, str], *, remedy: str, stereo: bool = False) -> Iterator[Any]:
    """Yield an FFmpeg container that becomes ``path`` when the block ends well; an older file stays until then.

    ``stereo`` says in an MP4 or MOV that its pictures hold two eyes side by side. Raises OutputError, with ``remedy``
    where the encoder fails.
    """
    import av
    from av.error import FFmpegError

    with atomic_path(path) as temporary:
        container = av.open(str(temporary), "w", container_options=dict(options))
        try:
            yield container
            container.close()
            if stereo:
                mark_side_by_side(temporary)
        except BaseException as error:
            with suppress(FFmpegError, OSError):  # the file is thrown away; the first error says why
                container.close()
            if isinstance(error, FFmpegError) and not isinstance(error, OSError):
                raise OutputError(f"Cannot encode {path}: {error.strerror}; {remedy}.") from error
            raise


class MovieStream:
    """One video stream of a container, opened by whoever writes its first frame, and the sound beside it."""

    def __init__(self, container: Any, rate: Fraction) -> None:
        self.container, self.rate = container, rate
        self.stream: Any = None
        self.track: SoundTrack | None = None
        self._count = 0

    @contextmanager
    def ended(self) -> Iterator[None]:
        """End stream and sound when the block ends well, and let go of the sound's source however it ends."""
        try:
            yield
            self._flush()
        except BaseException:
            if self.track is not None:
                self.track.release()
            raise

    def mux(self, frame: Any) -> None:
        """Encode the next frame, and as much sound as belongs to it."""
        frame.pts, frame.time_base = self._count, 1 / self.rate
        self.container.mux(self.stream.encode(frame))
        self._count += 1
        if self.track is not None:
            self.track.advance(float(self._count / self.rate))

    def _flush(self) -> None:
        if self.stream is None:
            raise ShapeError("A movie needs at least one frame, none were given.")
        self.container.mux(self.stream.encode())
        if self.track is not None:
            self.track.close(float(self._count / self.rate))
            self.track = None
