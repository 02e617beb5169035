"""Reading video: what comes out is what was put in, and what cannot be read says so in a sentence."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import open_video, read_video, write_video
from ex4d.frames import FrameStack
from ex4d.frames import stack as frame_stack_module
from ex4d.progress import CancelToken, Progress
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import Cancelled, ClipError, Ex4dError, SettingError


def write_pngs(folder: Path, frames: UInt8, pattern: str = "frame_{:d}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / pattern.format(i + 1)), frame[..., ::-1])
    return folder


def test_a_lossless_file_reads_back_bit_for_bit(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "a.mkv", frames, fps=24, lossless=True)
    read, fps = read_video(tmp_path / "a.mkv")
    assert np.array_equal(read, frames)
    assert fps == 24


def test_bytes_read_like_the_file_they_came_from(video: Path) -> None:
    from_file, from_bytes = read_video(video), read_video(video.read_bytes())
    assert np.array_equal(from_file[0], from_bytes[0])
    assert from_file[1] == from_bytes[1] == 24


def test_the_ntsc_rate_survives_exactly(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "a.mp4", frames, fps=30000 / 1001)
    assert read_video(tmp_path / "a.mp4")[1] == 30000 / 1001


def test_numbered_images_come_in_the_order_of_their_numbers(tmp_path: Path, frames: UInt8) -> None:
    twelve = np.concatenate([frames, frames[:5] // 2])
    read, _ = read_video(write_pngs(tmp_path / "seq", twelve))  # frame_10.png sorts before frame_9.png as text
    assert np.array_equal(read, twelve)


def test_sixteen_bit_grey_and_alpha_images_become_8_bit_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "seq"
    folder.mkdir()
    grey16 = (np.arange(12, dtype=np.uint16).reshape(3, 4) * 257 * 20).astype(np.uint16)
    cv2.imwrite(str(folder / "1.png"), grey16)
    bgra = np.dstack([np.full((3, 4), v, np.uint8) for v in (10, 20, 30, 0)])
    cv2.imwrite(str(folder / "2.png"), bgra)
    read, _ = read_video(folder)
    assert np.array_equal(read[0], np.repeat((np.arange(12, dtype=np.uint8) * 20).reshape(3, 4, 1), 3, 2))
    assert (read[1] == (30, 20, 10)).all()


def test_hidden_files_are_no_frames(tmp_path: Path, frames: UInt8) -> None:
    folder = write_pngs(tmp_path / "seq", frames)
    (folder / "._frame_1.png").write_bytes(b"resource fork")
    assert len(read_video(folder)[0]) == len(frames)


def test_num_frames_takes_the_first_ones(video: Path) -> None:
    all_frames, _ = read_video(video)
    assert np.array_equal(read_video(video, num_frames=3)[0], all_frames[:3])


@pytest.mark.parametrize("size", [(47, 63), (47, 64), (48, 63)])
def test_odd_sizes_keep_their_size_and_their_last_row_and_column(tmp_path: Path, frames: UInt8, size) -> None:
    odd = np.ascontiguousarray(frames[:, : size[0], : size[1]])
    write_video(tmp_path / "odd.mp4", odd, fps=15)
    read, _ = read_video(tmp_path / "odd.mp4")
    assert read.shape == odd.shape
    assert np.abs(read[:, -1].astype(int) - odd[:, -1]).mean() < 6
    assert np.abs(read[:, :, -1].astype(int) - odd[:, :, -1]).mean() < 6


def test_phone_footage_is_turned_upright(tmp_path: Path, frames: UInt8) -> None:
    path = tmp_path / "phone.mp4"
    write_video(path, frames, fps=15)
    stored, _ = read_video(path)
    data = bytearray(path.read_bytes())
    # The track header's matrix (ISO/IEC 14496-12, 8.3.2): a quarter turn clockwise for display.
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    assert struct.unpack(">9i", data[at : at + 36])[0] == 0x10000
    data[at : at + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    turned, _ = read_video(path)
    assert np.array_equal(turned, np.rot90(stored, -1, axes=(1, 2)))


def test_frames_can_be_streamed_without_reading_the_rest(video: Path) -> None:
    with open_video(video) as (info, frames):
        first = list(itertools.islice(frames, 2))
    assert info.num_frames == 7
    assert info.fps == 24
    assert np.array_equal(np.stack(first), read_video(video)[0][:2])


def test_progress_counts_every_frame_and_cancel_stops(video: Path) -> None:
    seen: list[Progress] = []
    read_video(video, on_progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(i + 1, 7) for i in range(7)]
    token = CancelToken()
    with pytest.raises(Cancelled):
        read_video(video, on_progress=lambda p: token.cancel() if p.done == 2 else None, cancel=token)


def test_a_stack_grows_when_the_header_promised_too_little() -> None:
    stack = FrameStack(expected=1, label="x")
    for i in range(40):
        stack.append(np.full((2, 3, 3), i, np.uint8))
    assert np.array_equal(stack.frames()[:, 0, 0, 0], np.arange(40))


def test_a_clip_too_large_for_memory_is_refused_before_it_is_read(video: Path, monkeypatch) -> None:
    monkeypatch.setattr(frame_stack_module, "physical_memory", lambda: 60_000)
    with pytest.raises(ClipError, match=r"decoded at 64x48, more than this machine's .* read fewer frames") as caught:
        read_video(video)
    assert "; use --num_frames " in caught.value.text("cli")


# -- what cannot be read -----------------------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"There is no file or folder .*nope\.mp4; check the path"):
        read_video(tmp_path / "nope.mp4")


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsource.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello world\n" * 400),  # FFmpeg alone would draw it as ANSI art
        ("noise.mp4", bytes(range(256)) * 40),
        ("list.m3u8", PLAYLIST),  # FFmpeg alone would open the files and addresses that it names
        ("list.mp4", PLAYLIST),
        ("concat.mp4", b"ffconcat version 1.0\nfile source.mp4\n"),
    ],
)
def test_what_is_no_video_says_so(tmp_path: Path, video: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ClipError, match="is not a video that can be read"):
            read_video(source)


def test_a_file_cut_short_says_so(tmp_path: Path, video: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(ClipError, match="cut short"):
        read_video(tmp_path / "cut.mp4")


def test_an_empty_file_and_an_empty_folder_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ClipError, match=r"is empty \(0 bytes\)"):
        read_video(tmp_path / "empty.mp4")
    with pytest.raises(ClipError, match=r"The video is empty"):
        read_video(b"")
    with pytest.raises(ClipError, match=r"holds no PNG, JPEG"):
        read_video(tmp_path / "folder")


def test_one_frame_is_no_clip(tmp_path: Path, frames: UInt8) -> None:
    write_video(tmp_path / "one.mp4", frames[:1], fps=15)
    still = write_pngs(tmp_path / "one", frames[:1])
    for source in (tmp_path / "one.mp4", still, still / "frame_1.png"):
        with pytest.raises(ClipError, match=r"has one frame; a clip needs at least 2"):
            read_video(source)


def test_fewer_frames_than_asked_names_both_numbers(video: Path) -> None:
    with pytest.raises(ClipError, match="has 7 frames, 49 were asked for") as caught:
        read_video(video, num_frames=49)
    assert "; use --num_frames 7" in caught.value.text("cli")
    with pytest.raises(SettingError, match=r"at least 2 frames, 1 were asked for"):
        read_video(video, num_frames=1)


def test_images_of_two_sizes_or_kinds_are_refused(tmp_path: Path, frames: UInt8) -> None:
    folder = write_pngs(tmp_path / "sizes", frames[:2])
    cv2.imwrite(str(folder / "frame_3.png"), frames[2, :40, :, ::-1])
    with pytest.raises(ClipError, match=r"Frame 3 of .*sizes is 64x40 pixels but the first is 64x48"):
        read_video(folder)
    folder = write_pngs(tmp_path / "kinds", frames[:2])
    cv2.imwrite(str(folder / "frame_3.jpg"), frames[2])
    with pytest.raises(ClipError, match=r"mixes \.jpg and \.png files"):
        read_video(folder)


def test_a_broken_image_names_the_file(tmp_path: Path, frames: UInt8) -> None:
    folder = write_pngs(tmp_path / "seq", frames)
    (folder / "frame_4.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ClipError, match=r"frame_4\.png is not an image"):
        read_video(folder)


def test_every_refusal_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(Ex4dError) as caught:
        read_video(tmp_path / "x.mp4")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


# -- EX-4D's own example -----------------------------------------------------------------------------------


def test_the_published_example_reads_as_it_is(upstream_example: Path) -> None:
    clip, fps = read_video(upstream_example / "input.mp4")
    mask, _ = read_video(upstream_example / "mask_180.mp4")
    assert clip.shape == mask.shape
    assert clip.dtype == np.uint8
    assert fps == pytest.approx(30)
    assert ((mask < 32) | (mask > 223)).mean() > 0.97  # a mask is black or white, but for the codec's ringing
    assert mask[0].mean() > 250  # published rule: frame 0 is seen whole
    assert 0 < (mask[len(mask) // 4] > 127).mean() < 0.5  # far to the side most of the frame is a hole
