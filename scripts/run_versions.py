"""Run the add-on's tests in every Blender version but the one of the project's own environment.

    python scripts/run_versions.py [--jobs 2] [--only 5.3.0] [--brief | --whole | --all]
    python scripts/run_versions.py --keep

Each runs what rests on Blender's own data: neither the files of SAME_CODE nor tests that are marked ``any_blender``.
With ``--brief`` those between the oldest and the newest leave the files of ENDS out, too; with ``--whole`` the newest
runs the whole of tests/blender; with ``--all`` each runs it, with the slow tests. Each has an environment of its own
below the checkout, made on the first run; a version whose Python this machine lacks is left out with a sentence.
Besides the tests' own outcome a run fails on a Python error anywhere in what it printed. Files of few tests that failed
are run once more (run_tests.py). Logs and outcomes are left in out/versions/. ``--keep`` runs nothing: it copies the
last outcomes (but for brief ones), with those that 'make test' left of the project's own Blender, to
benchmarks/results/blender_versions.json, from which the documentation's table is made.

The backend and the library run in the project's own environment (EX4D_VENV, by default .venv).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from blender_versions import MAIN, ROOT, VERSIONS, Version, environment_of, find_python, install
from run_tests import PYTEST, twice_at_most

TESTS = ROOT / "tests" / "blender"
OUT = ROOT / "out" / "versions"
KEPT = ROOT / "benchmarks" / "results" / "blender_versions.json"
SIGN = "Traceback (most recent call last)"
LIMIT_S = 1500

SAME_CODE = (
    "test_addon_axes.py", "test_addon_camera_files.py", "test_addon_files.py", "test_addon_focal_source.py",
    "test_addon_hostile_takes.py", "test_addon_install.py", "test_addon_languages.py", "test_addon_live.py",
    "test_addon_live_ends.py", "test_addon_live_preview.py", "test_addon_live_scene.py", "test_addon_mistakes.py",
    "test_addon_operators.py", "test_addon_panels.py", "test_addon_panels_jobs.py", "test_addon_panels_words.py",
    "test_addon_reconnect.py", "test_addon_remedy_buttons.py", "test_addon_survives.py",
    "test_addon_survives_others.py", "test_addon_survives_ticks.py", "test_addon_take_arrives.py",
    "test_media_files.py",
)  # fmt: skip
"""Files whose tests run no Blender code that differs between versions, or the same code again and again ..."""
EXCEPT = (
    "test_addon_camera_files.py::test_other_programs_get_an_animated_camera_in_world_space",
    "test_addon_live.py::test_the_picture_is_what_a_guides_job_renders",
    "test_addon_live_preview.py::test_the_choice_shows_the_frame_of_a_preview_take",
    "test_addon_live_scene.py::test_coverage_follows_the_keyframes_by_itself",
    "test_addon_live_scene.py::test_following_the_move_leaves_the_scene_alone",
    "test_addon_operators.py::test_the_whole_way_through",
    "test_addon_panels_words.py::test_everything_has_a_tooltip_and_none_ends_in_a_full_stop",
    "test_addon_survives.py::test_a_new_file_lets_it_finish_and_the_old_file_finds_it",
    "test_addon_survives.py::test_disabling_and_enabling_the_add_on_resumes_it",
    "test_addon_take_arrives.py::test_everything_is_found_after_saving_elsewhere",
)
"""... and the tests of theirs that do rest on Blender."""

ENDS = (
    "test_addon_farm.py", "test_addon_film_sources.py", "test_addon_filmed_guides.py", "test_addon_filmed_live.py",
    "test_addon_footage.py", "test_addon_geometry.py", "test_addon_hidden.py", "test_addon_layers_guides.py",
    "test_addon_layers_objects.py", "test_addon_moving.py", "test_addon_occluders.py", "test_addon_ocio.py",
    "test_addon_proxy.py", "test_addon_proxy_scene.py", "test_addon_rasterizer.py", "test_addon_restore.py",
    "test_addon_same_picture.py", "test_addon_strips.py", "test_addon_thickness.py", "test_addon_way_in.py",
)  # fmt: skip
"""Files that a brief run leaves to the oldest and the newest version: what changed between two versions changed between
these. Every version imports, moves cameras, edits, exports, saves and reopens ..."""
EVERYWHERE = ("test_addon_geometry.py::test_blender_reads_back_what_the_shot_shows",)
"""... and runs these tests of theirs."""


@dataclass(frozen=True)
class Amount:
    """How much of the tests is run."""

    what: str
    files: Literal["whole", "resting", "brief"]
    """All; without those of :data:`SAME_CODE`; without those of :data:`ENDS`, either."""
    marks: str
    """As pytest's ``-m`` takes it; "" for every test."""
    limit_s: float = LIMIT_S


BRIEF = Amount("what rests on each Blender", "brief", marks="not slow and not any_blender")
RESTING = Amount("what rests on Blender", "resting", marks="not slow and not any_blender")
WHOLE = Amount("the whole of tests/blender", "whole", marks="not slow")
EVERYTHING = Amount("all of tests/blender", "whole", marks="", limit_s=3 * LIMIT_S)


@dataclass(frozen=True)
class Outcome:
    """What a version's run came to."""

    version: Version
    what: str
    problem: str
    """"" if it passed."""
    seconds: float


def main() -> int:
    """Run what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="versions that run side by side")
    parser.add_argument("--only", action="append", choices=[v.blender for v in VERSIONS], help="these versions alone")
    parser.add_argument("--keep", action="store_true", help="run nothing; keep the last outcomes for the docs")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--brief", action="store_true", help="the oldest and the newest run more than those between")
    much.add_argument("--whole", action="store_true", help="the newest runs the whole of tests/blender")
    much.add_argument("--all", action="store_true", help="each runs the whole of tests/blender, with the slow tests")
    options, more = parser.parse_known_args()
    if options.keep:
        return keep()
    own = MAIN.get("{}.{}".format(*sys.version_info[:2]))
    others = [version for version in VERSIONS if version.blender != own]
    found = [version for version in others if find_python(version.python)]
    ends = dict.fromkeys(found[:1], "oldest") | dict.fromkeys(found[-1:], "newest")
    if options.only:
        others = [version for version in others if version.blender in options.only]
    there = [version for version in others if find_python(version.python)]
    for version in others:
        if version not in there:
            print(f"Blender {version.blender} is left out: this machine has no Python {version.python} for it.")
    OUT.mkdir(parents=True, exist_ok=True)
    for version in there:
        install(version, environment_of(version))
    with stoppable(), ThreadPoolExecutor(options.jobs) as pool:  # the newest may take longest and goes first
        amounts = {version: amount(options, ends.get(version, "")) for version in there}
        runs = [pool.submit(run, version, amounts[version], more) for version in reversed(there)]
        outcomes = [each.result() for each in runs]
    for each in outcomes:
        line = each.problem or "passed"
        print(
            f"Blender {each.version.blender}, Python {each.version.python}, {each.what}: {line} ({each.seconds:.0f} s)"
        )
    failed = [each for each in outcomes if each.problem]
    return 1 if failed else 0


def amount(options: argparse.Namespace, place: str) -> Amount:
    """How much of the tests a version runs: the "oldest", the "newest" or, "", one between them."""
    if options.all:
        return EVERYTHING
    if options.brief and not place:
        return BRIEF
    return WHOLE if options.whole and place == "newest" else RESTING


def run(version: Version, asked: Amount, more: list[str]) -> Outcome:
    """The tests of one version, in a process of its own; what it printed is in its log."""
    python = environment_of(version) / ("Scripts" if os.name == "nt" else "bin") / "python"
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-c", str(TESTS / "pytest-versions.ini"), f"--rootdir={TESTS}"]
    options += [*(("-m", asked.marks) if asked.marks else ()), *more]
    logs = [OUT / f"{version.blender}.log", OUT / f"{version.blender}.again.log"]
    results = OUT / (f"{version.blender}.json" if asked.files != "brief" else f"{version.blender}.brief.json")
    for old in (*logs, results):
        old.unlink(missing_ok=True)
    left = iter(logs)
    started = time.monotonic()

    def one(outcomes: Path, arguments: list[str]) -> int:
        with next(left).open("wb") as said:
            # The outcomes that are kept are those of the first run, which is of all tests.
            kept = results if not results.exists() else results.with_suffix(".again")
            command = [str(python), str(PYTEST), str(outcomes), *arguments]
            return wait(command, asked.limit_s, env=environment(kept), cwd=OUT, stdout=said, stderr=subprocess.STDOUT)

    chosen = [str(TESTS / name) for name in selected(asked.files)]
    code = twice_at_most(one, options, chosen, OUT / f"{version.blender}.tests", root=TESTS)
    log = [path for path in logs if path.exists()][-1]
    text = log.read_text(encoding="utf-8", errors="replace")
    if log != logs[0]:  # what failed in the first run was told of there; what was printed beside that counts
        text += beside_failures(logs[0].read_text(encoding="utf-8", errors="replace"))
    problem = ""
    if code:
        tail = "\n".join(line for line in text.splitlines() if not line.startswith("Fra:"))[-3000:]
        problem = f"FAILED with exit code {code}, see {log}\n{tail}\n"
    elif SIGN in text:
        problem = f"FAILED: all tests passed, but a Python error stands in {log}"
    elif not results.exists():
        problem = f"FAILED: it left no outcomes, see {log}"
    return Outcome(version, asked.what, problem, time.monotonic() - started)


def beside_failures(log: str) -> str:
    """What a run of pytest printed, without what it tells of the tests that failed."""
    parts = re.split(r"^=+ (ERRORS|FAILURES|short test summary info) =+$", log, flags=re.MULTILINE)
    told = zip(parts[1::2], parts[2::2], strict=True)
    return parts[0] + "".join(text for title, text in told if title.startswith("short"))


def wait(command: list[str], limit_s: float = LIMIT_S, **how: Any) -> int:
    """The exit code of a program, which is killed with all it started when it takes too long or all is to end."""
    with _lock:
        if _stopped.is_set():
            return -signal.SIGKILL
        process = subprocess.Popen(command, start_new_session=True, **how)
        _running.add(process)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
    finally:
        with _lock:
            _running.discard(process)


_lock, _stopped = threading.RLock(), threading.Event()
_running: set[subprocess.Popen[bytes]] = set()
"""Programs in sessions of their own, which no Ctrl-C reaches."""


@contextmanager
def stoppable() -> Iterator[None]:
    """In the block, Ctrl-C and SIGTERM end every run, also where a shell has started this in the background."""

    def stop(*_: object) -> None:
        with _lock:
            _stopped.set()
            for process in _running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def selected(files: Literal["whole", "resting", "brief"]) -> list[str]:
    """What to run, as pytest takes it below tests/blender. A file that is new runs in every version."""
    if files == "whole":
        return ["."]
    names = sorted(path.name for path in TESTS.glob("test_*.py"))
    gone = {*SAME_CODE, *ENDS} - set(names)
    assert not gone, f"scripts/run_versions.py names files that are not there any more: {', '.join(sorted(gone))}"
    brief = files == "brief"
    left_out = {*SAME_CODE, *(ENDS if brief else ())}
    return [name for name in names if name not in left_out] + [*EXCEPT, *(EVERYWHERE if brief else ())]


def environment(results: Path) -> dict[str, str]:
    """The library is not installed there: it runs in the project's own environment, and only the add-on in that one."""
    own = Path(os.environ.get("EX4D_VENV", ROOT / ".venv")) / ("Scripts" if os.name == "nt" else "bin") / "python"
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV", "PYTHONPATH"))}
    command = shlex.join([str(own), "-m", "ex4d_backend"])
    return {**plain, "EX4D_BACKEND_COMMAND": command, "EX4D_BLENDER_RESULTS": str(results)}


def keep() -> int:
    """Put the last outcomes of every version where the documentation's table is made from; returns the exit code."""
    there = {version: OUT / f"{version.blender}.json" for version in VERSIONS}
    missing = [version.blender for version, path in there.items() if not path.exists()]
    if missing:
        print(
            f"There are no outcomes of Blender {', '.join(missing)} in {OUT}: "
            "run 'make test' and 'make test-versions', which leave them there."
        )
        return 1
    kept = {version.blender: json.loads(path.read_text(encoding="utf-8")) for version, path in there.items()}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"Kept in {KEPT.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
