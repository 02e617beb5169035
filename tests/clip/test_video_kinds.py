"""Video as players show it: upright, the right stream, square or not, progressive, at a constant rate."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from ex4d.clip import load_clip, read_video, write_video
from ex4d.clip.orientation import from_exif, from_matrix
from ex4d.clip.timing import to_constant_rate
from ex4d.clip.video import open_video, read_frames, read_pictures
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes these inputs")


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip
"""Display matrices a, b, c, d of the eight EXIF orientations."""


@pytest.mark.comes_in("Video", "display matrices: any of the eight rotations and mirrorings", "upright frames")
@pytest.mark.parametrize("orientation", MATRICES)
def test_exif_and_display_matrices_agree_with_pillow(orientation: int) -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x112] = orientation
    from PIL import ImageOps

    image.info["exif"] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(image))
    a, b, c, d = (v << 16 for v in MATRICES[orientation])
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()
    assert np.array_equal(from_exif(orientation)(picture), expected)
    assert np.array_equal(from_matrix(matrix)(picture), expected)


@pytest.mark.comes_in("Images", "JPEGs with EXIF orientation", "upright frames")
def test_jpegs_are_turned_as_exif_says(tmp_path: Path) -> None:
    for i in range(2):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:16, :16] = 255
        image = Image.fromarray(picture)
        exif = image.getexif()
        exif[0x112] = 6
        image.save(tmp_path / f"IMG_{i}.jpg", exif=exif)
    frames, _ = read_video(tmp_path)
    assert frames.shape == (2, 64, 48, 3)
    assert frames[0, :12, -12:].min() > 240
    assert frames[0, :12, :12].max() < 20


@pytest.mark.comes_in("Video", "pixels that are not square (DV, anamorphic)", "fx and fy of their own")
@needs_ffmpeg
def test_pixel_aspect_becomes_fx_and_fy(tmp_path: Path, frames: UInt8, depth) -> None:
    write_video(tmp_path / "a.mkv", frames, fps=24, lossless=True)
    ffmpeg("-i", tmp_path / "a.mkv", "-vf", "setsar=2", "-c:v", "ffv1", tmp_path / "wide.mkv")
    lens = load_clip(tmp_path / "wide.mkv", depth, fov_deg=90).intrinsics
    assert (lens.fx, lens.fy) == pytest.approx((32, 64))
    assert load_clip(tmp_path / "wide.mkv", depth).intrinsics.fy == pytest.approx(
        2 * load_clip(tmp_path / "a.mkv", depth).intrinsics.fx
    )


@pytest.mark.comes_in("Video", "a file with a cover, thumbnails or a proxy", "the default stream, else the largest")
@needs_ffmpeg
def test_the_default_stream_is_read_not_a_cover(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "a.mp4", frames, fps=24)
    cv2.imwrite(str(tmp_path / "cover.png"), np.zeros((200, 300, 3), np.uint8))
    options = ("-map", 1, "-map", 0, "-c", "copy", "-disposition:v:0", "attached_pic", "-disposition:v:1", "default")
    ffmpeg("-i", tmp_path / "a.mp4", "-i", tmp_path / "cover.png", *options, tmp_path / "covered.mp4")
    assert np.array_equal(read_video(tmp_path / "covered.mp4")[0], read_video(tmp_path / "a.mp4")[0])


@pytest.mark.comes_in("Video", "metadata in Latin-1", "read; what is no UTF-8 is lost from the text alone")
@needs_ffmpeg
def test_metadata_that_is_no_utf8_does_not_matter(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "a.mkv", frames, fps=24, lossless=True)
    ffmpeg("-i", tmp_path / "a.mkv", "-metadata", "title=Zuerich", "-c", "copy", tmp_path / "b.mkv")
    data = (tmp_path / "b.mkv").read_bytes()
    assert data.count(b"Zuerich") == 1
    (tmp_path / "b.mkv").write_bytes(data.replace(b"Zuerich", b"Z\xfcr\xeech "))
    assert np.array_equal(read_video(tmp_path / "b.mkv")[0], frames)


@pytest.mark.comes_in("Video", "interlaced", "deinterlaced, a picture a frame, and said; or refused, by choice")
@needs_ffmpeg
def test_interlaced_video_is_deinterlaced_and_said(tmp_path: Path) -> None:
    still = np.zeros((8, 64, 64, 3), np.uint8)
    for i in range(8):
        still[i, :, 6 * i : 6 * i + 12] = 255  # a bar that moves: its fields comb
    write_video(tmp_path / "p.mkv", still, fps=50, lossless=True)
    weave = ("-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "mpeg2video", "-q:v", 1, "-flags", "+ildct+ilme")
    ffmpeg("-i", tmp_path / "p.mkv", *weave, tmp_path / "i.mkv")
    frames, info = read_frames(tmp_path / "i.mkv")
    assert len(frames) == 4
    assert [note for note in info.notes if "interlaced" in note] == info.notes
    combing = np.abs(np.diff(frames[1:3, 8:-8, :, 0].astype(int), axis=1)).mean()
    with av.open(str(tmp_path / "i.mkv")) as container:
        woven = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert combing < 0.3 * np.abs(np.diff(np.stack(woven)[1:3, 8:-8, :, 0].astype(int), axis=1)).mean()
    with pytest.raises(ClipError, match=r"i\.mkv is interlaced: each frame holds two moments\.") as caught:
        read_pictures(tmp_path / "i.mkv", fields="refuse")
    assert caught.value.text("cli").endswith("two moments; give a progressive video, or drop '--fields refuse'.")
    assert len(read_pictures(tmp_path / "p.mkv", fields="refuse")[0]) == 8


@pytest.mark.comes_in("Video", "variable frame rate (phones, screens)", "played by time stamps; said")
@needs_ffmpeg
def test_a_varying_rate_is_played_by_its_time_stamps(tmp_path: Path) -> None:
    shades = np.zeros((12, 48, 64, 3), np.uint8) + np.arange(0, 240, 20, dtype=np.uint8)[:, None, None, None]
    write_video(tmp_path / "a.mkv", shades, fps=30, lossless=True)
    dropped = r"select='not(eq(n,4)+eq(n,5)+eq(n,8))'"
    ffmpeg("-i", tmp_path / "a.mkv", "-vf", dropped, "-vsync", "vfr", "-c:v", "ffv1", tmp_path / "v.mkv")
    frames, info = read_frames(tmp_path / "v.mkv")
    assert info.fps == 30
    assert (frames[:, 0, 0, 0] // 20).tolist() == [0, 1, 2, 3, 3, 3, 6, 7, 7, 9, 10, 11]
    assert "frame rate varies" in info.notes[0]
    stored = np.full((9, 48, 64), 3, np.float32) + np.arange(9, dtype=np.float32)[:, None, None]
    said: list[str] = []
    clip = load_clip(tmp_path / "v.mkv", stored, on_note=said.append)  # depth of each frame that was filmed
    assert clip.depth[:, 0, 0].tolist() == [3, 4, 5, 6, 6, 6, 7, 8, 8, 9, 10, 11]


@pytest.mark.comes_in("Video", "a file that was cut short", "damage is refused; an end before its header's is said")
@needs_ffmpeg
@pytest.mark.parametrize("sound", [(), ("-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac")], ids=["mute", "sound"])
def test_a_video_that_was_cut_short_says_so(tmp_path: Path, sound: tuple[str, ...]) -> None:
    source = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=24:duration=2", *sound)
    ffmpeg(*source, "-c:v", "ffv1", "-g", 1, tmp_path / "whole.mkv")
    assert not read_frames(tmp_path / "whole.mkv")[1].notes
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    frames, info = read_frames(tmp_path / "half.mkv")
    assert 15 < len(frames) < 30
    assert [note for note in info.notes if "though its header says that it lasts 2.0 s" in note] == info.notes != []
    slow = (*source[:3], "testsrc=size=64x48:rate=1/5:duration=20", "-c:v", "ffv1")
    ffmpeg(*slow, tmp_path / "slow.mkv")
    assert not read_frames(tmp_path / "slow.mkv")[1].notes  # the last frame is shown for five seconds


def test_rounded_time_stamps_are_a_constant_rate() -> None:
    assert to_constant_rate([round(i / 29.97, 3) for i in range(100)]) is None
    assert to_constant_rate([i / 24 for i in range(10)]) is None
    assert to_constant_rate([0.0, float("nan"), 1.0]) is None
    gap = to_constant_rate([0, 1 / 25, 2 / 25, 10 / 25, 11 / 25])
    assert gap is not None
    assert (gap.fps, gap.shown) == (25, (0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4))


@pytest.mark.comes_in("Images", "folders of PNG, TIFF, BMP, WebP of 8 bits", "frames as they are")
@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp"])
def test_lossless_pictures_come_back_as_they_were(tmp_path: Path, frames: UInt8, ending: str) -> None:
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == "webp" else []
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{i}.{ending}"), frame[..., ::-1], quality)
    assert np.array_equal(read_video(tmp_path)[0], frames)


@pytest.mark.comes_in("Images", "folders of DPX (8 to 16 bits)", "an 8-bit view, numbers as stored")
@needs_ffmpeg
def test_dpx_pictures_are_read(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "a.mkv", frames, fps=24, lossless=True)
    (tmp_path / "dpx").mkdir()
    ffmpeg("-i", tmp_path / "a.mkv", "-pix_fmt", "gbrp10be", tmp_path / "dpx" / "f_%04d.dpx")
    read, _ = read_video(tmp_path / "dpx")
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).max() <= 1


@pytest.mark.comes_in("Images", "folders of EXR up to white", "linear; an sRGB view of the display window; said")
def test_exr_pictures_are_linear_and_become_srgb(tmp_path: Path) -> None:
    linear = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    for i in range(2):
        channels = {"R": linear, "G": linear * 0.5, "B": linear * 0, "Z": linear + 5}
        header = {"type": OpenEXR.scanlineimage, "pixelAspectRatio": 2.0}
        OpenEXR.File(header, {f"ViewLayer.Combined.{k}" if k != "Z" else "Z": v for k, v in channels.items()}).write(
            str(tmp_path / f"f_{i}.exr")
        )
    with open_video(tmp_path) as (info, _):
        assert info.pixel_aspect == 2
        assert "linear" in info.notes[0]
    frame = read_video(tmp_path)[0][0]
    bright = np.clip(linear, 0, 1)
    srgb = np.where(bright <= 0.0031308, 12.92 * bright, 1.055 * bright ** (1 / 2.4) - 0.055) * 255
    assert np.abs(frame[..., 0] - srgb).max() <= 0.51
    assert (frame[..., 2] == 0).all()


NAMES_OTHERS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\n{address}/a.ts\n#EXT-X-ENDLIST\n",
    "a list of files": "#EXTM3U\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{other}'\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
    '<Representation id="a">'
    "<BaseURL>{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "text": "\x1b[31mEX-4D\n" * 50,
}


@pytest.mark.parametrize("kind", NAMES_OTHERS)
def test_a_file_that_names_others_is_not_followed(tmp_path: Path, kind: str) -> None:
    """Whatever it is called: a playlist would have the machine ask an address, or read files that nobody gave."""
    write_video(tmp_path / "other.mkv", np.zeros((2, 16, 16, 3), np.uint8), fps=24, lossless=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        text = NAMES_OTHERS[kind].format(address=address, other=tmp_path / "other.mkv")
        for name in ("clip.m3u8", "clip.mp4"):
            (tmp_path / name).write_text(text, encoding="utf-8")
            with pytest.raises(ClipError):
                read_video(tmp_path / name)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has asked
            server.accept()
