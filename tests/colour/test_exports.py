"""Exports: what a plate is comes out again, and every file says what it holds."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import OpenEXR
import pytest

from ex4d.clip import load_clip, write_video
from ex4d.clip.colours import ColourChoice, plate_of
from ex4d.clip.images import read_plate
from ex4d.clip.video import open_pictures
from ex4d.colour import View
from ex4d.colour.ocio import to_linear_bt709
from ex4d.export import export_take
from ex4d.export.movies import movie_writer, video_frame
from ex4d.progress import CancelToken, Progress
from ex4d.shots.take import generate
from ex4d.takes import save_take
from ex4d.trajectory import static
from ex4d_ground.arrays import Float32
from ex4d_ground.colour import KNOWN, ColourSpace
from ex4d_ground.errors import Cancelled, ClipError, OutputError, SettingError, ShapeError
from ex4d_ground.exports import KINDS, get_kind
from ex4d_ground.footage import Footage
from tests.colour.ffprobe import needs_ffmpeg, probe
from tests.colour.plates import FRAMES, box_depth, smooth_light, write_plate

HDR = {"pq": KNOWN["pq"], "hlg": KNOWN["hlg"]}


@pytest.fixture(scope="module")
def half_take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take of an ACEScg half float plate, seen by its own camera."""
    folder = tmp_path_factory.mktemp("half")
    header = {
        "timeCode": OpenEXR.TimeCode(10, 59, 59, 22, 0, *[0] * 13),
        "reelName": "A012C004",
        "framesPerSecond": Fraction(24000, 1001),
    }
    pixels = smooth_light().astype(np.float16)
    clip = load_clip(write_plate(folder / "sh010", pixels, header=header), box_depth())
    return save_take(folder, generate(clip, static(num_frames=FRAMES, intrinsics=clip.intrinsics)))


def header_of(path: Path) -> dict[str, Any]:
    with OpenEXR.File(str(path)) as file:
        return dict(file.header())


def test_a_half_plate_is_exported_bit_by_bit(half_take: Path, tmp_path: Path) -> None:
    files = export_take(half_take, "exr", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files][:1] == ["sh010_take001/sh010_take001.1001.exr"]
    for i, path in enumerate(files):
        pixels, space = read_plate(path)
        assert space.primaries == "ap1"
        assert np.array_equal(pixels.view(np.uint16), smooth_light().astype(np.float16)[i].view(np.uint16))
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            assert set(channels) == {"R", "G", "B", "mask", "coverage", "Z"}
            assert (channels["mask"].pixels == 1).all()
            assert (channels["coverage"].pixels == 1).all()
            assert 2.4 < channels["Z"].pixels.min() < channels["Z"].pixels.max() < 4.1


def test_exr_headers_carry_number_time_code_reel_and_rate(half_take: Path, tmp_path: Path) -> None:
    last = header_of(export_take(half_take, "exr-dwaa", tmp_path)[-1])
    assert last["imageCounter"] == 1003
    code = last["timeCode"]
    assert (code.hours, code.minutes, code.seconds, code.frame) == (11, 0, 0, 0)
    assert last["reelName"] == "A012C004"
    assert last["framesPerSecond"] == Fraction(24000, 1001)
    assert last["coverage"] == pytest.approx(1)
    assert last["compression"] == OpenEXR.DWAA_COMPRESSION


def test_float_exports_hold_what_halves_do(half_take: Path, tmp_path: Path) -> None:
    pixels, space = read_plate(export_take(half_take, "exr-float", tmp_path)[1])
    assert pixels.dtype == np.float32
    assert space.bits == 32
    assert np.array_equal(pixels, smooth_light()[1].astype(np.float16).astype(np.float32))


def test_a_linear_plates_png_is_its_view_in_16_bits(half_take: Path, tmp_path: Path) -> None:
    path = export_take(half_take, "png16", tmp_path)[0]
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert stored.dtype == np.uint16
    levels = View.of(KNOWN["acescg"], brighter=True).shown(smooth_light()[0].astype(np.float16))
    assert np.abs(stored / 257 - levels).max() <= 0.52
    assert len(np.unique(stored[..., 0])) > 2 * len(np.unique(levels[..., 0]))


@needs_ffmpeg
@pytest.mark.parametrize(
    ("kind", "codec", "samples"),
    [
        ("prores", "prores", "yuv422p10le"),
        ("prores4444", "prores", "yuv444p"),
        ("mp4", "h264", "yuv420p"),
        ("mp4-10", "hevc", "yuv420p10le"),
    ],
)
def test_movies_say_what_they_are(half_take: Path, tmp_path: Path, kind: str, codec: str, samples: str) -> None:
    path = export_take(half_take, kind, tmp_path)[0]
    said = probe(path, "stream=codec_name,pix_fmt,color_space,color_primaries,color_transfer,color_range,r_frame_rate")
    video = said["streams"][0]
    assert video["codec_name"] == codec
    assert video["pix_fmt"].startswith(samples)
    assert {video[f"color_{name}"] for name in ("space", "primaries", "transfer")} == {"bt709"}
    assert video["color_range"] == "tv"
    assert video["r_frame_rate"] == "24000/1001"
    tags = probe(path, "stream_tags:format_tags")
    assert "10:59:59:22" in json.dumps(tags)
    assert "A012C004" in json.dumps(tags)


def ramp(height: int = 160, width: int = 320) -> Float32:  # [H, W, 3]
    """A slow ramp with slow colour in it, well within the scale."""
    x, y = np.linspace(0, 1, width)[None], np.linspace(0, 1, height)[:, None]
    grey = 0.1 + 0.75 * x + 0 * y
    return np.stack([grey + 0.05 * y, grey, grey - 0.04 * y], axis=-1).astype(np.float32)


@pytest.mark.comes_in("Video", "10 bits (ProRes, HEVC, DNxHR)", "a plate in its own depth, beside its 8-bit view")
@pytest.mark.parametrize("kind", ["prores", "prores4444", "dnxhr", "mp4-10", "mp4-10-lossless"])
def test_10_bit_movies_come_back_within_a_code_value(tmp_path: Path, kind: str) -> None:
    signals = ramp()
    path = tmp_path / f"a{get_kind(kind).suffix}"
    with movie_writer(path, get_kind(kind), KNOWN["rec709"], Footage(rate="25/1")) as write:
        for _ in range(3):
            write(signals)
    with open_pictures(path) as (info, pictures):
        frames = list(pictures)
    assert info.view is not None
    assert (info.view.space.transfer, info.view.space.primaries) == ("gamma24", "bt709")
    assert info.view.space.bits >= 10
    for picture in frames:
        assert picture.plate is not None
        codes = np.abs(picture.plate.astype(np.float32) - signals) * 876  # steps of 10 bits between black and white
        assert codes.mean() <= 0.7  # luma and two differences are each rounded to a step
    stored = video_frame(signals, get_kind(kind).pixels, "bt709")
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            steps = 1 << (frame.format.components[0].bits - 10)
            for plane, wanted in zip(frame.planes, stored.planes, strict=False):  # an alpha of 4444 is left out
                off = np.abs(codes_of(plane) / steps - codes_of(wanted))
                assert off.max() <= (2 if kind == "mp4-10" else 1 + 1 / steps)
                assert (off > 1).mean() < 1e-3


@pytest.mark.parametrize(
    ("kind", "width", "height", "said"),
    [
        ("dnxhr", 255, 120, "DNxHR holds pictures from 256x120 pixels on, these are 255x120; use ProRes"),
        ("dnxhr", 641, 359, "DNxHR holds pictures of an even width, these are 641x359; use ProRes"),
        ("mp4-10", 3, 5, "H.265 holds pictures from 16x16 pixels on, these are 3x5; use ProRes"),
        ("mp4-10-lossless", 64, 9, "H.265 holds pictures from 16x16 pixels on, these are 64x9; use ProRes"),
    ],
)
def test_a_size_that_a_codec_cannot_hold_is_told_with_one_that_can(tmp_path, kind, width, height, said) -> None:
    def written(kind: str) -> Path:
        path = tmp_path / f"a{get_kind(kind).suffix}"
        with movie_writer(path, get_kind(kind), KNOWN["rec709"], Footage(rate="25/1")) as write:
            write(ramp(height, width))
        return path

    with pytest.raises(ShapeError) as refused:
        written(kind)
    assert said in str(refused.value) and not list(tmp_path.iterdir())
    assert written("prores").stat().st_size > 0


def test_a_lossless_movie_holds_every_number_that_is_stored(tmp_path: Path) -> None:
    """So what the lossy H.265 is off by on grain is its own quantiser's, not a conversion's."""
    grain = np.random.default_rng(3).normal(0.5, 0.1, (2, 96, 128, 3)).clip(0, 1).astype(np.float32)
    path, kind = tmp_path / "a.mp4", get_kind("mp4-10-lossless")
    with movie_writer(path, kind, KNOWN["rec709"], Footage(rate="25/1")) as write:
        for signals in grain:
            write(signals)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 2
    for signals, frame in zip(grain, frames, strict=True):
        for plane, wanted in zip(frame.planes, video_frame(signals, kind.pixels, "bt709").planes, strict=True):
            assert np.array_equal(codes_of(plane), codes_of(wanted))


def codes_of(plane: Any) -> Float32:  # [H, W]
    """Stored samples of 16 bits."""
    return np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)


@needs_ffmpeg
@pytest.mark.comes_in("Video", "HDR: PQ or HLG, BT.2020", "a plate of its numbers; its view by BT.2390, said")
@pytest.mark.parametrize("name", HDR)
def test_hdr_goes_through_a_movies_tags_and_is_shown_by_the_tone_curve(tmp_path: Path, name: str) -> None:
    signals = ramp() * np.float32(0.7)
    path = tmp_path / "a.mp4"
    with movie_writer(path, get_kind("mp4-10"), HDR[name], Footage(rate="25/1")) as write:
        for _ in range(2):
            write(signals)
    video = probe(path, "stream=color_space,color_primaries,color_transfer")["streams"][0]
    transfer = {"pq": "smpte2084", "hlg": "arib-std-b67"}[name]
    assert video == {"color_space": "bt2020nc", "color_primaries": "bt2020", "color_transfer": transfer}
    clip = load_clip(path, np.full((2, 160, 320), 4, np.float32), on_note=(notes := []).append)
    assert any("BT.2390" in note for note in notes)
    assert clip.plate is not None
    off = np.abs(clip.plate.frames[0].astype(np.float32) - signals) * 876
    assert off.mean() < 0.8
    assert off.max() < 5
    assert np.abs(View.of(HDR[name]).shown(signals).astype(int) - clip.frames[0]).mean() < 0.5


@needs_ffmpeg
@pytest.mark.parametrize("matrix", ["bt709", "bt601", "bt2020"])
@pytest.mark.parametrize(("pixels", "bits", "full"), [("yuv444p10le", 10, False), ("yuv444p12le", 12, True)])
def test_luma_and_differences_are_those_of_zscale(matrix: Any, pixels: str, bits: int, full: bool) -> None:
    signals = ramp(36, 64)
    name = {"bt709": "709", "bt601": "170m", "bt2020": "2020_ncl"}[matrix]
    convert = f"zscale=min=gbr:rin=full:m={name}:r={'full' if full else 'limited'},format={pixels}"
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", "64x36", "-i", "-"]
    planes = np.ascontiguousarray(signals[..., (1, 2, 0)].transpose(2, 0, 1))
    command += ["-vf", convert, "-pix_fmt", pixels, "-f", "rawvideo", "-"]
    raw = subprocess.run(command, input=planes.tobytes(), capture_output=True, check=True).stdout
    stored = np.frombuffer(raw, np.uint16).reshape(3, 36, 64)
    space = ColourSpace(matrix=matrix, full_range=full, bits=bits)
    frame = av.VideoFrame(64, 36, pixels)
    for plane, values in zip(frame.planes, stored, strict=True):
        plane.update(np.pad(values, ((0, 0), (0, plane.line_size // 2 - 64))).tobytes())
    assert np.abs(plate_of(frame, space).astype(np.float32) - signals).max() < 2 / (1 << bits)
    if not full:
        ours = video_frame(signals, pixels, matrix)
        for plane, values in zip(ours.planes, stored, strict=True):
            assert np.abs(codes_of(plane) - values).max() <= 1


def test_log_footage_stays_log_in_movies_and_becomes_light_in_exrs(tmp_path: Path) -> None:
    pytest.importorskip("PyOpenColorIO")
    signals = (0.2 + 0.5 * ramp(160, 320)).astype(np.float32)
    steps = np.rint(signals * 65535).astype(np.uint16)
    (tmp_path / "p").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "p" / f"log.{i + 7}.png"), steps[..., ::-1])
    choice = ColourChoice("ARRI LogC4")
    clip = load_clip(tmp_path / "p", np.full((2, 160, 320), 4, np.float32), colour=choice)
    assert clip.plate is not None
    assert clip.plate.view.tone  # it has light above white
    folder = save_take(tmp_path, generate(clip, static(num_frames=2, intrinsics=clip.intrinsics)))
    again = cv2.imread(str(export_take(folder, "png16", tmp_path)[0]), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(again, steps)
    light, space = read_plate(export_take(folder, "exr-float", tmp_path)[0])
    assert (space.primaries, space.transfer) == ("bt709", "linear")
    assert choice.space is not None
    assert np.abs(light / to_linear_bt709(steps.astype(np.float32) / 65535, choice.space) - 1).max() < 1e-3
    with open_pictures(export_take(folder, "prores4444", tmp_path)[0]) as (info, pictures):
        plate = next(pictures).plate
    assert plate is not None
    assert info.view is not None
    assert np.abs(plate.astype(np.float32) - signals).max() * 876 < 3


@pytest.mark.parametrize(
    ("part", "value", "works"),
    [
        ("layers", "../../secrets", False),
        ("colour", {"primaries": "ultraviolet"}, False),
        ("colour", {"transfer": "sideways"}, False),
        ("footage", {"rate": "1/0", "timecode": "99:99:99:99", "start_frame": -5}, True),
        ("coverage", [], True),
    ],
)
def test_an_edited_description_is_refused_or_does_no_harm(
    half_take: Path, tmp_path: Path, part: str, value: Any, works: bool
) -> None:
    folder = tmp_path / "take_001"
    shutil.copytree(half_take, folder)
    said = json.loads((folder / "take.json").read_text())
    (folder / "take.json").write_text(json.dumps({**said, part: value}))
    for kind in ("exr", "prores"):
        if works:
            assert export_take(folder, kind, tmp_path / "out")
        else:
            with pytest.raises(ClipError):
                export_take(folder, kind, tmp_path / "out")


def test_a_cancelled_export_leaves_nothing(half_take: Path, tmp_path: Path) -> None:
    for kind in ("exr", "prores"):
        token = CancelToken()

        def stop(step: Progress, token: CancelToken = token) -> None:
            if step.done == 2:
                token.cancel()

        with pytest.raises(Cancelled):
            export_take(half_take, kind, tmp_path / "out", on_progress=stop, cancel=token)
        assert not (tmp_path / "out").exists()


@needs_ffmpeg
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001)])
def test_time_code_and_rate_of_a_movie_are_read_back(tmp_path: Path, rate: Fraction) -> None:
    path = tmp_path / "a.mov"
    footage = Footage(rate=f"{rate.numerator}/{rate.denominator}", timecode="01:02:03:04", reel="B7")
    with movie_writer(path, get_kind("prores"), KNOWN["rec709"], footage) as write:
        for _ in range(3):
            write(ramp(64, 96))
    with open_pictures(path) as (info, _):
        assert info.footage == Footage(rate=footage.rate, timecode="01:02:03:04", reel="B7")


def test_nothing_that_exists_is_replaced(half_take: Path, tmp_path: Path) -> None:
    first = export_take(half_take, "exr", tmp_path, name="{shot}.{frame}")
    before = first[0].read_bytes()
    with pytest.raises(OutputError, match="there already"):
        export_take(half_take, "exr", tmp_path, name="{shot}.{frame}")
    assert first[0].read_bytes() == before
    with pytest.raises(SettingError, match="choose one of exr, "):
        export_take(half_take, "gif", tmp_path)
    with pytest.raises(ShapeError, match="256x120"):
        export_take(half_take, "dnxhr", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in first)


def test_every_kind_of_a_take_without_layers_can_be_exported(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 128, 256, 3)).astype(np.uint8)
    write_video(tmp_path / "a.mkv", frames, fps=24, lossless=True)
    clip = load_clip(tmp_path / "a.mkv", np.full((2, 128, 256), 4, np.float32))
    folder = save_take(tmp_path, generate(clip, static(num_frames=2, intrinsics=clip.intrinsics)))
    written = [path for kind in KINDS for path in export_take(folder, kind, tmp_path / "all")]
    assert len(written) == len(set(written)) == 2 * 4 + 6
    stored = cv2.imread(str(min((tmp_path / "all").rglob("*.png"))), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(stored, frames[0].astype(np.uint16) * 257)
    light, _ = read_plate(min((tmp_path / "all" / "a_take001_exr-float").rglob("*.exr")))
    assert np.abs(View.of(ColourSpace(transfer="linear")).shown(light).astype(int) - frames[0]).max() == 0
