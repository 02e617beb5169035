"""PNGs that are written fast hold the same pixels, and any program reads them."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ex4d.clip import png_writing
from ex4d.clip.png_writing import encode_png
from ex4d_ground.errors import ShapeError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("deflate", ["as installed", "zlib"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (9, 1, 3), (2, 2), (37, 53), (48, 64, 3)])
@pytest.mark.parametrize("content", ["noise", "rows", "columns"])
def test_pixels_come_back_from_two_other_programs(
    monkeypatch: pytest.MonkeyPatch, deflate: str, shape: tuple[int, ...], content: str
) -> None:
    if deflate == "zlib":
        monkeypatch.setattr(png_writing, "deflate", zlib)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    pixels = {"noise": pixels, "rows": np.sort(pixels, 0), "columns": np.sort(pixels, 1)}[content]
    data = encode_png(pixels, {"engine": "preview"})
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert np.array_equal(np.asarray(image), pixels)
        assert image.info["engine"] == "preview"
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert np.array_equal(read[..., ::-1] if pixels.ndim == 3 else read, pixels)


def test_smooth_pictures_become_small_along_rows_and_along_columns() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    noise = np.cumsum(RNG.integers(0, 256, (256, 1)), 0).astype(np.uint8)
    for picture in (ramp + noise, (ramp + noise).T):
        assert len(encode_png(np.ascontiguousarray(picture))) < picture.size / 20


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="must be"):
        encode_png(pixels)
