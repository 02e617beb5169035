"""A depth estimator that stands in for a real one: a floor and a wall, whatever the picture shows.

The backend runs it as it runs anybody's own estimator. It waits in the middle until the file in its last argument is
there, so that a script can look at an import under way.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

WAITS_AT = 18
NAME = "stand-in"


def configuration(python: str, go: Path) -> str:
    """The backend's configuration of it, to be run by ``python``."""
    words = (python, str(Path(__file__).resolve()), "{frames}", "{request}", "{output}", str(go))
    return (
        f'[[estimator]]\nname = "{NAME}"\ncommand = [{", ".join(map(json.dumps, words))}]\n'
        'meaning = "metric"\nlicence = "MIT"\n'
    )


def main() -> None:
    import numpy as np

    request, output, go = json.loads(Path(sys.argv[2]).read_text()), sys.argv[3], Path(sys.argv[4])
    frames, height, width = (request[key] for key in ("num_frames", "height", "width"))
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height
    depth = np.minimum(6.0, 1.2 / np.maximum(rows - 0.45, 0.01))  # a floor below the horizon, a wall behind it
    for frame in range(frames):
        print("progress", frame + 1, frames, flush=True)
        while frame + 1 == WAITS_AT and not go.exists():
            time.sleep(0.05)
    np.savez(output, depth=np.broadcast_to(depth[None, :, None], (frames, height, width)), meaning="metric")


if __name__ == "__main__":
    main()
