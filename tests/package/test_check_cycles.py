"""The check for import cycles, on trees made up for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_cycles.py"


def check(root: Path, files: dict[str, str]) -> tuple[int, str]:
    """The exit code and everything said about a tree of ``files``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run([sys.executable, str(SCRIPT), str(root)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


CLEAN = {
    "ex4d/__init__.py": "",
    "ex4d/low.py": "import json\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ex4d.high import f\n",
    "ex4d/high.py": "from ex4d import low\ndef f(): return low\n",
    "ex4d/shown/__init__.py": "from .part import thing\n",
    "ex4d/shown/part.py": "from ex4d.low import json\nfrom . import other\nthing = 1\n",
    "ex4d/shown/other.py": "",
    "protocol/wire/__init__.py": "",
    "protocol/wire/user.py": "from wire.base import x\n",
    "protocol/wire/base.py": "x = 1\n",
    "scripts/run.py": "import tools\nfrom ex4d.shown import thing\n",
    "scripts/tools.py": "",
}


def test_a_tree_without_cycles_is_clean(tmp_path):
    assert check(tmp_path, CLEAN) == (0, f"no import cycles in {len(CLEAN)} modules\n")


@pytest.mark.parametrize(
    ("change", "tied", "name"),
    [
        ({"ex4d/low.py": "def g():\n    from ex4d.high import f\n"}, ("ex4d/low.py", "ex4d/high.py"), "f"),
        (
            {
                "ex4d/shown/part.py": "from ex4d.high import f\nthing = 1\n",
                "ex4d/low.py": "from ex4d.shown import thing",
            },
            ("ex4d/high.py", "ex4d/low.py", "ex4d/shown/__init__.py", "ex4d/shown/part.py"),
            "thing",
        ),
        ({"ex4d/shown/other.py": "from . import thing\n"}, ("ex4d/shown/__init__.py", "ex4d/shown/other.py"), "thing"),
        ({"protocol/wire/base.py": "class A:\n    from .user import x\n"}, ("protocol/wire/user.py",), "x"),
        ({"scripts/tools.py": "import run\n"}, ("scripts/run.py", "scripts/tools.py"), "run"),
    ],
    ids=["lazy", "through a package", "own package", "relative", "beside each other"],
)
def test_a_cycle_is_found_and_what_ties_it_named(tmp_path, change, tied, name):
    code, said = check(tmp_path, {**CLEAN, **change})
    assert code == 1
    assert said.count("modules import each other") == 1
    assert all(module in said.splitlines()[0] for module in tied), said
    assert f"imports {name} of " in said
    assert ("inside a function" in said) == ("def " in str(change))


def test_two_cycles_are_two(tmp_path):
    more = {"ex4d/low.py": "import ex4d.high\n", "scripts/tools.py": "from scripts import run\n"}
    code, said = check(tmp_path, {**CLEAN, **more})
    assert code == 1 and said.count("2 modules import each other") == 2


def test_a_name_that_a_package_shows_is_not_taken_for_the_module_it_is_called_like(tmp_path):
    alike = {
        "ex4d/shown/__init__.py": "from ex4d.shown.align import align\nfrom ex4d.shown.part import thing\n",
        "ex4d/shown/align.py": "def align(): pass\n",
        "ex4d/shown/part.py": "from ex4d.shown.align import align\nthing = 1\n",
    }
    assert check(tmp_path, {**CLEAN, **alike})[0] == 0
    (tmp_path / "ex4d/shown/part.py").write_text("from ex4d.shown import align\nthing = 1\n")
    assert check(tmp_path, {})[0] == 1
