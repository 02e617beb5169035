"""Installing the backend from Blender's side: the command for each system and shell, and finding what it made."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from drawn_panels import Layout, draw_all

from blender_addon.work import install
from ex4d_ground import shells
from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR

LINUX, MACOS, WINDOWS = "linux", "darwin", "win32"
FOLDERS = [
    (LINUX, {}, "/home/ann", "/home/ann/.local/share/ex4d/backend"),
    (LINUX, {"XDG_DATA_HOME": "/data/ann"}, "/home/ann", "/data/ann/ex4d/backend"),
    (LINUX, {"XDG_DATA_HOME": "relative"}, "/home/ann", "/home/ann/.local/share/ex4d/backend"),
    (MACOS, {"XDG_DATA_HOME": "/data"}, "/Users/ann", "/Users/ann/Library/Application Support/ex4d/backend"),
    (WINDOWS, {"LOCALAPPDATA": r"D:\Local"}, r"C:\Users\Ann", r"D:\Local\ex4d\backend"),
    (WINDOWS, {}, r"C:\Users\Ann", r"C:\Users\Ann\AppData\Local\ex4d\backend"),
]
AWKWARD = ["ann", "Ann Lee", "O'Hara", "Zoë ปริม", "100% $HOME `id` \\ ; & | * ? ~ # ! (x)", 'say "hi"', "-dash"]
"""Names of folders; Windows allows fewer."""
WINDOWS_NAMES = ["Ann", "Ann Lee", "O'Hara", "O\u2019Hara", "Zoë ปริม", "100%PATH%", "a&b (x)", "a$b;c`d"]


@pytest.mark.parametrize(("platform", "environment", "home", "expected"), FOLDERS)
def test_the_environment_lies_in_the_users_data_folder(platform, environment, home, expected):
    assert str(install.environment_folder(platform, environment, home)) == expected


def posix_parts(name: str, platform: str = LINUX) -> tuple[list[str], PurePath, PurePath]:
    home = PurePosixPath("/home", name)
    folder = install.environment_folder(platform, {}, str(home))
    return [str(home / "bin" / "python3.11")], home / "ex4d-0.1.0-py3-none-any.whl", folder


NOTES_ITS_WORDS = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv))\n"


@pytest.mark.skipif(os.name == "nt", reason="asks bash")
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("shell", ["bash", "sh", "zsh"])
def test_a_posix_shell_reads_each_word_as_it_is_meant(name, shell, tmp_path):
    """The line runs, with programs that write down what they are called with, in folders of awkward names."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    home = tmp_path / name
    python, folder = home / "bin" / "python3.11", home / "ex4d" / "backend"
    for program in (python, folder / "bin" / "python"):
        program.parent.mkdir(parents=True)
        program.write_text(NOTES_ITS_WORDS, encoding="utf-8")
        program.chmod(0o755)
    wheel = home / "ex4d-0.1.0-py3-none-any.whl"
    line = install.command(LINUX, [str(python)], wheel, folder)
    done = subprocess.run([shell, "-c", line], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    called = [json.loads(words) for words in done.stdout.splitlines()]
    own = str(folder / "bin" / "python")
    assert called == [[str(python), "-m", "venv", str(folder)], [own, "-m", "pip", "install", "--upgrade", str(wheel)]]


def test_what_fails_first_keeps_the_rest_from_running(tmp_path):
    line = install.command(LINUX, ["false"], PurePosixPath("/x.whl"), tmp_path / "backend")
    assert subprocess.run(["sh", "-c", line], timeout=240).returncode == 1 and not (tmp_path / "backend").exists()


def test_macos_has_its_own_folder_and_the_same_words():
    python, wheel, folder = posix_parts("ann", MACOS)
    assert install.command(MACOS, python, wheel, folder) == (
        "/home/ann/bin/python3.11 -m venv '/home/ann/Library/Application Support/ex4d/backend' && "
        "'/home/ann/Library/Application Support/ex4d/backend/bin/python' -m pip install --upgrade "
        "/home/ann/ex4d-0.1.0-py3-none-any.whl"
    )


def windows_line(name: str, shell: str, **more: Any) -> tuple[str, list[list[str]]]:
    """The line, and the two commands it should be."""
    home = PureWindowsPath("C:/Users", name)
    folder = install.environment_folder(WINDOWS, {}, str(home))
    wheel = home / "Blender Foundation" / "ex4d-0.1.0-py3-none-any.whl"
    own = str(folder / "Scripts" / "python.exe")
    make = ["py", "-3.12", "-m", "venv", str(folder)]
    line = install.command(WINDOWS, ["py", "-3.12"], wheel, folder, shell, **more)
    return line, [make, [own, "-m", "pip", "install", "--upgrade", str(wheel)]]


def read_powershell(words: str) -> list[str]:
    """PowerShell's rules for bare words and for strings in single quotes, of which it knows five kinds."""
    found, word, inside, i = [], "", False, 0
    quotes = "'\u2018\u2019\u201a\u201b"
    while i < len(words):
        here, doubled = words[i], words[i + 1 : i + 2]
        if here in quotes and inside and doubled and doubled in quotes:
            word, i = word + doubled, i + 1
        elif here in quotes:
            inside = not inside
        elif here == " " and not inside:
            found, word = [*found, word], ""
        else:
            assert inside or here not in '$`;&|(){}<>@#,"%', f"{here} means something of its own there"
            word += here
        i += 1
    assert not inside
    return [*found, word]


def read_cmd(words: str, variables: dict[str, str]) -> list[str]:
    """The Command Prompt's phases: variables between two %, then carets outside quotes, then a program's own quotes."""
    for name, value in variables.items():
        words = words.replace(f"%{name}%", value)
    plain, inside, escaped = "", False, False
    for here in words:
        if escaped:
            plain, escaped = plain + here, False
        elif here == "^" and not inside:
            escaped = True
        else:
            assert inside or here not in "&|<>()", f"{here} means something of its own there"
            inside ^= here == '"'
            plain += here
    found, word, inside = [], "", False
    for here in plain:
        if here == '"':
            inside = not inside
        elif here == " " and not inside:
            found, word = [*found, word], ""
        else:
            word += here
    return [*found, word]


@pytest.mark.parametrize("name", WINDOWS_NAMES)
def test_powershell_reads_each_word_as_it_is_meant(name):
    line, commands = windows_line(name, "")
    assert line.startswith("& ") and line.endswith(" }"), "what is quoted is called with &"
    first, then = line.removeprefix("& ").removesuffix(" }").split("; if ($?) { & ")
    assert [read_powershell(first), read_powershell(then)] == commands


@pytest.mark.parametrize("name", WINDOWS_NAMES)
def test_the_command_prompt_reads_each_word_as_it_is_meant(name):
    line, commands = windows_line(name, shells.CMD)
    first, then = line.split(" && ")
    assert [read_cmd(words, {"PATH": "C:\\Windows"}) for words in (first, then)] == commands


def test_a_broken_environment_is_made_anew():
    line, _ = windows_line("Ann", shells.CMD, anew=True)
    assert line.startswith(r"py -3.12 -m venv --clear C:\Users\Ann\AppData\Local\ex4d\backend && ")


def test_our_name_is_never_asked_of_an_index():
    """What is installed is a path, on every system."""
    for platform, path in ((LINUX, PurePosixPath("/x/ex4d.whl")), (WINDOWS, PureWindowsPath("C:/x/ex4d.whl"))):
        for shell in shells.shells(platform):
            line = install.command(platform, ["py"], path, path.parent / "backend", shell)
            assert line.rstrip(" }").endswith(str(path))


# -- finding it again --------------------------------------------------------------------------------------


@pytest.fixture
def nothing_installed(blender, monkeypatch, tmp_path):
    """A user without any backend: an empty data folder, none on the PATH, and an interpreter that has none."""
    import importlib.util

    find = importlib.util.find_spec
    without = lambda name, *more: None if name == "ex4d_backend" else find(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", without)
    for name in ("EX4D_BACKEND_COMMAND", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folders = os.environ["PATH"].split(os.pathsep)
    others = [each for each in folders if not (Path(each) / "ex4d-backend").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), *others]))
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "jobs"))
    return blender


def make_environment(script: str = "#!/bin/sh\n") -> Path:
    """A real virtual environment where the command makes it, with a backend of that name in it."""
    folder = install.here()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=240)
    program = Path(install.program(sys.platform, folder))
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
    return program


def test_the_environment_is_found_before_the_path_and_after_what_was_said(nothing_installed, monkeypatch, tmp_path):
    from blender_addon.work.errors import AddonError
    from blender_addon.work.local_backend import find_command

    with pytest.raises(AddonError, match="No EX-4D backend is installed here") as caught:
        find_command()
    assert caught.value.remedy is not None and caught.value.remedy.action == "install_backend"
    on_path = tmp_path / "bin" / "ex4d-backend"
    on_path.parent.mkdir()
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    assert find_command() == [str(on_path)]
    own = make_environment()
    assert find_command() == [str(own)]
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", "from-environment")
    assert find_command() == ["from-environment"]
    assert find_command("from-preferences") == ["from-preferences"]


def test_an_environment_whose_python_is_gone_is_said_to_be_and_made_anew(nothing_installed):
    from blender_addon.work.errors import AddonError
    from blender_addon.work.local_backend import find_command

    own = make_environment()
    assert not install.is_broken()
    config = install.here() / "pyvenv.cfg"
    lines = config.read_text(encoding="utf-8").splitlines()
    config.write_text("\n".join("home = /gone/bin" if x.startswith("home") else x for x in lines), encoding="utf-8")
    with pytest.raises(AddonError, match="its Python is gone") as caught:
        find_command()
    assert str(own) in str(caught.value)
    assert " --clear " in install.command_here()


def test_a_python_is_taken_that_runs_the_backend_and_makes_environments(nothing_installed, monkeypatch, tmp_path):
    install.find_python.cache_clear()
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name, said in (("python3.12", "exit 1"), ("python3.13", "echo 3 13"), ("python3", "echo 3 9")):
        (folder / name).write_text(f"#!/bin/sh\n{said}\n")
        (folder / name).chmod(0o755)
    try:
        assert install.find_python() == (str(folder / "python3.13"),), "the first that answers with a version that fits"
        (folder / "python3.13").write_text("#!/bin/sh\necho 3 14\n")
        install.find_python.cache_clear()
        monkeypatch.setattr(install, "HOMEBREW", ())
        blender = folder / "blender"  # asking it would open a window
        blender.write_text("#!/bin/sh\necho 3 13\n")
        blender.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(blender))
        assert install.find_python() == ()
    finally:
        install.find_python.cache_clear()
    assert "python3.12" in install.no_python(LINUX) and "py -3.12" in install.no_python(WINDOWS)


# -- in Blender --------------------------------------------------------------------------------------------


def preferences_box(blender: Any) -> Layout:
    from blender_addon.panels import install as panel

    layout = Layout()
    panel.draw_box(layout, blender.context)
    return layout


def test_the_preferences_and_the_panel_offer_the_command_where_no_backend_is(nothing_installed, tmp_path):
    box = preferences_box(nothing_installed)
    buttons = [name for name, _ in box.buttons]
    assert buttons == ["ex4d.copy_install_command", "ex4d.find_backend"]
    clip = draw_all(nothing_installed.context)["Clip"]
    assert "ex4d.copy_install_command" in clip.operators()
    make_environment()
    (update,) = preferences_box(nothing_installed).buttons
    assert update[0] == "ex4d.copy_install_command", "a newer extension brings a newer backend"
    assert "ex4d.copy_install_command" not in draw_all(nothing_installed.context)["Clip"].operators()


def test_the_command_is_copied_and_what_to_do_next_is_said(nothing_installed):
    from blender_addon.work import session

    operators = nothing_installed.ops.ex4d
    assert operators.copy_install_command() == {"FINISHED"}
    current = session.get()
    try:
        assert "Paste it into a terminal" in current.message and "press Look Again" in current.message
        assert "ex4d.find_backend" in draw_all(nothing_installed.context)["Clip"].operators()
    finally:
        current.tell("")
    with pytest.raises(RuntimeError, match="no shell of this system"):
        operators.copy_install_command(shell="tcsh")


def test_looking_again_finds_starts_and_connects(nothing_installed, backend_command):
    from blender_addon.work import session

    with pytest.raises(RuntimeError, match="No EX-4D backend is installed here"):
        nothing_installed.ops.ex4d.find_backend()
    make_environment(f'#!/bin/sh\nexec {backend_command} "$@"\n')
    assert nothing_installed.ops.ex4d.find_backend() == {"FINISHED"}
    assert session.get().connected and session.get().backend is not None


OLDER = """import runpy
from ex4d_protocol import base
base.PROTOCOL_MINOR = 0
runpy.run_module("ex4d_backend", run_name="__main__", alter_sys=True)
"""
"""A backend as it was before the newest additions to the protocol."""


def test_a_backend_older_than_the_extension_is_said_to_be_with_the_command(
    nothing_installed, project_python, monkeypatch, tmp_path
):
    from blender_addon.work import connecting

    script = tmp_path / "older.py"
    script.write_text(OLDER, encoding="utf-8")
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", shlex.join([*project_python, str(script)]))
    assert nothing_installed.ops.ex4d.start_backend() == {"FINISHED"}
    problem = connecting.outdated()
    assert f"protocol {PROTOCOL_MAJOR}.0, older than this extension's {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}" in str(problem)
    assert "ex4d.copy_install_command" in [name for name, _ in preferences_box(nothing_installed).buttons]


def test_a_backend_of_the_same_protocol_is_not_spoken_of(nothing_installed, backend_command, monkeypatch):
    from blender_addon.work import connecting

    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    assert nothing_installed.ops.ex4d.start_backend() == {"FINISHED"}
    assert connecting.outdated() is None and preferences_box(nothing_installed).buttons == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="runs bash")
def test_the_command_installs_a_backend_that_the_add_on_finds_and_that_answers(
    blender, build_addon, tmp_path, monkeypatch
):
    """The real thing: the wheel of the zip, its dependencies from the package index, a user's folder of its own."""
    from blender_addon.work import session
    from blender_addon.work.local_backend import find_command

    monkeypatch.delenv("EX4D_BACKEND_COMMAND", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "Ann's data"))
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "jobs"))
    wheel = build_addon.backend_wheel(tmp_path / "zip's wheel")
    python = install.find_python()
    assert python, "no Python from 3.11 to 3.13 makes environments here"
    line = install.command(sys.platform, python, wheel, install.here())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "COV"))}
    done = subprocess.run(["bash", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    own = install.here() / "bin" / "ex4d-backend"
    assert find_command() == [str(own)]
    monkeypatch.delenv("PYTHONPATH", raising=False)  # nothing of the checkout helps it
    assert blender.ops.ex4d.find_backend() == {"FINISHED"}
    welcome = session.get().require_link().client.welcome
    assert welcome is not None and welcome.versions["ex4d"] == wheel.name.split("-")[1]
    assert "preview" in [engine.name for engine in session.get().capabilities.engines if engine.available]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ex4d-0.1.0-py3-none-manylinux_2_17_x86_64.whl", "ex4d-0.1.0-py3-none-manylinux_2_17_x86_64.whl[compiled]"),
        ("ex4d-0.1.0-py3-none-any.whl", "ex4d-0.1.0-py3-none-any.whl"),
        ("checkout of any", "checkout of any"),
    ],
)
def test_a_wheel_with_kernels_brings_the_numba_that_they_were_compiled_with(name, wanted):
    asked = install.command(LINUX, ["python3.11"], PurePosixPath("/x", name), PurePosixPath("/env"))
    assert shlex.split(asked)[-1] == f"/x/{wanted}"
