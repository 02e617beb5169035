"""What people are told to do stands in one place: no sentence of the library names a flag, every action is known."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ex4d_ground import remedies
from ex4d_ground.errors import Ex4dError, MissingExtraError, in_words

ROOT = Path(__file__).resolve().parents[2]
FLAG = re.compile(r"--[a-zA-Z]")
LEADER_FLAGS = ["--kind", "--folder", "--parent"]  # how the processes of a group are started, and by whoever leads it
GROUP_FLAGS = [*LEADER_FLAGS, "--everywhere"]
NO_MESSAGES = {
    "ex4d/depth/lens_file.py": ["--background", "--factory-startup", "--python"],  # how Blender is started
    "ex4d/engines/gpu.py": ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits", "--id="],
    "ex4d/weights/catalogue.py": [" --local-dir '"],  # of the command that fetches a model
    "ex4d/doctor.py": ["--force-reinstall"],
    "ex4d/engines/followers.py": LEADER_FLAGS,
    "ex4d/engines/launch.py": GROUP_FLAGS,
    "ex4d/engines/rank.py": GROUP_FLAGS,
    "ex4d/cuda.py": ["pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast"],
}
"""Commands to be run, by us or by a remedy."""


def strings(path: Path) -> Iterator[str]:
    """Every string of a module that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def test_no_message_of_the_library_names_a_flag() -> None:
    named = {}
    for path in sorted((ROOT / "ex4d").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        flags = [text for text in strings(path) if FLAG.search(text) and not name.startswith("ex4d/cli/")]
        if flags:
            named[name] = flags
    assert named == NO_MESSAGES


def test_no_message_of_the_library_ends_with_a_command() -> None:
    """The remedy holds it; what is computed in an evaluation's table is none."""
    found = {path for path in (ROOT / "ex4d").rglob("*.py") for text in strings(path) if "run: " in text}
    assert {path.relative_to(ROOT / "ex4d").parts[0] for path in found} <= {"cli", "eval", "depth"}
    assert all(path.name == "external.py" for path in found if "depth" in path.parts)


def made() -> list[remedies.Remedy]:
    """Every remedy there is."""
    makers = (f for _, f in inspect.getmembers(remedies, inspect.isfunction) if f.__module__ == remedies.__name__)
    needed = {make: [p for p in inspect.signature(make).parameters.values() if p.default is p.empty] for make in makers}
    return [make(*(7 for p in ps if p.kind is not p.VAR_POSITIONAL)) for make, ps in needed.items()]


def test_every_action_is_known_and_has_a_remedy() -> None:
    assert {remedy.action for remedy in made()} - {""} == set(remedies.ACTIONS)


@pytest.mark.parametrize("remedy", made(), ids=lambda remedy: remedy.panel)
def test_a_remedy_has_words_that_end_a_sentence_and_no_flags_in_blender(remedy: remedies.Remedy) -> None:
    assert remedy.panel and "--" not in remedy.panel
    for words in (remedy.cli, remedy.panel):
        assert not words.endswith(".")
    end = "" if "run: " in remedy.panel else "."  # a command is to be copied
    assert in_words("It is wrong.", remedy, "panel") == f"It is wrong; {remedy.panel}{end}"
    assert in_words("It is wrong.", None, "panel") == "It is wrong."


def test_remedies_in_blender_name_what_the_extension_shows() -> None:
    """Every capitalised word within a sentence is a label of ours, Blender's own, or an engine's setting."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import translations

    labels = set(translations.said())
    others = {"Preferences", "System", "Network", "Allow Online Access", "Object Mode", "Tab", "Ctrl", "S", "Z"}
    others |= {"Memory", "Offload"}  # of the wan engine
    sources = {"EX"}  # EX-4D's source
    named = {name for each in made() for name in re.findall(r"(?<![\w.])[A-Z]\w*(?: [A-Z]\w*)*", each.panel)}
    assert {"Fill Invalid", "Channel", "Scale", "FOV", "Filming Camera", "Other Frames", "Look Again"} <= named
    assert named - labels - others - sources == set()


def test_an_error_keeps_code_and_remedy_when_it_is_worded_anew() -> None:
    error = MissingExtraError("Depth", "depth")
    other = error.reworded("Something else.")
    assert (type(other), other.code, other.remedy) == (MissingExtraError, "missing_extra", error.remedy)
    assert error.text("cli") == (
        "Depth needs the 'depth' extra, which is not installed; in the folder of EX-4D's source run: "
        "pip install '.[depth]'"
    )
    assert isinstance(other, Ex4dError) and "run:" not in str(error)


def test_nobody_is_told_to_install_us_from_an_index() -> None:
    """We are on no index of packages: whatever has our names there is someone else's."""
    ours = re.compile(r"pip3? install(?:\s+-\S+)*\s+['\"]?ex4d[\w-]*(?![\w./-]*[/.])", re.IGNORECASE)
    assert ours.search("pip install ex4d") and ours.search("pip install -U 'ex4d[wan]'")
    assert not ours.search("pip install './ex4d'") and not ours.search("pip install dist/ex4d-1.0.whl")
    folders = ("ex4d", "backend", "protocol", "blender_addon", "examples", "scripts", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + [ROOT / "README.md"]
    texts = [path for path in files if path.suffix in (".py", ".md", ".po", ".toml", ".sh")]
    assert len(texts) > 200
    assert [path for path in texts if ours.search(path.read_text(encoding="utf-8"))] == []
