from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_minute_of_everything_at_once_loses_nothing(tmp_path) -> None:
    output = tmp_path / "soak.json"
    command = [sys.executable, ROOT / "benchmarks" / "soak.py", "--minutes", "1", "--clients", "8"]
    command += ["--attack-s", "5", "--kill-s", "15", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(output.read_text())
    assert report["takes"]["delivered"] > 0 and report["takes"]["pictures"] > 0
    assert report["takes"]["lost"] == report["takes"]["mismatched"] == report["tracebacks"] == 0
    assert report["kills"]["worker"] >= 2 and report["verdicts"]["nobody shut out"], report["probe_errors"]
    assert any(attack["messages"] for attack in report["attacks"].values()), report["attacks"]
    assert report["memory"]["server"]["highest"] < 256
    assert output.with_suffix(".png").stat().st_size > 10_000
