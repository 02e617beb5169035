"""Run pytest; where few tests failed, run their files once more in a new process, and name those that then passed.

    python scripts/run_tests.py --kept out/tests -m "not slow"

What follows ``--kept FOLDER`` goes to pytest. Thousands of tests with real processes and sockets beside each other meet
moments of a machine that no limit foresees; a fault of the code fails the second run, too. A test that passes only the
second time is a fault all the same, of the test or of the code, and is told of at the end ("unsteady") and in
FOLDER/unsteady.txt, to be mended next. More than MOST failures are no accident: those are not run again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MOST = 5
"""So many failed tests may be run again."""
FAILED = 1
"""pytest's exit code for tests that failed; every other one is the run's own fault."""

Run = Callable[[list[str]], int]
"""Takes pytest's arguments; the exit code."""


def main() -> int:
    """Run what is asked for; returns the exit code."""
    if sys.argv[1:2] != ["--kept"] or len(sys.argv) < 3:
        print(f"usage: {Path(sys.argv[0]).name} --kept FOLDER [what pytest takes]", file=sys.stderr)
        return 2
    kept, given = Path(sys.argv[2]), sys.argv[3:]

    def run(arguments: list[str]) -> int:
        code = subprocess.call([sys.executable, "-m", "pytest", *arguments])
        os.environ.pop("EX4D_BLENDER_RESULTS", None)  # the outcomes that are kept are those of the first run
        return code

    return twice_at_most(run, given, [], kept)


def twice_at_most(run: Run, options: list[str], chosen: list[str], kept: Path, root: Path = Path()) -> int:
    """The exit code of ``run(options + chosen)``, or of the second run of the files whose tests failed in the first.

    :param options: Of pytest, for both runs; ``chosen`` are the tests of the first.
    :param kept: A folder; pytest's memory of what failed and ``unsteady.txt`` are left there.
    :param root: What names of tests are relative to.
    """
    kept.mkdir(parents=True, exist_ok=True)
    told = kept / "unsteady.txt"
    told.unlink(missing_ok=True)
    shutil.rmtree(kept / "pytest", ignore_errors=True)  # of an earlier run
    memory = ["-o", f"cache_dir={(kept / 'pytest').resolve()}"]
    code = run([*options, *memory, *chosen])
    failed = failed_tests(kept / "pytest")
    if code != FAILED or not 0 < len(failed) <= MOST:
        return code
    files = sorted({str(root / name.split("::")[0]) for name in failed})
    print(f"\n{len(failed)} failed; their files are run once more: {', '.join(files)}", flush=True)
    code = run([*options, "-p", "no:cacheprovider", *files])
    if code == 0:
        told.write_text("\n".join(failed) + "\n", encoding="utf-8")
        print(f"\nUNSTEADY: these failed and passed the second time; mend them: {', '.join(failed)}", flush=True)
    return code


def failed_tests(memory: Path) -> list[str]:
    """The tests that failed in the run whose cache_dir this is, by pytest's names."""
    path = memory / "v" / "cache" / "lastfailed"
    return sorted(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
