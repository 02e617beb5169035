"""``import ex4d``: what a researcher uses stands there, loads on demand, and README's example runs as it is."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ex4d

ROOT = Path(__file__).resolve().parents[2]


def typed_names() -> dict[str, str]:
    """The names that type checkers see, and their modules."""
    (block,) = (node for node in ast.parse(Path(ex4d.__file__).read_text()).body if isinstance(node, ast.If))
    return {alias.name: f.module or "" for f in block.body if isinstance(f, ast.ImportFrom) for alias in f.names}


def test_people_and_type_checkers_see_the_same_names() -> None:
    names = typed_names()
    assert {"load_clip", "preset", "render_guides", "generate", "save_take", "DWMesh", "Ex4dError"} <= set(names)
    assert set(names) <= set(dir(ex4d))
    for name, module in names.items():
        assert getattr(ex4d, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = ex4d.nonesuch


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = "import sys, ex4d; dir(ex4d); print([m for m in ('numpy', 'numba', 'cv2') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_readmes_example_is_short_and_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) <= 8
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"\d+% of the move is covered, drawn by (cpu|triton)\n", run.stdout)
    (take,) = tmp_path.glob("out/*/take_001")
    assert (take / "take.json").is_file() and len(list(take.glob("frame_*.png"))) == 49


def test_a_clip_gives_what_is_not_said() -> None:
    rng = np.random.default_rng(0)
    frames, depth = rng.integers(0, 255, (3, 24, 32, 3), np.uint8), np.full((3, 24, 32), 4, np.float32)
    depth[:, 8:16, 8:16] = 2
    clip = ex4d.Clip(frames, depth, ex4d.Intrinsics.from_fov(32, 24))
    move = ex4d.preset("orbit_left", clip, amount=10)
    assert (len(move), move.width, move.height) == (3, 32, 24)
    solid = ex4d.DWMesh(clip, ex4d.MeshOptions(mode="solid"))
    np.testing.assert_array_equal(ex4d.render_guides(clip, move).rgba, ex4d.render_guides(solid, move).rgba)
    take, again = ex4d.generate(clip, move), ex4d.generate(solid, move)
    np.testing.assert_array_equal(take.frames, again.frames)
    assert (take.engine, take.fps, take.details.rasterizer) == ("preview", clip.fps, "cpu")
    with pytest.raises(ex4d.Ex4dError, match="needs a clip, or all of"):
        ex4d.preset("orbit_left", num_frames=3)
