"""Files are whole or absent, and lie where the artist expects them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blender_addon import files, pc2
from blender_addon.errors import AddonError


def test_cache_reads_back_what_was_written_in_any_order(tmp_path: Path):
    data = np.random.default_rng(0).normal(size=(3, 7, 3)).astype(np.float32)
    with pc2.Pc2Writer(tmp_path / "a" / "m.pc2", points=7, samples=3) as writer:
        for t in (2, 0, 1):
            writer.write(t, data[t])
        writer.close()
    np.testing.assert_array_equal(pc2.read_pc2(tmp_path / "a" / "m.pc2"), data)


def test_unfinished_cache_leaves_nothing(tmp_path: Path):
    with pc2.Pc2Writer(tmp_path / "m.pc2", points=2, samples=2) as writer:
        writer.write(0, np.zeros((2, 3), np.float32))
        with pytest.raises(AddonError, match="1 mesh frames never arrived"):
            writer.close()
    assert list(tmp_path.iterdir()) == []


def test_wrong_vertex_count_is_refused(tmp_path: Path):
    with pc2.Pc2Writer(tmp_path / "m.pc2", points=2, samples=1) as writer:
        wrong = np.zeros((3, 3), np.float32)
        with pytest.raises(AddonError, match=r"shape \(3, 3\), expected \(2, 3\)"):
            writer.write(0, wrong)


def test_cut_cache_is_told_from_a_whole_one(tmp_path: Path):
    path = tmp_path / "m.pc2"
    with pc2.Pc2Writer(path, points=4, samples=1) as writer:
        writer.write(0, np.zeros((4, 3), np.float32))
        writer.close()
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(AddonError, match="cut short"):
        pc2.read_pc2(path)


def test_unsaved_blend_asks_to_save_it_first():
    with pytest.raises(AddonError, match="save it first"):
        files.shot_folder("", "clip")


def test_explicit_folder_needs_no_saved_blend(tmp_path: Path):
    assert files.shot_folder("", "my clip", str(tmp_path)) == tmp_path / "my_clip"


def test_files_lie_beside_the_blend_and_are_named_relative_to_it(tmp_path: Path):
    blend = str(tmp_path / "film.blend")
    folder = files.shot_folder(blend, "clip")
    assert folder == tmp_path / "film_ex4d" / "clip"
    assert files.blender_path(folder / "mesh.pc2", blend) == "//film_ex4d/clip/mesh.pc2"


def test_full_disk_is_one_sentence_and_leaves_no_part(tmp_path: Path):
    target = tmp_path / "a.png"
    target.mkdir()  # a folder in the way fails as a full disk does: at the last moment
    with pytest.raises(AddonError, match=r"Cannot write .*a\.png"):
        files.write_whole(target, b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
