"""Kernels that came along are run as they are; where they do not fit, kernels are compiled, and it is said why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ex4d.compiled import shipped

from .conftest import ROOT, Run
from .test_sources import ROWS, edit

MAKE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "scripts")!r})
{ROWS}
import compile_kernels
compile_kernels.ROOT = Path.cwd()
compile_kernels.put([run_rows], Path("ex4d/compiled/shipped"))
"""
"""Compiles one kernel and has it come along with the copy."""
SAID = ROWS.replace("import numpy as np", "import numpy as np\nfrom ex4d.compiled.notice import announced").replace(
    "run_rows(faces,", "with announced(lambda step: print(step.stage, step.message)): run_rows(faces,"
)
"""The same as ROWS, and what is said meanwhile."""
CPU, FEATURES = shipped.TARGETS.get(shipped.machine(), ("", ""))
pytestmark = pytest.mark.skipif(not CPU, reason=f"no kernels are built for {shipped.machine()}")


@pytest.fixture
def along(package: Path, run: Run) -> Path:
    """The folder of what came along, for processors of this kind; the cache beside it is empty."""
    cache = package.parent / "cache of the build"
    assert run(MAKE, NUMBA_CPU_NAME=CPU, NUMBA_CPU_FEATURES=FEATURES, NUMBA_CACHE_DIR=str(cache))[-1] == "1"
    return package / "ex4d" / "compiled" / "shipped" / shipped.python_folder()


def cached(package: Path) -> list[str]:
    return [path.name for path in (package.parent / "cache").rglob("*.nb?")]


def test_what_came_along_is_run_without_compiling_anything(package: Path, run: Run, along: Path) -> None:
    assert run(SAID) == ["0", "3", "0"]
    assert cached(package) == []


def test_what_came_along_is_of_no_use_after_a_change(package: Path, run: Run, along: Path) -> None:
    edit(package / "ex4d" / "raster" / "subpixels.py", "SUBPIXELS = 256", "SUBPIXELS = 128")
    assert run(ROWS) == ["0", "7", "1"]
    assert run(ROWS) == ["0", "7", "0"], "what was compiled instead is kept"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"numba": "0.60.0"}, "Those that came along are for numba 0.60.0; this is"),
        pytest.param({"llvmlite": "0.43.0"}, "are for llvmlite 0.43.0; this is", marks=pytest.mark.slow),
        ({"features": "+avx2,+warp9"}, "a processor without +warp9."),
        pytest.param({"triple": "x86_64-pc-windows-msvc"}, "windows-msvc; this is", marks=pytest.mark.slow),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_compiled_and_it_is_said_why(package: Path, run: Run, along: Path, changed, why) -> None:
    about = along / shipped.ABOUT
    about.write_text(json.dumps(json.loads(about.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    words = run(SAID)
    assert words[0] == "preparing" and words[-3:] == ["0", "3", "1"]
    said = " ".join(words[1:-3])
    assert said.startswith("Preparing compiled parts for this machine, once: about ") and why in said
    assert any(name.startswith("faces.run_rows") for name in cached(package))
    assert run(SAID) == ["0", "3", "0"], "said once"


def test_another_python_compiles_and_says_so(package: Path, run: Run, along: Path) -> None:
    along.rename(along.with_name("cp399"))
    words = run(SAID)
    assert words[-1] == "1" and "came along are for Python 3.99; this is" in " ".join(words)


def test_without_any_that_came_along_nothing_is_said_of_them(run: Run) -> None:
    words = run(SAID)
    assert words[0] == "preparing" and words[-1] == "1" and "along" not in words


@pytest.mark.slow
def test_results_do_not_depend_on_the_processor_that_kernels_were_compiled_for(tmp_path: Path) -> None:
    """Mask and colour bit by bit, of guides that reach into everything, and filled pictures."""
    code = f"""
import hashlib, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import compile_kernels as c
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, get_engine
from ex4d.guides import render_guides
from ex4d_ground.options import MeshOptions
clip = c.make_clip()
path, digest = c.move(clip, 60.0), hashlib.sha256()
guides = render_guides(DWMesh(clip, MeshOptions(mode="solid")), path, rasterizer="cpu")
filled = get_engine("preview").generate(GenerateRequest(guides, path, clip, {{}}))
for array in (guides.colour, guides.mask, filled):
    digest.update(array.tobytes())
print(digest.hexdigest())
"""
    digests = {}
    for name, target in {"this": {}, "any": {"NUMBA_CPU_NAME": CPU, "NUMBA_CPU_FEATURES": FEATURES}}.items():
        environment = {**os.environ, **target, "NUMBA_CACHE_DIR": str(tmp_path / name)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        digests[name] = done.stdout
    assert digests["this"] == digests["any"]
