"""Every numeric option of every command: no absurd number is taken silently, hangs, or ends in a traceback."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from ex4d.cli.app import app
from ex4d.shots.options import ShotOptions
from ex4d_ground.shot_files import write_shot

from .conftest import Shot
from .test_mistakes import LIBRARY_WORDS

NONE_SO_FAR = {("recon", "--input_size"), ("run", "--windows")}
"""The first has no effect in the published program, and the second is a stop that a short clip never comes to."""
WHOLE, REAL = ("-1", "99999999999999999999"), ("nan", "inf", "-inf", "1e30")
COUNTS_ALL = ("--num_frames", "--count", "--masks", "--frames")
"""A clip is shorter, which is told when it is opened."""


def commands(group: typer.Typer, *names: str) -> Iterator[tuple[tuple[str, ...], typing.Any]]:
    for each in group.registered_commands:
        assert each.callback is not None
        yield (*names, each.name or each.callback.__name__), each.callback
    for each in group.registered_groups:
        inner = each.typer_instance
        assert inner is not None
        yield from commands(inner, *names, str(inner.info.name))


def is_flag(name: object) -> bool:
    return isinstance(name, str) and name.startswith("--")


def numbers() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """A command, its option, and a value that makes no sense for it; a shot's own options once."""
    found = list(commands(app))
    for point in entry_points(group="ex4d.commands"):
        found += commands(point.load(), point.name)
    of_shots = {f"--{name}" for name in typing.get_type_hints(ShotOptions)}
    for names, callback in found:
        parameters = inspect.signature(callback, eval_str=True).parameters.values()
        shot = any(each.name == "input_video" for each in parameters)
        for each in parameters:
            kind, option = typing.get_args(each.annotation)[:2] if typing.get_args(each.annotation) else (None, None)
            kinds = {kind, *typing.get_args(kind)}
            if not kinds & {int, float} or not isinstance(option, typer.models.OptionInfo):
                continue
            named = (option.default, *(option.param_decls or ()), f"--{each.name}")
            flag = next(str(name) for name in named if is_flag(name))
            if (names[0], flag) in NONE_SO_FAR or (shot and flag in of_shots and names[0] != "recon"):
                continue
            for value in REAL if float in kinds else WHOLE[:1] if flag in COUNTS_ALL else WHOLE:
                yield names, flag, value


ALL = list(numbers())


def test_the_walk_meets_the_options_there_are() -> None:
    met = {(" ".join(names), flag) for names, flag, _ in ALL}
    assert {
        ("recon", "--border_depth"),
        ("depth estimate", "--near_depth"),
        ("depth inspect", "--scale"),
        ("generate", "--height"),
        ("farm openjd", "--gpu_memory"),
        ("train prepare", "--held_out"),
        ("jobs cancel", "--wait"),
    } <= met


@pytest.mark.parametrize(("names", "flag", "value"), ALL, ids=lambda part: part if isinstance(part, str) else part[-1])
def test_an_absurd_number_is_refused_in_a_sentence(ex4d, shot: Shot, tmp_path: Path, monkeypatch, names, flag, value):
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "none"))
    write_shot(tmp_path / "shots" / "010", {"input_video": str(shot.video), "depth": str(shot.depth), "cam": "static"})
    out = tmp_path / "out"
    ours = (*shot.source, "--cam", "orbit_left", "--output_dir", out)
    given = {
        "run": (*ours, "--engine", "preview", "--stereo", "auto"),
        "solve": (shot.video, "--depth", shot.depth, "--output", out / "c.npz"),
        "demo": ("--output_dir", out),
        "depth estimate": (shot.video, "--output", out / "d.npz", "--from_file", shot.depth),
        "depth inspect": (shot.video, shot.depth, "--output_dir", out),
        "generate": ("--color_video", shot.video, "--mask_video", shot.video, "--output_video", out / "o.mp4"),
        "farm openjd": (tmp_path / "shots", "--output", out),
        "farm flamenco": (tmp_path / "shots", "--manager", "http://127.0.0.1:9"),
        "eval guides": (tmp_path, "--output_dir", out),
        "train preview_masks": (shot.video, "--output_dir", out),
        "train prepare": (tmp_path, "--output", out),
        "jobs cancel": ("a-job",),
        "remote generate": (*ours, "--engine", "preview", "--stereo", "auto"),
    }.get(" ".join(names), ours)
    beside = {"--focal_mm": ("--sensor_mm", 36), "--sensor_mm": ("--focal_mm", 36)}
    beside |= dict.fromkeys(("--fy", "--cx", "--cy"), ("--focal", 50))
    done = ex4d(*names, *given, flag, value, *beside.get(flag, ()))
    assert done.code == 2, done.err
    assert not LIBRARY_WORDS.search(done.err), done.err
    told = flag if "Usage:" in done.err else f"{float(value):g}"
    assert told in done.err or value in done.err, done.err
    assert not out.exists()
