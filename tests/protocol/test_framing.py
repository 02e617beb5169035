from __future__ import annotations

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.arrays import ALLOWED_DTYPES, describe_array, view_array, view_json
from ex4d_protocol.base import MAX_BODY_BYTES, MAX_CHUNK_BYTES
from ex4d_protocol.errors import FrameError
from protocol.examples import CLIENT_MESSAGES, SHA

DECODERS = framing.CLIENT_DECODERS


def frames_of(message, **kwargs):
    return [bytes(f) for f in framing.encode(message, **kwargs)]


def error_of(frames) -> FrameError:
    with pytest.raises(FrameError) as caught:
        framing.decode(frames, DECODERS)
    return caught.value


def test_what_is_not_ours_is_named_as_such():
    for frames in ([], [b""], [b"GET / HTTP/1.1"], [b"EX4"], [b"JSON\x01", b"", b""]):
        assert "not an EX-4D message" in str(error_of(frames))


def test_an_unknown_type_is_reported_with_its_request_id():
    frames = frames_of(m.Ping(), request_id=41)
    frames[1] = msgspec.msgpack.encode(framing.Header(type="FromTheFuture", id=41))
    error = error_of(frames)
    assert (error.code, error.request_id) == ("unknown_type", 41)
    assert "FromTheFuture" in str(error)


def test_another_major_is_reported_even_if_the_body_is_unreadable():
    frames = frames_of(m.Ping(), request_id=5)
    error = error_of([b"EX4D\x09", frames[1], b"\xff\xff"])
    assert (error.code, error.request_id) == ("incompatible", 5)
    assert framing.major_of([b"EX4D\x09"]) == 9


def test_the_sentence_names_the_side_to_upgrade():
    assert framing.incompatible_sentence(server_major=2, client_major=1, client="the add-on").endswith(
        "upgrade the add-on."
    )
    assert framing.incompatible_sentence(server_major=1, client_major=2, client="the add-on").endswith(
        "upgrade the backend."
    )


def test_a_message_without_header_or_body_is_refused():
    magic, header, _ = frames_of(m.Ping())
    assert "header" in str(error_of([magic]))
    assert "without a body" in str(error_of([magic, header]))
    assert "header" in str(error_of([magic, b"x" * 2000, b""]))


def test_oversized_parts_are_refused_on_both_sides():
    frames = frames_of(m.PutChunk(sha256=SHA, size=9, offset=0))
    assert error_of([*frames, bytes(MAX_CHUNK_BYTES + 1)]).code == "too_large"
    assert error_of([*frames[:2], bytes(MAX_BODY_BYTES + 1)]).code == "too_large"
    with pytest.raises(FrameError, match="at most"):
        framing.encode(m.Ping(), blobs=[bytes(MAX_CHUNK_BYTES + 1)])
    assert "at most one" in str(error_of([*frames, b"a", b"b"]))


def test_deep_nesting_is_an_error_and_not_a_crash():
    frames = frames_of(m.Ping())
    frames[1] = msgspec.msgpack.encode(framing.Header(type="SubmitJob"))  # whose body may be long
    for deep in (b"\x91" * 100_000, b"\x82\xa4type\xa9SubmitJob\xa1x" + b"\x91" * 100_000 + b"\xc0"):
        assert error_of([*frames[:2], deep]).code == "bad_message"


def test_a_message_of_endless_parts_holds_no_memory():
    context = zmq.Context()
    sender, receiver = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    try:
        receiver.bind("inproc://parts")
        sender.connect("inproc://parts")
        sender.send_multipart([b"part"] * 1000)
        sender.send(b"next")
        frames = framing.receive(receiver)
        assert frames is not None
        assert len(frames) == framing.MAX_FRAMES + 1
        with pytest.raises(FrameError):
            framing.decode(frames, DECODERS)
        assert [f.bytes for f in framing.receive(receiver) or []] == [b"next"]
        assert framing.receive(receiver) is None
    finally:
        context.destroy(linger=0)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_messages_are_read_or_refused_and_nothing_else(data):
    message = data.draw(st.sampled_from(CLIENT_MESSAGES))
    frames = frames_of(message, request_id=1, blobs=[b"blob"] if data.draw(st.booleans()) else [])
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(frames) - 1))
        at = data.draw(st.integers(0, max(0, len(frames[i]) - 1)))
        match data.draw(st.sampled_from(["set", "cut", "insert", "drop", "repeat", "random"])):
            case "set":
                frames[i] = frames[i][:at] + data.draw(st.binary(min_size=1, max_size=9)) + frames[i][at + 1 :]
            case "cut":
                frames[i] = frames[i][:at]
            case "insert":
                frames[i] = frames[i][:at] + data.draw(st.binary(max_size=40)) + frames[i][at:]
            case "drop" if len(frames) > 1:
                del frames[i]
            case "repeat":
                frames.insert(i, frames[i])
            case _:
                frames[i] = data.draw(st.binary(max_size=200))
    try:
        received = framing.decode(frames, DECODERS)
    except FrameError as error:
        assert str(error)
    else:
        assert type(received.message).__name__ == received.header.type


@pytest.mark.parametrize("dtype", sorted(ALLOWED_DTYPES))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(dtype, order):
    array = np.asarray(np.random.default_rng(1).integers(0, 100, (3, 4, 5)), dtype=dtype, order=order)
    description = describe_array(array)
    got = view_array(bytes(description[3]), dtype=description[0], shape=description[1], order=description[2])
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype
    assert not got.flags.writeable


def test_a_contiguous_array_is_not_copied():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    sent = describe_array(array)[3]
    array[0, 0] = 99
    assert np.frombuffer(sent, np.float32)[0] == 99
    received = bytearray(sent)
    view = view_array(memoryview(received), dtype="<f4", shape=(3, 4))
    received[0:4] = np.float32(7).tobytes()
    assert view[0, 0] == 7


def test_slices_booleans_big_endian_and_empty_arrays_can_be_sent():
    for array in (
        np.arange(20, dtype=np.int32).reshape(4, 5)[::2, 1:],
        np.array([[True, False]]),
        np.arange(3, dtype=">f8"),
        np.zeros((0, 3), np.float32),
    ):
        dtype, shape, order, data = describe_array(array)
        np.testing.assert_array_equal(view_array(data, dtype=dtype, shape=shape, order=order), array)


@pytest.mark.parametrize(
    ("dtype", "shape", "order", "why"),
    [
        ("|O", (3,), "C", "not allowed"),
        ("<f4", (4,), "C", "needs 16"),
        ("<f4", (-3,), "C", "impossible shape"),
        ("<f4", (3,), "K", "order"),
        ("<f4", (1,) * 9, "C", "impossible shape"),
        ("<f4", (2**40, 2**40), "C", "needs"),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(dtype, shape, order, why):
    with pytest.raises(FrameError, match=why):
        view_array(bytes(12), dtype=dtype, shape=shape, order=order)


def test_objects_are_never_sent_and_json_is_checked():
    with pytest.raises(FrameError, match="cannot be sent"):
        describe_array(np.array([{}], dtype=object))
    assert view_json(b'{"a": [1]}') == {"a": [1]}
    for bad in (b"{", b"[" * 100_000):
        with pytest.raises(FrameError, match="is not"):
            view_json(bad)
    with pytest.raises(FrameError, match="not JSON"):
        view_json(b"1", "png")
