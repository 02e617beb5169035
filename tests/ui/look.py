"""One picture of a real Blender window with this checkout's add-on, to look at.

    python tests/ui/look.py OUT.png [--state empty|ready|camera|take] [--script FILE.py]
        [--blender 5.2] [--size 1280x720] [--scale 1.0] [--theme dark|light]

``--state`` brings the scene there with the example clip. FILE.py may then define ``def steps(ui): ...``, a generator
that yields seconds for Blender to run its own loop; ``ui`` is ``tests/ui/window.py``: ``ui.press("ex4d.connect")``,
``ui.screenshot(name)`` and so on. What Blender printed is beside the picture.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import runner


def main() -> int:
    """Take the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--state", choices=("empty", "ready", "camera", "take"), default="empty")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--blender", default="5.2")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="ex4d-look-") as folder:
        out = Path(folder) / "out"
        more = {
            "EX4D_UI_STATE": options.state,
            "EX4D_UI_STEPS": str(options.script.resolve() if options.script else ""),
        }
        look = runner.Look(width, height, options.scale, options.theme)
        console = runner.run(runner.Drive(runner.HERE / "drive_look.py", out, options.blender, look, more))
        options.picture.resolve().parent.mkdir(parents=True, exist_ok=True)
        taken = sorted(out.glob("*.png"))
        for picture in taken:
            name = (
                options.picture.name if picture.stem in ("look", "failed") else f"{options.picture.stem}-{picture.name}"
            )
            shutil.copy(picture, options.picture.with_name(name))
    options.picture.with_suffix(".txt").write_text(console)
    sys.stdout.write(console[-3000:])
    return 0 if taken and "Traceback" not in console else 1


if __name__ == "__main__":
    sys.exit(main())
