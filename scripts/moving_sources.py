"""Make scenes whose source camera moves out of ground-truth scenes whose source stands still.

    python scripts/moving_sources.py SCENES OUT [--source orbit_right_30] [--standing]
    python scripts/run_eval.py RESULT --scenes OUT

One of the orbits becomes the source, with its depth and its camera, the other orbits stay targets. Nothing is rendered
and nothing copied: OUT/NAME holds links into SCENES/NAME. The truth is computed anew from the depth, as the true
visibility that was rendered is that from the other source. With ``--standing`` the source that stood still becomes a
target as well: what a camera locked off at the first frame would have seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

PARTS = ("frames", "depth.npz", "camera.npz")


def main() -> int:
    """Link every scene that has the orbit; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", default="orbit_right_30", help="the target that becomes the source")
    parser.add_argument("--standing", action="store_true", help="the source that stands still is a target too")
    options = parser.parse_args()
    made = 0
    for folder in sorted(path.parent for path in options.scenes.glob("*/scene.json")):
        info = json.loads((folder / "scene.json").read_text())
        orbits = [target["name"] for target in info["targets"] if target["kind"] == "orbit"]
        if options.source not in orbits:
            print(f"{folder} has no {options.source}; it has: {', '.join(orbits)}.", file=sys.stderr)
            continue
        views = [*orbits, str(info.get("source", "source"))] if options.standing else orbits
        _link(folder, options.out / folder.name, info, options.source, views)
        made += 1
    print(f"{made} scenes in {options.out}")
    return 0 if made else 1


def _link(folder: Path, target: Path, info: dict[str, object], source: str, views: list[str]) -> None:
    for view in views:
        (target / view).mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            link = target / view / part
            link.unlink(missing_ok=True)
            link.symlink_to((folder / view / part).resolve())
    targets = [{"name": view, "kind": "orbit"} for view in views if view != source]
    (target / "scene.json").write_text(json.dumps({**info, "source": source, "targets": targets}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
