"""A seeded mutator of messages: what a broken or hostile peer could send, much faster than hypothesis draws it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from ex4d_protocol import framing
from protocol.examples import CLIENT_MESSAGES, LIVE_CLIENT_MESSAGES, LIVE_SERVER_MESSAGES, MESSAGES_1_1, SERVER_MESSAGES

JUNK_VALUES = (
    None,
    True,
    -1,
    2**63,
    -(2**63),
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    b"",
    b"\0" * 99,
    [],
    {},
)
NUMBERS_WORTH_A_TRY = (0x00, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xC4, 0xC6, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF)


def frames_of(message: msgspec.Struct, chance: random.Random) -> list[bytes]:
    blobs = [chance.randbytes(chance.choice((0, 1, 4, 300)))] if chance.random() < 0.3 else []
    return [bytes(f) for f in framing.encode(message, request_id=chance.randrange(1, 1000), blobs=blobs)]


def mutated(chance: random.Random, frames: list[bytes], history: list[list[bytes]]) -> list[bytes]:
    """One to four changes: cut, grown, overwritten, wrong types, wrong magic, replayed, mixed with another message."""
    frames = list(frames)
    for _ in range(chance.randint(1, 4)):
        i = chance.randrange(len(frames))
        frame = frames[i]
        at = chance.randrange(len(frame) + 1)
        match chance.randrange(12):
            case 0:
                frames[i] = frame[:at]  # truncated
            case 1:
                frames[i] = frame[:at] + chance.randbytes(chance.choice((1, 2, 9, 4000))) + frame[at:]
            case 2:
                frames[i] = frame[:at] + bytes([chance.choice(NUMBERS_WORTH_A_TRY)]) + frame[at + 1 :]
            case 3:
                frames[i] = frame[:at] + bytes([chance.randrange(256)]) + frame[at + 1 :]
            case 4:
                frames[i] = chance.randbytes(chance.choice((0, 1, 5, 60, 2000)))
            case 5 if len(frames) > 1:
                del frames[i]
            case 6:
                frames.insert(i, frame)
            case 7:
                chance.shuffle(frames)
            case 8 if history:
                frames[i:] = chance.choice(history)[i:] or [b""]  # interleaved with an earlier message
            case 9:
                frames[0] = chance.choice(
                    (b"EX4D\x00", b"EX4D\x02", b"EX4D", b"ex4d\x01", b"EX4D\x01\x01", b"\x01EX4D")
                )
            case 10:
                frames[min(2, len(frames) - 1)] = with_wrong_values(frame, chance)
            case 11:
                frames[i] = frame[:at] + bytes([chance.choice((0x91, 0x81, 0xDD))]) * chance.choice((10, 3000))
    return frames or [b""]


def with_wrong_values(frame: bytes, chance: random.Random) -> bytes:
    """The same map with one value of another type or size; ``frame`` itself if it is no map."""
    try:
        fields = msgspec.msgpack.decode(frame)
        if isinstance(fields, dict) and fields:
            fields[chance.choice(list(fields))] = chance.choice(JUNK_VALUES)
            return msgspec.msgpack.encode(fields)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError, OverflowError):
        pass
    return frame


def stream(seed: int, count: int, *, to_server: bool) -> Iterator[list[bytes]]:
    """``count`` messages, nearly all damaged, a few whole; the same ones for the same seed."""
    chance, history = random.Random(seed), []
    to_client = SERVER_MESSAGES + MESSAGES_1_1[1:] + LIVE_SERVER_MESSAGES
    examples = CLIENT_MESSAGES + LIVE_CLIENT_MESSAGES if to_server else to_client
    for _ in range(count):
        frames = frames_of(chance.choice(examples), chance)
        history = [*history[-20:], frames]
        yield frames if chance.random() < 0.05 else mutated(chance, frames, history)
