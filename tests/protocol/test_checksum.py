from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d_protocol.checksum import BLOCK_BYTES, Checksum, checksum_of


def by_the_book(data: bytes) -> str:
    """The specification's words, one word at a time."""
    data += b"\0" * (-len(data) % BLOCK_BYTES)
    total = weighted = 0
    for k in range(len(data) // BLOCK_BYTES):
        block = data[k * BLOCK_BYTES : (k + 1) * BLOCK_BYTES]
        s = sum(int.from_bytes(block[i : i + 8], "little") for i in range(0, BLOCK_BYTES, 8))
        total, weighted = total + s, weighted + (k + 1) * s
    return f"{total % 2**64:016x}{weighted % 2**64:016x}"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 13])
def test_the_checksum_is_what_the_specification_says(size):
    data = random.Random(size).randbytes(size)
    assert checksum_of(data) == by_the_book(data)


def test_it_wraps_around_as_unsigned_words_do():
    data = b"\xff" * (3 * BLOCK_BYTES)
    assert checksum_of(data) == by_the_book(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=6), st.integers(0, 99))
def test_pieces_of_any_size_give_the_checksum_of_the_whole(sizes, seed):
    pieces = [random.Random(seed + i).randbytes(size) for i, size in enumerate(sizes)]
    checksum = Checksum()
    for piece in pieces:
        checksum.add(memoryview(piece))
    assert checksum.digest() == checksum_of(b"".join(pieces))


def test_a_flipped_bit_a_missing_end_and_swapped_blocks_are_seen():
    data = random.Random(1).randbytes(4 * BLOCK_BYTES + 100)
    good = checksum_of(data)
    rng = random.Random(2)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        assert checksum_of(bytes(damaged)) != good
    assert checksum_of(data[:-1]) != good
    assert checksum_of(data[:BLOCK_BYTES] + bytes(len(data) - BLOCK_BYTES)) != good
    swapped = data[BLOCK_BYTES : 2 * BLOCK_BYTES] + data[:BLOCK_BYTES] + data[2 * BLOCK_BYTES :]
    assert checksum_of(swapped) != good
