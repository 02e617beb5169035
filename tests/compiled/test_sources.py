"""Compiled code is thrown away as soon as any source changes that went into it, not only the kernel's own file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import ROOT, Run

ROWS = """
import numpy as np
from ex4d.raster.faces import run_rows
faces, rows = np.array([[0, 1, 2]], np.int32), np.empty((1, 2), np.int32)
run_rows(faces, np.array([0, 512, 1024], np.int32), np.zeros(3, np.uint8), 0, 1, rows)
print(rows[0, 0], rows[0, 1], len(run_rows.stats.cache_misses))
"""
"""The rows of the picture that a triangle reaches, and whether that had to be compiled."""


def edit(path: Path, old: str, new: str) -> None:
    """Change a file whose time and size stay what they were."""
    text, times = path.read_text(encoding="utf-8"), path.stat()
    assert text.count(old) == 1 and len(old) == len(new)
    path.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    ("file", "old", "new", "rows"),
    [
        pytest.param(
            "raster/kernels.py",
            "return (high - (HALF + 1)) >> SHIFT",
            "return (high + (HALF - 1)) >> SHIFT",
            ["0", "4"],
            marks=pytest.mark.slow,
        ),
        ("raster/subpixels.py", "SUBPIXELS = 256", "SUBPIXELS = 128", ["0", "7"]),
    ],
    ids=["a callee in another file", "a constant two files away"],
)
def test_a_change_in_what_a_kernel_uses_is_not_run_with_old_code(package: Path, run: Run, file, old, new, rows) -> None:
    assert run(ROWS) == ["0", "3", "1"]
    assert run(ROWS) == ["0", "3", "0"], "what has not changed is not compiled again"
    edit(package / "ex4d" / file, old, new)
    assert run(ROWS) == [*rows, "1"]


def test_a_change_elsewhere_throws_nothing_away(package: Path, run: Run) -> None:
    assert run(ROWS) == ["0", "3", "1"]
    path = package / "ex4d" / "raster" / "registry.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# more\n", encoding="utf-8")
    path = package / "ex4d_ground" / "remedies.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# more\n", encoding="utf-8")
    assert run(ROWS) == ["0", "3", "0"]


def test_every_kernel_is_declared_in_the_one_way() -> None:
    files = sorted((ROOT / "ex4d").rglob("*.py"))
    others = [str(path.relative_to(ROOT)) for path in files if "from numba import" in path.read_text(encoding="utf-8")]
    assert others == ["ex4d/compiled/kernel.py"]


def test_what_a_module_imports_in_any_way_counts() -> None:
    from ex4d.compiled.sources import source_files
    from ex4d.raster import grid

    assert grid.__name__ == "ex4d.raster.grid"
    through = {"ex4d.raster.cover", "ex4d.raster.kernels", "ex4d.raster.samples", "ex4d.raster.subpixels"}
    assert through | {"ex4d.surface.flags", "ex4d.compiled.kernel"} <= set(source_files(grid.__name__))
