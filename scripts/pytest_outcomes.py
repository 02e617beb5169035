"""Run pytest as ``python -m pytest`` does, and write down what became of every test.

    python scripts/pytest_outcomes.py FILE [what pytest takes]

FILE is JSON: the names of the tests that were to run, and the outcome of each that came to its end. It is written when
pytest has come to its own end, and not by a run that crashed or was killed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_ORDER = ("passed", "skipped", "failed")
"""The worst of a test's setup, call and teardown counts."""


@dataclass
class Outcomes:
    """What became of the tests of one run."""

    selected: list[str] = field(default_factory=list)
    """Names of the tests that were to run, as pytest writes them."""
    ended: dict[str, str] = field(default_factory=dict)
    """"passed", "skipped" or "failed", by name, of those that were torn down."""

    @property
    def whole(self) -> bool:
        """Whether every test that was to run did."""
        return bool(self.selected) and set(self.selected) == set(self.ended)

    @property
    def failed(self) -> list[str]:
        """Names of the tests that failed, in setup or teardown, too."""
        return sorted(name for name, outcome in self.ended.items() if outcome == "failed")


def read_outcomes(path: Path) -> Outcomes:
    """What a run wrote there; of no tests if it did not come to its end."""
    return Outcomes(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Outcomes()


class _Notes:
    """The plugin."""

    def __init__(self, target: Path) -> None:
        self._target, self._outcomes = target, Outcomes()
        self._worst: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._outcomes.selected = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid
        self._worst[name] = max(self._worst.get(name, "passed"), report.outcome, key=_ORDER.index)
        if report.when == "teardown":
            self._outcomes.ended[name] = self._worst[name]

    def pytest_sessionfinish(self) -> None:
        self._target.write_text(json.dumps(vars(self._outcomes), indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run pytest; returns its exit code."""
    target = Path(sys.argv[1]).resolve()
    target.unlink(missing_ok=True)
    sys.path[0] = str(Path.cwd())  # as with -m
    return int(pytest.main(sys.argv[2:], plugins=[_Notes(target)]))


if __name__ == "__main__":
    sys.exit(main())
