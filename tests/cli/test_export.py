"""``ex4d export`` and ``ex4d run --export``: takes in other programs' formats, from a plate on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ex4d.clip.images import read_plate
from tests.colour.plates import box_depth, smooth_light, write_plate


def plate_arguments(folder: Path) -> list[object]:
    write_plate(folder / "sh010", smooth_light().astype(np.float16))
    np.savez(folder / "depth.npz", depth=box_depth())
    camera = ["--cam", "orbit_left", "--amount", 3, "--fov", 40]
    return ["--input_video", folder / "sh010", "--depth", folder / "depth.npz", *camera]


def test_a_run_exports_its_take_and_says_what_it_read(ex4d, tmp_path: Path) -> None:
    arguments = ["run", *plate_arguments(tmp_path), "--engine", "preview", "--output_dir", tmp_path / "out"]
    done = ex4d(*arguments, "--export", "exr", "--export", "mp4-10")
    assert done.code == 0, done.err
    assert "ACEScg" in done.err
    assert "BT.2390" in done.err
    files = sorted((tmp_path / "out" / "sh010_take001").iterdir())
    assert [path.name for path in files] == [f"sh010_take001.{1001 + i}.exr" for i in range(3)]
    assert (tmp_path / "out" / "sh010_take001_mp4-10.mp4").is_file()
    before = files[0].stat().st_mtime_ns
    again = ex4d(*arguments, "--export", "exr", "--export", "png16")  # as a farm repeats a command
    assert again.code == 0, again.err
    assert files[0].stat().st_mtime_ns == before
    assert (tmp_path / "out" / "sh010_take001" / "sh010_take001.1001.png").is_file()
    assert not (tmp_path / "out" / "take_002").exists()
    pixels, space = read_plate(files[0])
    assert space.primaries == "ap1"
    first = smooth_light().astype(np.float16)[0]
    assert np.array_equal(pixels, first)  # the move starts at the source camera, which sees all of it


def test_a_take_is_exported_later_under_names_of_ones_own(ex4d, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ex4d("preview", *plate_arguments(tmp_path), "--output_dir", out).code == 0
    name = "{shot}/v{take:02}/{shot}_{engine}.{frame:05}"
    done = ex4d("export", out / "take_001", "--output_dir", tmp_path / "e", "--kind", "png16", "--name", name)
    assert done.code == 0, done.err
    assert (tmp_path / "e" / "sh010" / "v01" / "sh010_preview.01003.png").is_file()
    again = ex4d("export", out / "take_001", "--output_dir", tmp_path / "e", "--kind", "png16", "--name", name)
    assert again.code == 3
    assert "there already" in again.err
    wrong = ex4d("export", out / "take_001", "--output_dir", tmp_path / "e", "--kind", "gif")
    assert wrong.code == 2
    assert "choose one of exr, exr-float" in wrong.err


def test_a_colour_space_that_nobody_knows_is_refused_before_any_work(ex4d, tmp_path: Path) -> None:
    done = ex4d("preview", *plate_arguments(tmp_path), "--output_dir", tmp_path / "o", "--colour_space", "rec709bis")
    assert done.code in (2, 4)  # 4: without OpenColorIO there are only the standard ones
    assert not (tmp_path / "o").exists()
    both = ex4d(
        "preview", *plate_arguments(tmp_path / "b"), "--output_dir", tmp_path / "o", "--ocio", tmp_path / "c.ocio"
    )
    assert both.code == 2
    assert "--colour_space" in both.err


def test_what_is_said_of_the_colours_counts(ex4d, tmp_path: Path) -> None:
    done = ex4d(
        "preview", *plate_arguments(tmp_path), "--output_dir", tmp_path / "o", "--colour_space", "linear-rec2020"
    )
    assert done.code == 0, done.err
    assert "Colours: BT.2020 linear." in done.err


def test_a_name_that_one_of_the_kinds_cannot_have_is_refused_before_anything_is_written(ex4d, tmp_path: Path) -> None:
    made = ex4d("run", *plate_arguments(tmp_path), "--engine", "preview", "--output_dir", tmp_path / "out")
    assert made.code == 0, made.err
    for kinds in (("exr", "prores"), ("prores", "exr")):
        named = [word for kind in kinds for word in ("--kind", kind)]
        done = ex4d(
            "export", tmp_path / "out" / "take_001", *named, "--name", "{shot}.{frame}", "--output_dir", tmp_path / "ex"
        )
        assert done.code != 0 and "one file for all frames" in done.err
        assert not (tmp_path / "ex").exists()


def test_a_run_refuses_such_a_name_before_it_reads_anything(ex4d, tmp_path: Path) -> None:
    arguments = [*plate_arguments(tmp_path), "--engine", "preview", "--output_dir", tmp_path / "out"]
    done = ex4d("run", *arguments, "--export", "mp4", "--name", "{shot}.{frame}")
    assert done.code != 0 and "one file for all frames" in done.err
    assert "Reading" not in done.err and not (tmp_path / "out").exists()
