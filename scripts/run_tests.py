"""Run pytest; where few tests failed, run their files once more in a new process, and name those that then passed.

    python scripts/run_tests.py --kept out/tests -m "not slow"

What follows ``--kept FOLDER`` goes to pytest. Thousands of tests with real processes and sockets beside each other meet
moments of a machine that no limit foresees; a fault of the code fails the second run, too. A test that passes only the
second time is a fault all the same, of the test or of the code, and is told of at the end ("unsteady") and in
FOLDER/unsteady.txt, to be mended next. More than MOST failures are no accident: those are not run again. Neither is a
run that crashed, was killed, or stopped before its last test: what would have come after is not known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pytest_outcomes import read_outcomes

MOST = 5
"""So many failed tests may be run again."""
FAILED = 1
"""pytest's exit code for tests that failed; every other one is the run's own fault."""
PYTEST = Path(__file__).with_name("pytest_outcomes.py")
"""What runs pytest: takes a file for the outcomes, and pytest's arguments."""

Run = Callable[[Path, list[str]], int]
"""Takes a file for the outcomes and pytest's arguments; the exit code."""


def main() -> int:
    """Run what is asked for; returns the exit code."""
    if sys.argv[1:2] != ["--kept"] or len(sys.argv) < 3:
        print(f"usage: {Path(sys.argv[0]).name} --kept FOLDER [what pytest takes]", file=sys.stderr)
        return 2
    kept, given = Path(sys.argv[2]), sys.argv[3:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what it runs beside others

    def run(outcomes: Path, arguments: list[str]) -> int:
        code = patiently(subprocess.Popen([sys.executable, str(PYTEST), str(outcomes), *arguments]))
        os.environ.pop("EX4D_BLENDER_RESULTS", None)  # the outcomes that are kept are those of the first run
        return code

    return twice_at_most(run, given, [], kept)


def patiently(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a run that ends by itself when it is interrupted, with all that it started.

    Ctrl-C reaches it from the terminal, as it does this program; whoever ends this program ends it in the same way.
    """

    def interrupt(*_: object) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        while True:
            with suppress(KeyboardInterrupt):
                return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def twice_at_most(run: Run, options: list[str], chosen: list[str], kept: Path, root: Path = Path()) -> int:
    """The exit code of a ``run`` of ``options + chosen``, or of a second one of the files whose tests failed in it.

    :param options: Of pytest, for both runs; ``chosen`` are the tests of the first.
    :param kept: A folder; the outcomes of both runs and ``unsteady.txt`` are left there.
    :param root: What names of tests are relative to.
    """
    kept.mkdir(parents=True, exist_ok=True)
    told, first, second = (kept / name for name in ("unsteady.txt", "first.json", "second.json"))
    for old in (told, first, second):
        old.unlink(missing_ok=True)
    code, outcomes = run(first, [*options, *chosen]), read_outcomes(first)
    failed = outcomes.failed
    if code != FAILED or not outcomes.whole or not 0 < len(failed) <= MOST:
        return code
    files = sorted({str(root / name.split("::")[0]) for name in failed})
    print(f"\n{len(failed)} failed; their files are run once more: {', '.join(files)}", flush=True)
    code = run(second, [*options, "-p", "no:cacheprovider", *files])
    if code:
        return code
    again = read_outcomes(second).ended
    if missing := [name for name in failed if again.get(name) != "passed"]:  # one that is skipped has not passed
        print(f"\nFAILED, and not run the second time: {', '.join(missing)}", flush=True)
        return FAILED
    told.write_text("\n".join(failed) + "\n", encoding="utf-8")
    print(f"\nUNSTEADY: these failed and passed the second time; mend them: {', '.join(failed)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
