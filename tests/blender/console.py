"""A pytest plugin: a test of Blender fails on a Python error in its console, and each test's outcome can be kept.

Blender swallows what its callbacks raise (drawing, timers, handlers, properties) and prints a traceback. A test that
provokes one on purpose is marked ``traceback``. With EX4D_BLENDER_RESULTS naming a file, the outcomes are written
there as JSON, counted by the features that tests are marked with.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

FEATURES = ("import", "move", "guides", "live", "edits", "paint", "takes", "exports", "reopen", "colours")
FILES = {
    "import": ("test_addon_focal", "test_addon_import", "test_addon_open", "test_addon_shot"),
    "move": ("test_addon_camera", "test_addon_retime"),
    "guides": (
        "test_addon_layers_guides",
        "test_addon_layers_objects",
        "test_addon_occluders",
        "test_addon_rasterizer",
    ),
    "live": ("test_addon_live",),
    "edits": ("test_addon_layers",),
    "paint": ("test_addon_thickness",),
    "takes": ("test_addon_compare", "test_addon_take"),
    "reopen": ("test_addon_survives", "test_addon_other_versions"),
    "colours": ("test_addon_overlay", "test_addon_same_picture"),
}
"""How the files of a feature's tests start, the longest that fits; a test's own marker ``feature`` says otherwise."""
OTHER = "other"
"""What a test counts as that has no feature."""
SIGN = "Traceback (most recent call last)"

_counts: dict[str, Counter[str]] = defaultdict(Counter)
_outcome: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "blender: needs the bpy wheel")
    config.addinivalue_line("markers", f"feature(name): what the test is about, of {', '.join(FEATURES)}")
    config.addinivalue_line("markers", "traceback: prints a Python error on purpose")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if not item.get_closest_marker("blender"):
        return report
    if report.when == "teardown" and not report.failed and not item.get_closest_marker("traceback"):
        printed = [text for title, text in report.sections if title.startswith(("Captured std", "Captured err"))]
        if any(SIGN in text for text in printed):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} printed a Python error:\n" + "\n".join(printed)
    _record(item, report)
    return report


def _record(item: pytest.Item, report: pytest.TestReport) -> None:
    """The worst of the three phases counts."""
    order = ("passed", "skipped", "failed")
    _outcome[item.nodeid] = max(_outcome.get(item.nodeid, "passed"), report.outcome, key=order.index)
    if report.when == "teardown":
        features = {mark.args[0] for mark in item.iter_markers("feature")} or {_of_file(item.path.stem)}
        unknown = features - {*FEATURES, OTHER}
        assert not unknown, f"{item.nodeid} is marked with the features {unknown}; there are {FEATURES}"
        for feature in features:
            _counts[feature][_outcome[item.nodeid]] += 1


def _of_file(stem: str) -> str:
    fitting = [(len(start), name) for name, starts in FILES.items() for start in starts if stem.startswith(start)]
    return max(fitting)[1] if fitting else OTHER


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = os.environ.get("EX4D_BLENDER_RESULTS")
    if target and _counts:
        import bpy
        import numpy

        found = {
            "blender": bpy.app.version_string,
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "features": {name: dict(sorted(_counts[name].items())) for name in sorted(_counts)},
        }
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
