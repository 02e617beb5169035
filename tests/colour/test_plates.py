"""Plates keep their numbers through guides, finished frames and takes: bit by bit where the source is seen."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import load_clip
from ex4d.clip.colours import ColourChoice
from ex4d.clip.images import read_plate
from ex4d.dwmesh import DWMesh
from ex4d.engines import get_engine
from ex4d.engines.composite import rim_weight
from ex4d.export import export_take
from ex4d.guides import GuideObject, render_guides
from ex4d.guides.deep import DeepGuides
from ex4d.shots.draw import draw_shot
from ex4d.shots.layers import layers_of
from ex4d.shots.take import generate, joined_eyes
from ex4d.takes import read_take, save_take
from ex4d.trajectory import preset, static
from ex4d.types import Clip
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ClipError
from ex4d_ground.footage import Footage
from ex4d_ground.options import MeshOptions
from ex4d_ground.stereo import Eyes
from ex4d_ground.takes import read_take_info
from tests.colour.plates import FRAMES, HEIGHT, WIDTH, box_depth, smooth_light, write_plate


def half_clip(folder: Path) -> Clip:
    return load_clip(write_plate(folder / "plate", smooth_light().astype(np.float16)), box_depth())


def standing(clip: Clip) -> Trajectory:
    return static(num_frames=clip.num_frames, intrinsics=clip.intrinsics)


def aside(clip: Clip) -> Trajectory:
    return preset("orbit_left", clip, near_depth=2.5, amount=8)


@pytest.mark.comes_in("Images", "folders of EXR, half or float", "a plate in its own depth and space, beside its view")
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_an_exr_plate_comes_back_bit_by_bit_where_the_source_is_seen(tmp_path: Path, kind: type) -> None:
    pixels = smooth_light().astype(kind)
    pixels[:, 3, 3] = [-0.0, np.inf, 7.5]
    clip = load_clip(write_plate(tmp_path / "plate", pixels), box_depth())
    take = generate(clip, standing(clip))
    folder = save_take(tmp_path, take)
    bits = {np.float16: np.uint16, np.float32: np.uint32}[kind]
    for i in range(FRAMES):
        kept, space = read_plate(folder / "plate" / f"frame_{i + 1:04d}.exr")
        assert kept.dtype == kind
        assert space.primaries == "ap1"
        mask = read_layer(folder, i, "mask") > 0
        assert mask.all()
        assert np.array_equal(kept[mask].view(bits), pixels[i][mask].view(bits))


def read_layer(folder: Path, i: int, channel: str) -> np.ndarray:
    import OpenEXR

    with OpenEXR.File(str(folder / "plate" / f"frame_{i + 1:04d}.exr"), separate_channels=True) as file:
        return np.array(file.channels()[channel].pixels)


@pytest.mark.parametrize("mode", ["solid", "endless"])
def test_deep_guides_show_what_the_guides_show(tmp_path: Path, mode: str) -> None:
    clip = half_clip(tmp_path)
    mesh, move = DWMesh(clip, MeshOptions(mode=mode)), aside(clip)
    guides = render_guides(mesh, move)
    deep = DeepGuides(mesh, move, guides)
    assert 0.5 < guides.coverage.min() < 0.999
    assert clip.plate is not None
    for i in range(FRAMES):
        own = deep[i]
        assert (own[~guides.mask[i]] == 0).all()
        shown = clip.plate.view.shown(own)[guides.mask[i]].astype(int)
        # The plate is mixed in light, the view in its levels: over slow ramps nearly the same.
        off = np.abs(shown - guides.colour[i][guides.mask[i]])
        assert off.mean() < 0.3
        assert np.quantile(off, 0.98) <= 3
        depth = deep.depth(i)
        assert ((depth > 0) == guides.mask[i]).all()
        assert 2 < depth[guides.mask[i]].min() < depth.max() < 6


def test_deep_guides_interpolate_the_plates_own_numbers(tmp_path: Path) -> None:
    """A plate that is a plane of numbers is one in every view of a flat wall."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    plane = np.stack([x / 64, y / 64, (x + y) / 64], axis=-1).astype(np.float32)
    clip = load_clip(write_plate(tmp_path / "p", np.stack([plane] * 2)), np.full((2, HEIGHT, WIDTH), 4, np.float32))
    shifted = standing(clip)
    world = np.array(shifted.world_from_camera)
    world[:, 0, 3] = 4 / clip.intrinsics.fx * 2.5  # two and a half pixels at the wall's distance
    move = replace(shifted, world_from_camera=world)
    mesh = DWMesh(clip)
    guides = render_guides(mesh, move)
    inner = np.s_[5:-5, 5:-8]
    seen = DeepGuides(mesh, move, guides)[0][inner]
    assert guides.mask[0][inner].all()
    assert np.abs(seen[..., 0] - (plane[inner][..., 0] + 2.5 / 64)).max() < 1e-4
    assert np.abs(seen[..., 1] - plane[inner][..., 1]).max() < 1e-4


def test_objects_and_other_frames_background_get_what_their_levels_mean(tmp_path: Path) -> None:
    clip = half_clip(tmp_path)
    corners = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]], np.float32) * (0.3, 0.3, 1)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    card = GuideObject(corners.astype(np.float32), faces, np.full((4, 3), (200, 40, 90), np.uint8))
    mesh, move = DWMesh(clip, MeshOptions(mode="solid", other_frames=True)), standing(clip)
    guides = render_guides(mesh, move, objects=[card])
    own = DeepGuides(mesh, move, guides, objects=[card])[1]
    on_card = (guides.colour[1] == (200, 40, 90)).all(axis=-1)
    assert on_card.sum() > 50
    assert clip.plate is not None
    assert np.abs(clip.plate.view.shown(own)[on_card].astype(int) - (200, 40, 90)).max() <= 1
    assert np.array_equal(own[~on_card], clip.plate.frames[1][~on_card])


def test_a_soft_rim_goes_over_from_the_plate_to_what_was_painted(tmp_path: Path) -> None:
    """As the composite setting of the model's engine: whole inside, its share at the rim, nothing of it outside."""
    clip = half_clip(tmp_path)
    shot = draw_shot(DWMesh(clip, MeshOptions(mode="solid")), aside(clip))
    grey = np.full(shot.guides.colour.shape, 128, np.uint8)
    info = replace_preview(get_engine("preview").info())
    layers = layers_of(shot, grey, info, {"composite": True, "feather": 4})
    assert clip.plate is not None
    deep = DeepGuides(shot.mesh, shot.trajectory, shot.guides)
    for i in range(FRAMES):
        weight = rim_weight(shot.guides.mask[i], 4)
        colour = layers.of(i).colour
        assert colour is not None
        assert np.array_equal(colour[weight >= 1], deep[i][weight >= 1])
        painted = clip.plate.view.shown(colour[weight == 0])
        assert np.abs(painted.astype(int) - 128).max(initial=0) <= 1
    assert (rim_weight(shot.guides.mask[-1], 4) == 0).any()
    nothing = layers_of(shot, grey, info, {"composite": False}).of(0).colour
    assert nothing is not None
    assert np.abs(clip.plate.view.shown(nothing).astype(int) - 128).max() <= 1


def replace_preview(info):  # type: ignore[no-untyped-def]
    from msgspec import structs

    return structs.replace(info, is_preview=False)


@pytest.mark.comes_in("Images", "folders of 16-bit PNG or TIFF", "a plate of 16 bits, beside its 8-bit view")
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_pictures_come_back_as_they_were(tmp_path: Path, ending: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (2, HEIGHT, WIDTH, 3)).astype(np.uint16)
    (tmp_path / "p").mkdir()
    for i, frame in enumerate(pixels):
        cv2.imwrite(str(tmp_path / "p" / f"f_{i}.{ending}"), frame[..., ::-1])
    clip = load_clip(tmp_path / "p", box_depth()[:2])
    assert clip.plate is not None
    assert np.array_equal(clip.plate.frames, pixels)
    folder = save_take(tmp_path, generate(clip, standing(clip)))
    for i in range(2):
        signals, _ = read_plate(folder / "plate" / f"frame_{i + 1:04d}.exr")
        assert np.array_equal(np.rint(signals.astype(np.float64) * 65535), pixels[i])


def test_8_bit_clips_have_no_plate_and_takes_of_them_no_layers(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.uint8)
    (tmp_path / "p").mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "p" / f"f_{i}.png"), frame[..., ::-1])
    clip = load_clip(tmp_path / "p", box_depth()[:2])
    assert clip.plate is None
    folder = save_take(tmp_path, generate(clip, standing(clip)))
    assert not (folder / "plate").exists()
    assert read_take_info(folder).layers == ""


def test_a_take_says_what_its_layers_are(tmp_path: Path) -> None:
    folder = save_take(tmp_path, generate(half_clip(tmp_path), aside(half_clip(tmp_path / "again"))))
    info = read_take_info(folder)
    assert (info.layers, info.layer_colour) == ("plate", True)
    assert info.colour is not None
    assert str(info.colour) == "ACEScg"
    assert info.footage.start_frame == 1001
    assert np.array_equal(read_take(folder).frames.shape, (FRAMES, HEIGHT, WIDTH, 3))
    depth, mask = read_layer(folder, 0, "Z"), read_layer(folder, 0, "mask")
    assert depth.dtype == np.float32
    assert ((depth > 0) == (mask > 0)).all()


@pytest.mark.comes_in("Images", "EXR brighter than white", "its view is brought down to white (BT.2390); said")
def test_light_above_white_is_brought_down_and_said(tmp_path: Path) -> None:
    notes: list[str] = []
    bright = load_clip(write_plate(tmp_path / "b", smooth_light()), box_depth(), on_note=notes.append)
    assert any("BT.2390" in note and "ACEScg" in note for note in notes)
    assert bright.plate is not None
    assert bright.plate.view.tone
    lamp = bright.plate.frames[0].max(axis=-1) > 2
    assert len(np.unique(bright.frames[0][lamp])) > 20  # its light still has shape
    dull = load_clip(write_plate(tmp_path / "d", np.clip(smooth_light(0), 0, 1)), box_depth())
    assert dull.plate is not None
    assert not dull.plate.view.tone


def test_what_people_say_of_the_colours_is_believed(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "p", np.full((2, HEIGHT, WIDTH, 3), 0.5, np.float16), primaries="bt709")
    as_it_says, as_aces = (
        load_clip(folder, box_depth()[:2], colour=choice) for choice in (ColourChoice(), ColourChoice("acescg"))
    )
    assert as_it_says.plate is not None
    assert as_aces.plate is not None
    assert as_it_says.plate.view.space.primaries == "bt709"
    assert as_aces.plate.view.space.primaries == "ap1"
    assert np.array_equal(as_it_says.plate.frames, as_aces.plate.frames)


def test_frames_of_another_kind_among_others_are_shown_or_refused(tmp_path: Path) -> None:
    depth = box_depth()[:2]
    grey = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)

    def folder(name: str, *frames: np.ndarray) -> Path:
        (tmp_path / name).mkdir()
        for i, frame in enumerate(frames):
            cv2.imwrite(str(tmp_path / name / f"f_{i}.png"), frame)
        return tmp_path / name

    deep = grey.astype(np.uint16) * 257
    first_8 = load_clip(folder("a", grey, deep), depth)
    assert first_8.plate is None
    assert np.array_equal(first_8.frames[0], first_8.frames[1])
    first_16 = load_clip(folder("b", deep, grey), depth)
    assert first_16.plate is not None
    assert np.array_equal(first_16.plate.frames[0], first_16.plate.frames[1])
    mixed = write_plate(tmp_path / "c", np.zeros((1, HEIGHT, WIDTH, 3), np.float16))
    write_plate(tmp_path / "d", np.zeros((1, HEIGHT, WIDTH, 3), np.float32), first=1002)
    (tmp_path / "d" / "plate.1002.exr").rename(mixed / "plate.1002.exr")
    with pytest.raises(ClipError, match="32-bit floats, the frames before it half floats"):
        load_clip(mixed, depth)


@pytest.mark.comes_in("Images", "folders of DPX, 10 to 16 bits", "a plate of 16 bits; time code and rate of its header")
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_dpx_keeps_its_depth_and_its_header(tmp_path: Path) -> None:
    steps = (np.random.default_rng(0).integers(0, 1024, (2, HEIGHT, WIDTH, 3)) * (65535 / 1023)).round()
    (tmp_path / "dpx").mkdir()
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-"]
    command += ["-pix_fmt", "gbrp10be", "-start_number", "1001", str(tmp_path / "dpx" / "f_%04d.dpx")]
    subprocess.run(command, input=steps.astype(np.uint16).tobytes(), check=True)
    for path in (tmp_path / "dpx").iterdir():
        stored = path.read_bytes()
        pixels_at = int.from_bytes(stored[4:8], "big")
        data = bytearray(stored[:pixels_at].ljust(2048, b"\0") + stored[pixels_at:])
        data[4:8] = (2048).to_bytes(4, "big")
        data[801] = 3  # logarithmic
        data[1920:1924] = bytes.fromhex("10203007")
        data[1940:1944] = struct.pack(">f", 23.976)
        path.write_bytes(data)
    notes: list[str] = []
    clip = load_clip(tmp_path / "dpx", box_depth()[:2], on_note=notes.append)
    assert clip.plate is not None
    assert np.abs(clip.plate.frames.astype(int) - steps).max() <= 65535 / 1023 / 2 + 1
    assert clip.footage == Footage(start_frame=1001, rate="24000/1001", timecode="10:20:30:07")
    assert clip.fps == pytest.approx(24000 / 1001)
    assert any("logarithmic" in note for note in notes)


def test_a_stereo_take_has_the_layers_of_both_eyes(tmp_path: Path) -> None:
    clip = half_clip(tmp_path)
    eyes = Eyes.of(0.1)
    left, right = (generate(clip, move) for move in (standing(clip), eyes.right(standing(clip))))
    folder = save_take(tmp_path / "takes", joined_eyes(eyes, left, right))
    read = read_take(folder)
    assert read.eyes == eyes
    assert read.right is not None
    assert np.array_equal(read.right.frames, right.frames)
    import OpenEXR

    exported = export_take(folder, "exr-float", tmp_path / "out")[0]
    pixels, space = read_plate(exported)
    assert space.primaries == "ap1"
    assert pixels.shape == (HEIGHT, 2 * WIDTH, 3)
    assert np.array_equal(pixels[:, :WIDTH], smooth_light().astype(np.float16)[0])
    with OpenEXR.File(str(exported), separate_channels=True) as file:
        assert file.channels()["Z"].pixels.shape == (HEIGHT, 2 * WIDTH)
    (folder / "right" / "frame_0002.png").unlink()
    with pytest.raises(ClipError, match="lacks 1 of its"):
        export_take(folder, "png16", tmp_path / "out")


def test_a_lead_in_does_not_shift_the_layers(tmp_path: Path) -> None:
    """Frames made in front of the move are left out of the take, and of what lies under it."""
    clip = half_clip(tmp_path)
    move = replace(aside(clip), world_from_camera=aside(clip).world_from_camera[::-1].copy())
    shot = draw_shot(DWMesh(clip, MeshOptions(mode="solid")), move, settings={"lead_in": True})
    assert shot.plan.trim > 0
    frames = shot.guides.colour
    layer = layers_of(shot, frames, get_engine("preview").info(), {}).of(2)
    assert layer.mask.all()  # the move ends at the source
    assert layer.colour is not None
    assert np.array_equal(layer.colour, smooth_light().astype(np.float16)[2])
