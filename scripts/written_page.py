"""The command line of the scripts that write a page of the documentation from the code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_or_check(script: str, about: str, name: str, page: Callable[[], str]) -> int:
    """Write ``docs/<name>`` as ``page`` makes it, or with ``--check`` compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / name)
    options = parser.parse_args()
    text = page()
    if options.check:
        if options.output.is_file() and options.output.read_text(encoding="utf-8") == text:
            return 0
        print(f"{options.output} is not up to date; run: python scripts/{script}", file=sys.stderr)
        return 1
    options.output.write_text(text, encoding="utf-8")
    return 0
