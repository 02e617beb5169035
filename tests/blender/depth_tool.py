"""A depth estimator that is a small program: the backend's own way to run any, with a ramp for depth."""

from __future__ import annotations

import json
from pathlib import Path

TOOL = """
import json, sys, time
time.sleep(float(sys.argv[4]))
import numpy as np
request = json.load(open(sys.argv[2]))
n, h, w = (request[k] for k in ("num_frames", "height", "width"))
depth = 2 + np.arange(n)[:, None, None] * 0.01 + np.linspace(0, 1, h)[:, None] + np.linspace(0, 1, w)
poses = np.tile(np.eye(4), (n, 1, 1))
poses[:, 0, 3] = 0.25 * np.arange(n)
more = {"meaning": "metric", "intrinsics": [140.0, 140.0, w / 2, h / 2], "world_from_camera": poses}
np.savez(sys.argv[3], depth=depth.astype(np.float32), **more)
"""
CONFIG = """
[[estimator]]
name = "{name}"
command = [{python}, {script}, "{{frames}}", "{{request}}", "{{output}}", "{seconds}"]
meaning = "metric"
licence = "for tests"
research_only = true
gives_intrinsics = true
temporally_steady = {steady}
"""


def write_depth_tool(folder: Path, python: list[str], **seconds: float) -> Path:
    """Estimators of these names, each taking so many seconds, run by ``python``; returns the configuration's path.

    What is called "walk" looks at many frames at once, so that the camera which all of them know is kept.
    """
    script, config = folder / "depth_tool_script.py", folder / "depth.toml"
    script.write_text(TOOL)
    parts = {"python": ", ".join(map(json.dumps, python)), "script": json.dumps(str(script))}
    config.write_text(
        "".join(
            CONFIG.format(name=name, seconds=s, steady=json.dumps(name == "walk"), **parts)
            for name, s in seconds.items()
        )
    )
    return config
