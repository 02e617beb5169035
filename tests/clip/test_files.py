"""Results appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ex4d_ground.errors import Cancelled, DepthError, OutputError, SettingError
from ex4d_ground.files import atomic_path, from_home, output_error, shown_path, staged_folder, told_of_folder


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.suffix == ".txt"
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [Cancelled("Cancelled."), DepthError("x"), KeyboardInterrupt()])
def test_an_error_keeps_the_old_file_and_its_own_type(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [Cancelled("Cancelled."), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_folders_that_were_made_for_a_file_go_where_it_does_not_come_to_be(
    tmp_path: Path, error: BaseException
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises((type(error), OutputError)), atomic_path(tmp_path / "mine" / "new" / "er" / "a.txt"):
        raise error
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    with pytest.raises(OutputError, match="too long"), atomic_path(tmp_path / ("a" * 300) / "a.txt"):
        raise AssertionError


def test_a_full_disk_becomes_a_sentence_with_its_errno(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"Cannot write .*: the disk is full; free some space") as caught,
        atomic_path(tmp_path / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


def test_what_goes_wrong_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    """Also where the sentence comes from whoever was given the hidden one, and the path is shortened."""
    deep = tmp_path.joinpath(*["a" * 60] * 6)
    for folder in (tmp_path, deep):
        with pytest.raises(DepthError) as refused, atomic_path(folder / "a.txt") as temporary:
            raise DepthError(f"{shown_path(temporary)} is none.")
        said = str(refused.value)
        assert said.startswith(str(folder)[:100]) and said.endswith(f"{str(folder)[-20:]}{os.sep}a.txt is none.")
        with pytest.raises(OutputError) as refused, staged_folder(folder) as staging:
            raise output_error(staging / "right" / "b.txt", OSError(errno.ENOSPC, "full"))
        assert str(refused.value).endswith(
            f"{os.sep}right{os.sep}b.txt: the disk is full; free some space or choose another folder."
        )
        assert ".partial" not in str(refused.value) and refused.value.errno == errno.ENOSPC


def test_what_nobody_asked_for_by_name_is_told_of_its_folder(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "full")
    with pytest.raises(OutputError) as refused, told_of_folder(tmp_path / ".guides-1", "the guides"):
        raise output_error(tmp_path / ".guides-1-0.npz", full)
    assert str(refused.value).startswith(f"Cannot write the guides into {tmp_path}: the disk is full;")
    with pytest.raises(OutputError, match=r"mine\.npz"), told_of_folder(tmp_path / ".guides-1", "the guides"):
        raise output_error(tmp_path / "mine.npz", full)


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "\u0e01" * 83 + ".txt", "." + "a" * 254])
def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == [name]


def test_a_staged_folder_moves_everything_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with staged_folder(out) as staging:
        (staging / "a.txt").write_text("a")
        (staging / "take").mkdir()
        (staging / "take" / "b.txt").write_text("b")
        assert [p.name for p in out.iterdir()] == [staging.name]
    assert sorted(os.listdir(out)) == ["a.txt", "take"]
    with staged_folder(out) as staging:
        (staging / "take").mkdir()
        (staging / "take" / "c.txt").write_text("c")
    assert sorted(os.listdir(out)) == ["a.txt", "take"]
    assert os.listdir(out / "take") == ["c.txt"]


def test_a_failed_stage_leaves_the_world_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(Cancelled), staged_folder(tmp_path / "deep" / "out") as staging:
        (staging / "a.txt").write_text("half")
        raise Cancelled("Cancelled.")
    assert os.listdir(tmp_path) == []
    (tmp_path / "kept").mkdir()
    with pytest.raises(Cancelled), staged_folder(tmp_path / "kept"):
        raise Cancelled("Cancelled.")
    assert os.listdir(tmp_path) == ["kept"]


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"), staged_folder(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="is a file, not a folder"), staged_folder(tmp_path / "file"):
        pytest.fail("the block must not run")


def test_what_killed_processes_left_goes_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    left, others = (
        [".0a1b2c3d.partial", ".clip.0a1b2c3d.partial.mp4"],
        [".ffffffff.partial", ".12345678.partial", ".mine.partial", "a.partial"],
    )
    for name in (left[0], *others[:2]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "video.mp4").write_text("half")
    for name in (left[1], *others[2:]):
        (tmp_path / name).write_text("half")
    for name in (f"{left[0]}/video.mp4", *left, *others[1:]):  # a folder is as new as what is written into it
        os.utime(tmp_path / name, (1, 1))
    with staged_folder(tmp_path) as staging:
        (staging / "b.txt").write_text("b")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "b.txt"])


def test_the_home_of_nobody_is_told() -> None:
    assert from_home("~/x") == Path.home() / "x"
    assert from_home("/tmp/~x") == Path("/tmp/~x")
    with pytest.raises(SettingError, match="'~nobody-of-that-name/x' begins; write the whole path"):
        from_home("~nobody-of-that-name/x")
