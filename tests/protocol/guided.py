"""Coverage-guided fuzzing of everything that reads bytes from a peer; run by ``test_fuzz.py`` or by hand:

    python tests/protocol/guided.py CORPUS_FOLDER -runs=200000

Needs atheris (Linux and macOS). An input is frames behind four-byte lengths; the corpus starts with every message.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import atheris  # pyright: ignore[reportMissingImports] - only where it is installed

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["ex4d_protocol"]):
    from ex4d_protocol import framing
    from ex4d_protocol.arrays import view_array, view_json
    from ex4d_protocol.client import Client
    from ex4d_protocol.errors import DamagedItem, FrameError
    from ex4d_protocol.messages import BlobsMissing, ChunkAck, Item
    from ex4d_protocol.tracked_job import TrackedJob

from protocol.examples import MESSAGES, MESSAGES_1_1

CLIENT = Client("tcp://127.0.0.1:1")


def pack(frames: list[bytes]) -> bytes:
    """Frames as one input."""
    return b"".join(struct.pack("<I", len(f)) + f for f in frames)


def unpack(data: bytes) -> list[bytes]:
    """The frames of an input; a length beyond its end takes the rest."""
    frames: list[bytes] = []
    while len(data) >= 4 and len(frames) < 8:
        (length,) = struct.unpack_from("<I", data)
        frames.append(data[4 : 4 + length])
        data = data[4 + length :]
    return frames


def one_input(data: bytes) -> None:
    """Read the frames as a server and as a client would. Only the errors said to be raised may come out."""
    frames = unpack(data)
    for decoders in (framing.CLIENT_DECODERS, framing.SERVER_DECODERS):
        try:
            received = framing.decode(frames, decoders)
        except FrameError as error:
            assert str(error)
            continue
        use(received)


def use(received: framing.Received) -> None:
    """What a receiver does with it next."""
    message: Any = received.message
    blob: Any = (received.blobs or (b"",))[0]
    try:
        if isinstance(message, Item):
            TrackedJob(message.job_id, stage="confirmed").take_item(message, blob)
            view_array(memoryview(blob), dtype=message.dtype, shape=message.shape, order=message.order)
            view_json(memoryview(blob))
        elif isinstance(message, ChunkAck):
            CLIENT._uploads.take_ack(message, received.header.reply_to)
        elif isinstance(message, BlobsMissing):
            CLIENT._uploads.take_missing(message, 0)
    except (FrameError, DamagedItem) as error:
        assert str(error)


def write_corpus(folder: Path) -> None:
    """One input for every message of every version."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, message in enumerate([*MESSAGES, *MESSAGES_1_1]):
        blobs = [b"\0" * 24] if isinstance(message, Item) else []
        frames = [bytes(f) for f in framing.encode(message, request_id=3, blobs=blobs)]
        (folder / f"message-{i:03d}").write_bytes(pack(frames))


def main() -> None:
    """Fuzz until libFuzzer's own limits (``-runs``, ``-max_total_time``) are reached."""
    write_corpus(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
