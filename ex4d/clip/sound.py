"""Sound beside frames that are written: copied as it is where the container takes it, else as AAC."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

from ex4d.clip.container import open_container
from ex4d.types import Sound
from ex4d_ground.errors import ClipError

_COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_s16be", "pcm_s24be"},
}
_RATE_OF_AAC = 192_000


def stream_of_sound(container: Any) -> Any | None:
    """The first stream of sound that FFmpeg can decode (of spatial sound and the like it knows the name alone)."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


class SoundTrack:
    """The sound of a source, written into a container piece by piece, as its frames are."""

    def __init__(self, target: Any, suffix: str, sound: Sound) -> None:
        self._opened = open_container(sound.path, str(sound.path))
        self._source = self._opened.__enter__()
        self._start, self._target = sound.start, target
        self._packets: Generator[tuple[float, Any], None, None] | None = None
        stream = stream_of_sound(self._source)
        if stream is None:
            self.release()
            raise ClipError(f"{sound.path} has no sound that can be read; the file has changed.")
        name = stream.codec_context.name
        self._copied = suffix == ".mkv" or name in _COPIED.get(suffix, ())
        if self._copied:
            self._stream = target.add_stream_from_template(stream)
        else:
            self._stream = target.add_stream("aac", rate=min(stream.rate or 48000, 96000))
            self._stream.bit_rate = _RATE_OF_AAC
            self._stream.layout = stream.layout.name if stream.channels <= 8 else "stereo"
        self._packets = self._pieces(stream)
        self._next = next(self._packets, None)

    def advance(self, until: float) -> None:
        """Write what is heard before ``until``, in seconds."""
        while self._next is not None and self._next[0] < until:
            self._target.mux(self._next[1])
            self._next = None if self._packets is None else next(self._packets, None)

    def close(self, until: float) -> None:
        """Write the rest of what is heard before ``until``."""
        self.advance(until)
        if not self._copied:
            self._target.mux(self._stream.encode(None))
        self.release()

    def release(self) -> None:
        """Close the source."""
        if self._packets is not None:
            self._packets.close()
        self._opened.__exit__(None, None, None)

    def _pieces(self, stream: Any) -> Generator[tuple[float, Any], None, None]:
        """When a piece begins, and its packets; damage ends them, and pictures go on without."""
        from av.error import FFmpegError

        with suppress(FFmpegError):
            yield from self._copies(stream) if self._copied else self._encoded(stream)

    def _copies(self, stream: Any) -> Iterator[tuple[float, Any]]:
        shift = round(self._start / stream.time_base)
        for packet in self._source.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            begins = float(packet.pts * stream.time_base) - self._start
            if self._start > 0 and begins < 0:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._stream
            yield begins, packet

    def _encoded(self, stream: Any) -> Iterator[tuple[float, Any]]:
        from av.audio.resampler import AudioResampler

        resampler = AudioResampler("fltp", self._stream.layout.name, self._stream.rate)
        written = 0
        skipped = round(self._start * self._stream.rate)
        for frame in self._source.decode(stream):
            frame.pts = None
            for piece in resampler.resample(frame):
                if skipped >= piece.samples:  # to the next piece: a fiftieth of a second at most
                    skipped -= piece.samples
                    continue
                skipped = 0
                piece.pts = written
                begins = written / self._stream.rate
                written += piece.samples
                yield begins, self._stream.encode(piece)
