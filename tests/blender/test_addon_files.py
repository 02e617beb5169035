"""Files are whole or absent, and lie where the artist expects them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from blender_addon.work import files, pc2
from blender_addon.work.errors import AddonError, StorageError
from blender_addon.work.writer import MAX_WAITING_BYTES, FolderWriter
from ex4d_ground.takes import claim_take_folder


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


def finish(writer: FolderWriter) -> None:
    steps = writer.finish()
    for _ in steps:
        time.sleep(0.001)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_cannot_be_written_into_a_folder_is_told_of_where_it_will_be(tmp_path: Path, in_place: bool):
    with pytest.raises(AddonError) as refused, FolderWriter(tmp_path / "guides", in_place=in_place) as writer:
        writer.write("a" * 300, b"x")
        finish(writer)
    assert str(refused.value).startswith(f"Cannot write {tmp_path / 'guides'}") and "too long" in str(refused.value)
    assert ".part" not in str(refused.value) and refused.value.detail == ""  # an operator asks for it


def test_folder_appears_whole_and_replaces_the_older_one(tmp_path: Path):
    for text in (b"old", b"new"):
        with FolderWriter(tmp_path / "guides", replaces=True) as writer:
            writer.write(f"{text.decode()}/1.png", text)
            assert sorted(p.name for p in tmp_path.iterdir() if p.name == "guides") == ["guides"] * (text == b"new")
            finish(writer)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")] == ["guides/new/1.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["guides"]


@pytest.mark.parametrize("in_place", [False, True])
def test_folder_that_is_not_finished_goes(tmp_path: Path, in_place: bool):
    with FolderWriter(tmp_path / "take_001", in_place=in_place) as writer:
        writer.write("1.png", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replaces", [False, True])
def test_folder_that_was_put_in_place_and_then_given_up_goes_unless_it_replaced_one(tmp_path: Path, replaces: bool):
    target = tmp_path / "shot"
    if replaces:
        target.mkdir()
    with FolderWriter(target, replaces=replaces) as writer:
        writer.write("1.png", b"x")
        next(writer.finish())
        end = time.monotonic() + 60
        while writer.folder.exists() and time.monotonic() < end:
            time.sleep(0.001)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")] == ["shot/1.png"] * replaces
    assert list(tmp_path.iterdir()) == [target] * replaces


def test_what_goes_wrong_on_the_thread_is_raised_on_the_next_call_and_nothing_more_is_written(tmp_path: Path):
    with FolderWriter(tmp_path / "shot") as writer:
        (writer.folder / "1.png").mkdir()  # in the way
        all_handed = threading.Event()
        writer.hand(lambda: all_handed.wait(60))
        writer.write("1.png", b"x")
        writer.write("2.png", b"x")
        all_handed.set()
        with pytest.raises(StorageError, match=r"Cannot write .*1\.png"):
            finish(writer)
        with pytest.raises(StorageError, match=r"Cannot write .*1\.png"):
            writer.write("3.png", b"x")
        assert [p.name for p in writer.folder.iterdir()] == ["1.png"]
    assert list(tmp_path.iterdir()) == []


def test_a_take_folder_of_someone_else_is_not_written_into(tmp_path: Path):
    (tmp_path / "take_001").mkdir()
    with FolderWriter(claim_take_folder(tmp_path), in_place=True) as writer:
        assert writer.folder.name == "take_002"
    assert (tmp_path / "take_001").exists() and not writer.folder.exists()


def test_a_slow_disk_stops_the_flow_until_it_has_caught_up(tmp_path: Path):
    go = threading.Event()
    with FolderWriter(tmp_path / "shot") as writer:
        writer.hand(go.wait)
        writer.hand(lambda: None, MAX_WAITING_BYTES + 1)
        assert writer.full
        go.set()
        finish(writer)
        assert not writer.full
