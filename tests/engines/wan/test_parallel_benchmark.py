"""The benchmark of several GPUs runs as a whole on two processes of a CPU, at tiny size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDED = ("exact", "fast", "fp8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_benchmark_of_several_gpus_runs_small_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "wan_parallel.py", "--tiny", "--devices", "cpu+cpu"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "protocol"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "found.json"
    ran = subprocess.run(
        [*map(str, command), "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(out.read_text())
    assert found["environment"]["processes"] == 2
    for mode in GUIDED:
        branches, ulysses = found[mode]["branches"], found[mode]["ulysses"]
        assert (branches["branches"], branches["sequence"]) == (2, 1)
        assert (ulysses["branches"], ulysses["sequence"]) == (1, 2)
    rows = [found[mode][row] for mode in GUIDED for row in ("branches", "ulysses")] + [found["turbo"]["clip"]]
    for row in rows:
        assert row["times_faster"] == pytest.approx(row["alone_ms"] / row["shared_ms"], rel=0.05)
    assert [found["exact"]["branches"]["bar"], found["turbo"]["clip"]["bar"]] == [1.9, 1.6]
    for mode in (*GUIDED, "turbo"):
        parts = found["breakdown"][mode]
        assert sum(parts.values()) == pytest.approx(found[mode]["ulysses"]["shared_ms"], abs=0.1)
        assert set(found["more"][mode]) == {"2", "4", "8"}
        assert found["whole_clip"][mode]["times_faster"] > 0
