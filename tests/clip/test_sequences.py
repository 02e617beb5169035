"""Numbered sequences as people have them: order, gaps, versions, and which depth belongs to which colour."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import load_clip, read_depth, read_video, write_video
from ex4d_ground.errors import ClipError, DepthError, InputError
from ex4d_ground.files import COLOUR_SUFFIXES
from ex4d_ground.sequences import clip_name, find_sequence, is_named, pair_sequences

PNG = (".png",)


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def names(found) -> list[str]:
    return [path.name for path in found.paths]


ORDERS = {
    "without leading zeros": [f"{i}.png" for i in range(12)],
    "with a name": [f"frame_{i}.png" for i in range(1, 12)],
    "across a change of width": [f"f{i:02d}.png" for i in range(97, 103)],
    "negative": ["shot.-2.png", "shot.-1.png", "shot.0.png", "shot.1.png"],
    "negative and padded": ["s_-0010.png", "s_-0009.png", "s_-0008.png"],
    "negative alone": ["-3.png", "-2.png", "-1.png", "0.png"],
    "negative without a separator": ["shot-1.png", "shot0.png", "shot1.png"],
    "a dash as separator": [f"frame-{i:06d}.color.png" for i in range(9, 13)],
    "time stamps in seconds": ["1305031102.175304.png", "1305031102.211214.png", "1305031103.011215.png"],
    "time stamps from zero": ["0.0.png", "0.5.png", "1.0.png", "1.5.png", "2.0.png"],
    "nanoseconds": ["1403636579763555584.png", "1403636579813555456.png", "1403636579863555584.png"],
    "a version that stays": [f"shot_v2.{i:04d}.png" for i in range(1, 5)],
    "a number and a time stamp": ["0001_1700000000123.png", "0002_1700000000190.png", "0010_1700000000700.png"],
    "every second": [f"f{i:04d}.png" for i in range(1, 20, 2)],
    "endings of two cases": ["A9.PNG", "a10.png", "A11.png"],
    "no numbers at all": ["a.png", "B.png", "c.png"],
}


@pytest.mark.comes_in("Images", "numbers without zeros, negative ones, time stamps", "in their order, not their text's")
@pytest.mark.parametrize("expected", ORDERS.values(), ids=ORDERS)
def test_frames_come_in_the_order_of_their_numbers(tmp_path, expected) -> None:
    put(tmp_path, *reversed(expected), "._" + expected[0], ".hidden.png", "Thumbs.db", "notes.txt", "desktop.ini")
    found = find_sequence(tmp_path, PNG)
    assert names(found) == expected
    found.require_whole()


def test_the_numbers_are_those_of_the_names(tmp_path) -> None:
    assert find_sequence(put(tmp_path / "a", "s.-2.png", "s.-1.png", "s.0.png"), PNG).stamps == (-2, -1, 0)
    times = find_sequence(put(tmp_path / "b", "1305031102.175304.png", "1305031102.21.png"), PNG).stamps
    assert times == (Decimal("1305031102.175304"), Decimal("1305031102.21"))


REFUSED = {
    "two versions": (["s_v01.0001.png", "s_v01.0002.png", "s_v02.0001.png", "s_v02.0002.png"],
                     ["2 sequences", "s_v01.####.png", "s_v02.####.png"]),
    "versions of several digits": ([f"s.v{v}.{i:04d}.png" for v in (1, 2) for i in (1, 2, 3)], ["s.v1.####.png"]),
    "colour and depth in one folder": (["color_1.png", "color_2.png", "depth_1.png", "depth_2.png"],
                                       ["color_#.png", "depth_#.png"]),
    "a stray picture": (["f1.png", "f2.png", "cover.png"], ["2 sequences", "cover.png", "f#.png (2 files"]),
    "a number twice": (["f1.png", "f01.png", "f2.png"], ["both frame 1"]),
}  # fmt: skip


@pytest.mark.comes_in("Images", "two versions or prefixes in one folder", "refused with the choices")
@pytest.mark.parametrize(("given", "said"), REFUSED.values(), ids=REFUSED)
def test_a_folder_that_holds_more_than_one_sequence_is_refused_with_the_choices(tmp_path, given, said) -> None:
    put(tmp_path, *given)
    with pytest.raises(InputError) as refused:
        find_sequence(tmp_path, PNG)
    assert all(part in str(refused.value) for part in said), refused.value


def test_two_kinds_of_pictures_in_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"mixes \.exr and \.png"):
        find_sequence(put(tmp_path, "f1.png", "f2.exr"), (".png", ".exr"))


@pytest.mark.comes_in("Images", "the first file, plate.%04d.png, plate.####.png", "that sequence")
def test_the_first_file_or_a_pattern_names_one_sequence_of_several(tmp_path) -> None:
    put(tmp_path, *(f"s_v{v}.{i:04d}.png" for v in (1, 2) for i in (1, 2, 3)))
    second = ["s_v2.0001.png", "s_v2.0002.png", "s_v2.0003.png"]
    for given in ("s_v2.0001.png", "s_v2.%04d.png", "s_v2.####.png", "s_v2.%d.png"):
        assert is_named(tmp_path / given)
        assert names(find_sequence(tmp_path / given, PNG)) == second, given
    assert names(find_sequence(tmp_path / "s_v2.0002.png", PNG)) == second[1:]
    assert not is_named(tmp_path / "s_v3.%04d.png")
    with pytest.raises(InputError, match=r"no file s_v3\.%04d\.png"):
        find_sequence(tmp_path / "s_v3.%04d.png", PNG)


@pytest.mark.comes_in("Images", "a sequence with gaps", "refused with the numbers, unless behind the frames used")
def test_a_hand_picked_set_has_no_gaps_however_few_of_it_are_read(tmp_path) -> None:
    """As sharp pictures are picked for reconstruction: the first few alone would look regular with a gap."""
    picked = (1, 2, 3, 4, 6, 7, 9, 12, 14, 18, 22, 25, 29, 33, 39, 42, 49)
    found = find_sequence(put(tmp_path / "images", *(f"{i:04d}.png" for i in picked)), PNG)
    for count in (None, 17, 6, 5, 2, 1):
        assert found.first(count).missing() == []
    assert found.first(9).first(6).missing() == []
    assert names(found.first(6)) == ["0001.png", "0002.png", "0003.png", "0004.png", "0006.png", "0007.png"]


def test_a_gap_shows_in_the_first_files_too_where_the_whole_sequence_is_regular(tmp_path) -> None:
    found = find_sequence(put(tmp_path / "f", *(f"{i:04d}.png" for i in (1, 4, 5, 6, 7, 8, 9))), PNG)
    assert found.first(2).missing() == [2, 3]


def test_a_gap_is_named_and_does_not_matter_behind_the_frames_that_are_used(tmp_path) -> None:
    put(tmp_path, *(f"f_{i:04d}.png" for i in (1, 2, 3, 5, 6, 10, 11)))
    found = find_sequence(tmp_path, PNG)
    assert found.missing() == [4, 7, 8, 9]
    with pytest.raises(InputError, match=r"lacks frames 4, 7-9 between f_0001\.png and f_0011\.png") as refused:
        found.require_whole()
    assert refused.value.remedy is not None and refused.value.remedy.values == {"num_frames": 3}
    found.first(3).require_whole()


def pairs(tmp_path: Path, colour: list[str], depth: list[str], **how):
    made = pair_sequences(
        find_sequence(put(tmp_path / "rgb", *colour), PNG), find_sequence(put(tmp_path / "z", *depth), PNG), **how
    )
    return [p.stem for p in made.colour.paths], [p.stem for p in made.depth.paths], made.note


@pytest.mark.comes_in("Depth", "a sequence beside a sequence", "by number or time stamp, where both have them")
def test_depth_is_found_by_number_where_it_has_more_frames(tmp_path) -> None:
    colour, depth, note = pairs(tmp_path, [f"c{i}.png" for i in (3, 4, 5)], [f"d{i:03d}.png" for i in range(8)])
    assert (colour, depth, note) == (["c3", "c4", "c5"], ["d003", "d004", "d005"], "")


@pytest.mark.parametrize("start", [(0, 1), (1001, 1), (1, 0)])
def test_whole_sequences_of_one_length_belong_together_wherever_they_start(tmp_path, start) -> None:
    a, b = start
    colour, depth, _ = pairs(
        tmp_path, [f"c{i + a}.png" for i in range(12)], [f"d{i + b}.png" for i in range(12)], num_frames=4
    )
    assert colour == [f"c{i + a}" for i in range(4)] and depth == [f"d{i + b}" for i in range(4)]


def test_depth_that_lacks_a_frame_of_the_colour_is_refused_with_its_number(tmp_path) -> None:
    with pytest.raises(InputError, match=r"z lacks frame 7 of .*rgb"):
        pairs(tmp_path, [f"c{i}.png" for i in range(1, 11)], [f"d{i}.png" for i in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)])


def test_colour_and_depth_that_lack_different_frames_are_not_paired_by_position(tmp_path) -> None:
    with pytest.raises(InputError, match="lacks frame 4 between"):
        pairs(tmp_path, [f"c{i}.png" for i in range(1, 11) if i != 4], [f"d{i}.png" for i in range(1, 11) if i != 7])


def test_time_stamps_belong_to_the_nearest_and_what_has_none_is_left_out_and_said(tmp_path) -> None:
    colour = ["1305031102.10.png", "1305031102.20.png", "1305031102.30.png", "1305031102.41.png"]
    depth = ["1305031102.09.png", "1305031102.21.png", "1305031102.40.png", "1305031102.52.png"]
    ours, theirs, note = pairs(tmp_path, colour, depth)
    assert ours == ["1305031102.10", "1305031102.20", "1305031102.41"]
    assert theirs == ["1305031102.09", "1305031102.21", "1305031102.40"]
    assert note.startswith("1 of 4 frames") and "left out" in note


def test_time_stamps_of_other_times_are_refused(tmp_path) -> None:
    colour = [f"{1305031102 + i}.5.png" for i in range(4)]
    with pytest.raises(InputError, match="do not meet"):
        pairs(tmp_path, colour, [f"{1400000000 + i * i}.25.png" for i in range(4)])


def picture(path: Path, value: int, kind: type = np.uint8) -> None:
    path.parent.mkdir(exist_ok=True)
    shape = (6, 8, 3) if kind is np.uint8 else (6, 8)
    assert cv2.imwrite(str(path), np.full(shape, value, kind))


def test_a_clip_of_folders_without_leading_zeros_has_each_frames_own_depth(tmp_path) -> None:
    for i in range(12):
        picture(tmp_path / "rgb" / f"{i}.png", 10 * i)
        picture(tmp_path / "depth" / f"{i}.png", 1000 + i, np.uint16)
    clip = load_clip(tmp_path / "rgb", tmp_path / "depth", depth_scale=0.001)
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], 10 * np.arange(12))
    np.testing.assert_allclose(clip.depth[:, 0, 0], 1 + 0.001 * np.arange(12), rtol=1e-6)
    part = load_clip(tmp_path / "rgb" / "3.png", tmp_path / "depth" / "%d.png", depth_scale=0.001, num_frames=4)
    np.testing.assert_array_equal(part.frames[:, 0, 0, 0], [30, 40, 50, 60])
    np.testing.assert_allclose(part.depth[:, 0, 0], [1.003, 1.004, 1.005, 1.006], rtol=1e-6)


def test_gaps_in_one_source_alone_are_refused_too(tmp_path) -> None:
    for i in (1, 2, 4):
        picture(tmp_path / "rgb" / f"{i}.png", i)
        picture(tmp_path / "depth" / f"{i}.png", i, np.uint16)
    with pytest.raises(ClipError, match="lacks frame 3"):
        read_video(tmp_path / "rgb")
    with pytest.raises(DepthError, match="lacks frame 3"):
        read_depth(tmp_path / "depth", scale=1)
    assert len(read_video(tmp_path / "rgb", num_frames=2)[0]) == 2


@pytest.mark.parametrize(
    ("name", "folder", "called"),
    [
        ("shot.v1", True, "shot.v1"), ("IMG_0423.MOV", True, "IMG_0423.MOV"), ("sh 010.v002", False, "sh 010.v002"),
        ("IMG_0423.MOV", False, "IMG_0423"), ("shot.v1.mp4", False, "shot.v1"), ("動画.gif", False, "動画"),
        ("f.v2_0001.png", False, "f.v2"), ("take.2/0001.exr", False, "take.2"),
    ],
)  # fmt: skip
def test_clips_keep_the_names_that_people_gave_them(tmp_path, name: str, folder: bool, called: str) -> None:
    path = tmp_path / name
    if folder:
        path.mkdir()
    assert clip_name(path, COLOUR_SUFFIXES) == called


def test_a_video_with_a_depth_folder_that_lacks_frames_behind_the_used_ones_is_read(tmp_path) -> None:
    write_video(tmp_path / "shot.v1.mkv", np.full((6, 36, 48, 3), 90, np.uint8), fps=24, lossless=True)
    for number in (1, 2, 3, 4, 6):
        picture(tmp_path / "z" / f"z_{number:04d}.png", number, np.uint16)
    clip = load_clip(tmp_path / "shot.v1.mkv", tmp_path / "z", num_frames=3, depth_scale=0.001)
    assert clip.name == "shot.v1"
    np.testing.assert_allclose(clip.depth[:, 0, 0], [0.001, 0.002, 0.003], rtol=1e-6)
    with pytest.raises(DepthError, match="lacks frame 5"):
        load_clip(tmp_path / "shot.v1.mkv", tmp_path / "z", num_frames=5, depth_scale=0.001)


@pytest.mark.parametrize("ending", ["jpg", "tif", "exr", "dpx"])
def test_remote_sends_pictures_of_every_kind_that_the_library_reads(tmp_path, ending: str) -> None:
    from ex4d_backend.cli.media import shot_files

    for number in (1, 2, 4):
        for folder in ("rgb", "z"):
            path = tmp_path / folder / f"f_{number}.{ending if folder == 'rgb' else 'tif'}"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    files = shot_files(tmp_path / "rgb", tmp_path / "z", num_frames=2)
    assert files.depth is not None and (files.video[0], files.depth[0]) == ("image_sequence", "image_sequence")
    assert [Path(str(p)).name for p in files.video[1][:2]] == [f"f_1.{ending}", f"f_2.{ending}"]
