"""Objects of a request become the library's, and what does not fit is refused with the numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ex4d_backend.blob_files import blob_path
from ex4d_backend.objects import read_objects
from ex4d_ground.errors import InputError, ShapeError
from ex4d_protocol.requests import BlobRef, ObjectSpec

FRAMES = 3
TRIANGLE = np.array([(0, 0, 2), (1, 0, 2), (0, 1, 2)], np.float32)
FACE = np.array([(0, 1, 2)], np.int32)


@pytest.fixture
def store(tmp_path: Path):
    def put(values: np.ndarray) -> BlobRef:
        data = values.tobytes()
        digest = hashlib.sha256(data).hexdigest()
        path = blob_path(tmp_path, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return BlobRef(sha256=digest, size=len(data))

    return put


def test_still_and_moving_objects_with_and_without_colours(store, tmp_path: Path) -> None:
    path = np.stack([TRIANGLE + t for t in range(FRAMES)])
    colours = np.array([(1, 2, 3)] * 3, np.uint8)
    specs = (
        ObjectSpec(vertices=store(TRIANGLE), faces=store(FACE)),
        ObjectSpec(vertices=store(path), faces=store(FACE), colors=store(colours), moves=True, name="Car"),
    )
    still, moving = read_objects(specs, tmp_path, num_frames=FRAMES)
    np.testing.assert_array_equal(still.vertices, TRIANGLE)
    assert still.colors is None and not still.moves
    np.testing.assert_array_equal(moving.vertices, path)
    np.testing.assert_array_equal(moving.colors, colours)


def test_what_does_not_fit_is_refused(store, tmp_path: Path) -> None:
    def refused(error: type[Exception], match: str, **changes: object) -> None:
        fields = {"vertices": store(TRIANGLE), "faces": store(FACE), "name": "Car", **changes}
        with pytest.raises(error, match=match):
            read_objects((ObjectSpec(**fields),), tmp_path, num_frames=FRAMES)

    refused(ShapeError, "vertices of 'Car' have 0 bytes; 1 positions", vertices=store(FACE[:0]))
    refused(ShapeError, "vertices of 'Car' have 48 bytes", vertices=store(np.zeros((4, 3), np.float32)), moves=True)
    refused(ShapeError, "faces of 'Car' have 8 bytes", faces=store(np.zeros(2, np.int32)))
    refused(ShapeError, "colours of 'Car' have 4 bytes; 3 vertices need 9", colors=store(np.zeros(4, np.uint8)))
    refused(ShapeError, "refer to vertices 0..7, it has 3", faces=store(np.array([(0, 1, 7)], np.int32)))
    refused(InputError, "has expired", faces=BlobRef(sha256="0" * 64, size=12))
