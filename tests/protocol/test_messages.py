from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from ex4d_ground.cameras import Trajectory
from ex4d_ground.descriptions import EngineInfo, EstimatorInfo
from ex4d_ground.options import MeshOptions, RasterOptions
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol import requests as r
from protocol.examples import (
    BLOB,
    CLIENT_MESSAGES,
    CLIP,
    GENERATE,
    LIVE_CLIENT_MESSAGES,
    LIVE_SERVER_MESSAGES,
    MESSAGES,
    MESSAGES_1_1,
    MESSAGES_1_3,
    TRAJECTORY,
)

FOLDER = Path(__file__).parent
LIVE_MESSAGES = LIVE_CLIENT_MESSAGES + LIVE_SERVER_MESSAGES
VERSIONS = {"1_0": MESSAGES, "1_1": MESSAGES_1_1 + LIVE_MESSAGES, "1_3": MESSAGES_1_3}


def labelled(messages) -> dict[str, m.ClientMessage | m.ServerMessage]:
    """By type; a second message of one type is "Type 2", and so on."""
    found = {}
    for message in messages:
        name = type(message).__name__
        count = sum(label.partition(" ")[0] == name for label in found)
        found[f"{name} {count + 1}" if count else name] = message
    return found


GOLDEN = [(v, label, message) for v, messages in VERSIONS.items() for label, message in labelled(messages).items()]


def test_examples_cover_every_message():
    names = {t.__name__ for union in (m.ClientMessage, m.ServerMessage) for t in get_args(union)}
    assert {type(example).__name__ for example in MESSAGES + LIVE_MESSAGES} == names


@pytest.mark.parametrize(("version", "label", "message"), GOLDEN, ids=lambda x: x if isinstance(x, str) else "")
def test_bytes_of_a_version_never_change(version, label, message):
    golden = bytes.fromhex(json.loads((FOLDER / f"golden_messages_{version}.json").read_text())[label])
    assert msgspec.msgpack.encode(message) == golden
    assert msgspec.msgpack.decode(golden, type=type(message)) == message


def test_a_peer_that_does_not_name_its_version_speaks_1_0():
    silent = msgspec.msgpack.encode({"type": "Hello", "client_id": "0123456789"})
    hello = msgspec.msgpack.decode(silent, type=m.Hello)
    assert (hello.major, hello.minor) == (1, 0)


def test_an_older_minor_reads_what_a_newer_one_sends():
    """A 1.0 reader has no ``checksum`` and no ``share``: it ignores them and reads the rest."""

    class Item(msgspec.Struct, tag=True):
        job_id: str
        index: int
        name: str
        size: int

    class JobState(msgspec.Struct, tag=True):
        job_id: str
        phase: str

    for message, old in ((MESSAGES_1_1[2], Item), (MESSAGES_1_1[1], JobState)):
        read = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=old)
        assert all(getattr(read, name) == getattr(message, name) for name in old.__struct_fields__)


@pytest.mark.parametrize("message", MESSAGES + LIVE_MESSAGES, ids=lambda x: type(x).__name__)
def test_a_message_survives_the_wire(message):
    decoders = framing.CLIENT_DECODERS if message in CLIENT_MESSAGES + LIVE_CLIENT_MESSAGES else framing.SERVER_DECODERS
    received = framing.decode(framing.encode(message, request_id=7, reply_to=3), decoders)
    assert received.message == message
    assert (received.header.id, received.header.reply_to) == (7, 3)


@pytest.mark.parametrize("message", MESSAGES + LIVE_MESSAGES, ids=lambda x: type(x).__name__)
def test_unknown_fields_of_a_newer_minor_are_ignored(message):
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    fields["field_of_a_newer_minor"] = {"nested": [1, 2]}
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=type(message))
    assert msgspec.to_builtins(decoded) == msgspec.to_builtins(message)


@pytest.mark.parametrize(
    "made", [{"min_angle_deg": -1.0}, {"border_depth": 0.0}, {"mode": "open"}, {"thickness": -1.0}, {"edge_jump": 2.0}]
)
def test_mesh_options_that_cannot_be_are_refused_on_the_wire(made):
    with pytest.raises(msgspec.ValidationError, match="options"):
        msgspec.convert({"options": made}, r.MeshSpec)


def test_options_and_descriptions_on_the_wire_are_those_of_the_library():
    hints = typing.get_type_hints
    assert hints(r.MeshSpec)["options"] is MeshOptions and hints(r.Generate)["raster"] is RasterOptions
    assert hints(m.Capabilities)["engines"] == tuple[EngineInfo, ...]
    assert hints(m.Capabilities)["estimators"] == tuple[EstimatorInfo, ...]


@pytest.mark.parametrize("job_id", ["short", "../../etc/passwd", "a" * 65, "with space", "a/b/c/d/e/f", ""])
def test_a_job_id_that_could_be_a_path_is_refused(job_id):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "CancelJob", "job_id": job_id}, m.CancelJob)


@pytest.mark.parametrize("digest", ["", "ab" * 31, "AB" * 32, "../" + "a" * 61])
def test_a_digest_that_is_none_is_refused(digest):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sha256": digest, "size": 1}, r.BlobRef)


def test_blobs_of_finds_every_blob_once():
    other = r.BlobRef(sha256="cd" * 32, size=9)
    clip = msgspec.structs.replace(CLIP, depth=r.Media(kind="png_sequence", blobs=(other, BLOB)))
    request = msgspec.structs.replace(GENERATE, clip=clip)
    assert list(r.blobs_of(request)) == [BLOB.sha256, other.sha256]


def test_a_trajectory_survives_the_wire():
    rng = np.random.default_rng(3)
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(5, 3))
    sent = Trajectory(poses, rng.uniform(1, 9, size=(5, 4)), rng.normal(size=5), 64, 48, "a" * 200)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(r.TrajectorySpec.pack(sent)), type=r.TrajectorySpec)
    got = decoded.unpack()
    for name in ("world_from_camera", "intrinsics", "source_time"):
        np.testing.assert_array_equal(getattr(sent, name), getattr(got, name))
    assert (got.width, got.height, got.name) == (64, 48, "a" * 128)


def test_a_trajectory_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="source_time has 8 bytes"):
        msgspec.structs.replace(TRAJECTORY, num_frames=2, world_from_camera=bytes(256), intrinsics=bytes(64)).unpack()
    with pytest.raises(ValueError, match="positive pixels"):
        msgspec.structs.replace(TRAJECTORY, intrinsics=bytes(32)).unpack()
