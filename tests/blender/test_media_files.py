"""The add-on finds a clip's files by the rule that every program has (FORMATS.md, sequences of pictures)."""

from __future__ import annotations

from pathlib import Path

import pytest


def put(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_folders_are_read_by_number_and_depth_belongs_to_its_frame(tmp_path):
    from blender_addon.jobs import media

    colour = put(tmp_path / "rgb", *(f"{i}.png" for i in range(3, 12)), "._3.png", "Thumbs.db")
    depth = put(tmp_path / "z", *(f"{i}.exr" for i in range(12)))
    found = media.find_clip(colour, depth)
    assert found.video.kind == "png_sequence"
    assert found.depth is not None and found.depth.kind == "exr_sequence"
    assert [p.stem for p in found.video.paths] == [p.stem for p in found.depth.paths] == [str(i) for i in range(3, 12)]
    assert media.find_video(colour / "9.png").paths == tuple(colour / f"{i}.png" for i in (9, 10, 11))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("f1.png", "f2.png", "f4.png"), "lacks frame 3"),
        (("s_v1.01.png", "s_v1.02.png", "s_v2.01.png", "s_v2.02.png"), "2 sequences: s_v1.##.png"),
    ],
)
def test_gaps_and_versions_are_refused_by_name(tmp_path, names, said):
    from blender_addon.jobs import media
    from blender_addon.work.errors import AddonError

    with pytest.raises(AddonError, match=said.replace(".", r"\.")) as refused:
        media.find_video(put(tmp_path / "plate", *names))
    assert "--" not in refused.value.text("panel")


def test_all_files_are_sent_where_only_the_first_frames_are_used(tmp_path):
    from blender_addon.jobs import media

    colour, depth = (put(tmp_path / name, *(f"{i}.png" for i in range(1, 6))) for name in ("rgb", "z"))
    found = media.find_clip(colour, depth, num_frames=2)
    assert found.depth is not None and len(found.video.paths) == len(found.depth.paths) == 5


@pytest.mark.comes_in("Images", "folders of JPEG, TIFF, EXR or DPX in Blender", "sent as they are, read by the backend")
@pytest.mark.parametrize("ending", ["jpg", "JPG", "tif", "exr", "dpx", "webp"])
def test_pictures_of_other_kinds_are_sent_as_they_are(tmp_path, ending):
    from blender_addon.jobs import media

    folder = put(tmp_path / "rgb", *(f"{i}.{ending}" for i in range(9, 12)))
    found = media.find_video(folder)
    assert (found.kind, [p.stem for p in found.paths]) == ("image_sequence", ["9", "10", "11"])
    assert media.find_video(folder / f"10.{ending}").paths == found.paths[1:]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("IMG_0423.mov", "IMG_0423"),
        ("f23976.mp4", "f23976"),
        ("20250714.mp4", "20250714"),
        ("ทะเล 2.mp4", "ทะเล_2"),
        ("撮影.mov", "撮影"),
        ("Zürich.v2.mp4", "Zürich_v2"),
        ("plate_v003.0001.exr", "plate_v003"),
        ("shot-0001.png", "shot"),
        ("con.mp4", "con_"),
        ("a/b/0001.png", "b"),
    ],
)
def test_clips_keep_what_people_called_them(file, name):
    from blender_addon.jobs import media
    from blender_addon.work import files

    assert files.safe_name(media.clip_name(Path("/footage") / file)) == name


def test_depth_without_a_scale_says_nothing_of_its_unit(tmp_path):
    from blender_addon.jobs import clip

    said = {}
    for scale in (1.0, 0.001):
        source = clip.ClipSource(tmp_path, tmp_path, depth_scale=scale, depth_channel="Depth.Z")
        said[scale] = clip.depth_reading(source)
    assert said[1.0] == {"depth_scale": None, "depth_channel": "Depth.Z"}
    assert said[0.001] == {"depth_scale": 0.001, "depth_channel": "Depth.Z"}
