"""Depth in each form it comes in, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from ex4d.clip import read_depth
from ex4d.progress import CancelToken
from ex4d_ground.arrays import Float32
from ex4d_ground.errors import Cancelled, DepthError, SettingError


def write_exrs(folder: Path, depth: Float32, channels) -> Path:
    folder.mkdir()
    for i, frame in enumerate(depth):
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, channels(frame)) as file:
            file.write(str(folder / f"depth_{i + 1}.exr"))
    return folder


def write_png16(folder: Path, values) -> Path:
    folder.mkdir()
    for i, frame in enumerate(values):
        cv2.imwrite(str(folder / f"{i + 1}.png"), frame)
    return folder


def test_npz_takes_the_key_depth_or_the_only_array(tmp_path: Path, depth: Float32) -> None:
    np.savez(tmp_path / "two.npz", depth=depth, other=np.zeros(3))
    np.savez_compressed(tmp_path / "one.npz", anything=depth)
    for name in ("two.npz", "one.npz"):
        assert np.array_equal(read_depth(tmp_path / name), depth)
    np.savez(tmp_path / "which.npz", near=depth, far=depth)
    with pytest.raises(DepthError, match=r"holds 2 arrays \(near, far\) and none is called 'depth'"):
        read_depth(tmp_path / "which.npz")


def test_npy_and_wider_or_narrower_floats_become_float32(tmp_path: Path, depth: Float32) -> None:
    for dtype in (np.float64, np.float16, np.float32):
        np.save(tmp_path / "d.npy", depth.astype(dtype))
        read = read_depth(tmp_path / "d.npy")
        assert read.dtype == np.float32
        assert np.array_equal(read, depth.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("axis", [1, 3])
def test_a_channel_axis_of_one_is_dropped(tmp_path: Path, depth: Float32, axis: int) -> None:
    np.save(tmp_path / "d.npy", np.expand_dims(depth, axis))
    assert np.array_equal(read_depth(tmp_path / "d.npy"), depth)


@pytest.mark.comes_in("Depth", "16-bit PNGs with a scale (0.001 for millimetres)", "depth in the scale's unit")
def test_png_steps_times_scale(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).integers(1, 65536, (12, 5, 6), dtype=np.uint16)
    folder = write_png16(tmp_path / "mm", steps)
    assert np.allclose(read_depth(folder, scale=0.001), steps * 0.001, rtol=1e-6)


@pytest.mark.comes_in("Depth", "whole numbers without a scale", "refused: nothing says their unit")
def test_whole_numbers_need_a_scale(tmp_path: Path) -> None:
    folder = write_png16(tmp_path / "mm", np.ones((2, 5, 6), np.uint16))
    np.save(tmp_path / "d.npy", np.ones((2, 5, 6), np.int32))
    for source in (folder, tmp_path / "d.npy"):
        with pytest.raises(DepthError, match="whose unit is not known") as caught:
            read_depth(source)
        assert "--depth_scale" in caught.value.text("cli")
    with pytest.raises(SettingError, match=r"must be a positive number, got -1"):
        read_depth(folder, scale=-1)


def test_8_bit_and_coloured_pngs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=r"has 8 bits, which is too coarse"):
        read_depth(write_png16(tmp_path / "a", np.ones((2, 5, 6), np.uint8)), scale=1)
    colours = np.random.default_rng(0).integers(0, 65536, (2, 5, 6, 3), dtype=np.uint16)
    with pytest.raises(DepthError, match=r"is a colour image"):
        read_depth(write_png16(tmp_path / "b", colours), scale=1)


def colour_and(name: str):
    return lambda d: {**{f"ViewLayer.Combined.{c}": d * i for i, c in enumerate("RGBA", 2)}, name: d}


@pytest.mark.parametrize(
    "channels",
    [
        lambda d: {"Z": d},
        lambda d: {"V": d},
        lambda d: {"Y": d},
        lambda d: {"R": d, "G": d, "B": d},
        colour_and("depth.Z"),
        colour_and("ViewLayer.Depth.Z"),
        colour_and("Depth.V"),
    ],
)
def test_exr_depth_is_found_whatever_the_renderer_calls_it(tmp_path: Path, depth: Float32, channels) -> None:
    assert np.array_equal(read_depth(write_exrs(tmp_path / "exr", depth, channels)), depth)


def test_half_floats_in_exr_are_read(tmp_path: Path, depth: Float32) -> None:
    half = depth.astype(np.float16)
    read = read_depth(write_exrs(tmp_path / "exr", half, lambda d: {"Z": d}))
    assert np.array_equal(read, half.astype(np.float32))


def test_exr_without_or_with_several_depths_lists_the_channels(tmp_path: Path, depth: Float32) -> None:
    colour = write_exrs(tmp_path / "colour", depth, lambda d: {"R": d, "G": d * 2, "B": d * 3})
    with pytest.raises(DepthError, match=r"has no depth channel, only: B, G, R"):
        read_depth(colour)
    assert np.array_equal(read_depth(colour, channel="G"), depth * 2)
    two = write_exrs(tmp_path / "two", depth, lambda d: {"A.Depth.Z": d, "B.Depth.Z": d * 2})
    with pytest.raises(DepthError, match=r"several depth channels \(A\.Depth\.Z, B\.Depth\.Z\)") as caught:
        read_depth(two)
    assert "--depth_channel" in caught.value.text("cli")
    assert np.array_equal(read_depth(two, channel="B.Depth.Z"), depth * 2)
    with pytest.raises(DepthError, match=r"no channel 'Q'; it has: A\.Depth\.Z"):
        read_depth(two, channel="Q")


def test_num_frames_reads_no_further(tmp_path: Path, depth: Float32) -> None:
    folder = write_exrs(tmp_path / "exr", depth, lambda d: {"Z": d})
    (folder / "depth_7.exr").write_bytes(b"broken, but never opened")
    assert np.array_equal(read_depth(folder, num_frames=6), depth[:6])
    with pytest.raises(DepthError, match=r"depth_7\.exr is not an EXR file"):
        read_depth(folder)


def test_what_is_no_depth_says_so(tmp_path: Path, depth: Float32) -> None:
    with pytest.raises(DepthError, match=r"There is no file or folder"):
        read_depth(tmp_path / "nope.npz")
    for name in ("bad.npz", "bad.npy"):
        (tmp_path / name).write_bytes(b"not numpy at all")
        with pytest.raises(DepthError, match=r"is not a readable \.np"):
            read_depth(tmp_path / name)
    (tmp_path / "video.mp4").touch()
    with pytest.raises(DepthError, match=r"is no depth file"):
        read_depth(tmp_path / "video.mp4")
    np.save(tmp_path / "flat.npy", depth[0])
    with pytest.raises(DepthError, match=r"must be \[frames, height, width\].*shape \(48, 64\)"):
        read_depth(tmp_path / "flat.npy")
    np.save(tmp_path / "text.npy", np.full((2, 2, 2), "far"))
    with pytest.raises(DepthError, match=r"depth must be numbers"):
        read_depth(tmp_path / "text.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DepthError, match=r"holds neither 16-bit PNG, TIFF nor EXR"):
        read_depth(tmp_path / "empty")


def test_pickled_arrays_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "trap.npy", np.array([[[{"a": 1}]]], object), allow_pickle=True)
    np.savez(tmp_path / "trap.npz", depth=np.array([[[{"a": 1}]]], object))
    for name in ("trap.npy", "trap.npz"):
        with pytest.raises(DepthError, match=r"is not a readable"):
            read_depth(tmp_path / name)


def test_frames_of_two_sizes_are_refused_and_cancel_stops(tmp_path: Path, depth: Float32) -> None:
    folder = write_exrs(tmp_path / "exr", depth, lambda d: {"Z": d})
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": depth[0, :40].copy()}).write(str(folder / "depth_5.exr"))
    with pytest.raises(DepthError, match=r"depth_5\.exr is 64x40 pixels but the first depth frame is 64x48"):
        read_depth(folder)
    token = CancelToken()
    with pytest.raises(Cancelled):
        read_depth(folder, on_progress=lambda p: token.cancel() if p.done == 2 else None, cancel=token)


def test_a_damaged_byte_of_stored_depth_is_told(tmp_path: Path, depth: Float32) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, depth=depth)
    assert np.array_equal(read_depth(path), depth)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DepthError, match=r"is not a readable \.npz file \(Bad CRC-32 for file 'depth\.npy'\)"):
        read_depth(path)
