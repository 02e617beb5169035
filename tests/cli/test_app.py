"""The command line as a whole: help, versions, errors nobody expected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ex4d.cli import recon as recon_module
from ex4d.cli.app import app
from ex4d.cli.console import frame_ranges

from .conftest import Shot, start

COMMANDS = ("recon", "preview", "coverage", "generate", "run", "export", "web", "solve", "doctor", "demo", "depth")


def test_help_names_every_command(ex4d) -> None:
    outcome = ex4d("--help")
    assert outcome.code == 0
    assert all(name in outcome.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(ex4d, command: str) -> None:
    outcome = ex4d(command, "--help")
    assert outcome.code == 0
    assert f"ex4d {command}" in outcome.out.split("Examples:")[1]


def test_no_command_offers_options_of_the_shell() -> None:
    from typer.main import get_command

    def options(command: Any) -> set[str]:
        below = [command.get_command(None, name) for name in getattr(command, "commands", {})]
        return {word for p in command.params for word in p.opts}.union(*(options(c) for c in below))

    group: Any = get_command(app)
    every = {name: options(group.get_command(None, name)) for name in group.list_commands(None)}
    assert {"remote", "jobs", "keys"} <= set(every)  # those of the backend's package, too
    assert [name for name, found in every.items() if any("completion" in word for word in found)] == []


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numba", "cv2", "av", "torch", "matplotlib", "trimesh", "OpenEXR", "scipy")
    code = (
        f"import sys; from ex4d.cli.app import main; main(['--help']); print([m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().splitlines()[-1] == "[]"


def test_the_version_is_the_packages(ex4d) -> None:
    from ex4d import __version__

    assert ex4d("--version").out == f"ex4d {__version__}\n"


def test_an_unknown_command_is_named(ex4d) -> None:
    outcome = ex4d("reconn")
    assert outcome.code == 2
    assert "reconn" in outcome.err


@pytest.mark.parametrize("position", ["first", "last"])
def test_debug_shows_where_in_any_position(ex4d, shot: Shot, tmp_path: Path, position: str) -> None:
    arguments = ["recon", *shot.source, "--cam", "45", "--output_dir", tmp_path]
    arguments.insert(0 if position == "first" else len(arguments), "--debug")
    outcome = ex4d(*arguments)
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.last.startswith("Error: There is no camera '45'")


def test_an_unexpected_error_is_one_sentence(ex4d, shot: Shot, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug\nover two lines")

    monkeypatch.setattr(recon_module, "render_shot", fail)
    arguments = ("recon", *shot.source, "--cam", "30", "--output_dir", tmp_path / "out")
    outcome = ex4d(*arguments)
    assert outcome.code == 1
    assert outcome.err.strip() == (
        "Error: This should not have happened (ZeroDivisionError: a bug over two lines); "
        "run the command again with --debug to see where, and report it."
    )
    assert "Traceback" in ex4d("--debug", *arguments).err
    assert not (tmp_path / "out").exists()


def test_the_console_script_and_the_module_are_one(shot: Shot) -> None:
    script = Path(sys.executable).parent / "ex4d"
    if not script.is_file():
        pytest.skip("the package is not installed with its console script")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    by_module = start("--version")
    assert by_module.communicate(timeout=240)[0] == by_script.stdout


def test_frames_are_named_in_ranges() -> None:
    assert frame_ranges([2, 3, 4, 8, 10, 11]) == "3-5, 9, 11-12"
    assert frame_ranges([]) == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_of_a_help_text_is_lost_as_markup(ex4d, command: str) -> None:
    from typer.main import get_command

    texts = [p.help for p in get_command(app).commands[command].params if getattr(p, "help", None)]
    shown = "".join(ex4d(command, "--help").out.replace("│", "").split())
    assert all("".join(text.split()) in shown for text in texts)
