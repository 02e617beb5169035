"""Film the web page of the example clip in a real Chromium: docs/images/web-page.webp.

    python scripts/make_web_picture.py [--work out/web_picture] [--output docs/images]

Needs Playwright (the extra ``dev``) and Chromium (``bash scripts/system_packages.sh test``). One walks around the clip
while it plays, up to the limit, and then sees it through the camera of its move.
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from picture_tools import CLIP, ROOT, run_ex4d, save_animation
from PIL import Image

WINDOW = {"width": 600, "height": 540}
WALKED, REPLAYED = 12, 6
"""Pictures of either part."""
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]
PAINTED = "new Promise((done) => { ex4d.changed(); requestAnimationFrame(() => requestAnimationFrame(done)); })"


def main() -> int:
    """Write the animation; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("out/web_picture"), help="where the page goes")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("make_web_picture: Chromium is not installed; see scripts/system_packages.sh.", file=sys.stderr)
        return 1
    folder = ROOT / options.work
    shutil.rmtree(folder, ignore_errors=True)
    move = ("--cam", "orbit_left", "--amount", "20")
    run_ex4d("web", *CLIP, *move, "--side", "320", "--output_dir", str(options.work), output=folder)
    frames = filmed(chromium, folder / "index.html")
    save_animation(frames, options.output / "web-page.webp", milliseconds=260, quality=62)
    return 0


def filmed(chromium: str, page_file: Path) -> list[Image.Image]:
    """Pictures of the page's window: walking about, then the replay."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=SOFTWARE)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(120_000)
        page.goto(page_file.as_uri())
        if not page.evaluate("ex4dReady.then(Boolean)"):
            raise RuntimeError(page.inner_text("#failed"))
        page.evaluate("ex4d.walk.orbit.enableDamping = false")  # else it draws on after each step
        count = page.evaluate("ex4d.player.source.frames")
        limits = page.evaluate("ex4d.facts.limits")
        frames = []
        for i in range(WALKED):
            turn = math.sin(2 * math.pi * i / WALKED)
            right = turn * (limits["right"] if turn > 0 else limits["left"])
            up = 10 * (1 - math.cos(4 * math.pi * i / WALKED)) / 2
            page.evaluate(f"ex4d.player.show({i * count // (WALKED + REPLAYED)})")
            page.evaluate(f"ex4d.walk.stand({right}, {up})")
            frames.append(picture(page))
        page.evaluate("ex4d.replay(1)")
        for i in range(REPLAYED):
            n = (WALKED + i) * count // (WALKED + REPLAYED)
            page.evaluate(f"ex4d.player.show({n}).then((shown) => {{ ex4d.player.index = shown; }})")
            frames.append(picture(page))
        browser.close()
    return frames


def picture(page: Any) -> Image.Image:
    """What the window shows once it has been drawn."""
    page.evaluate(PAINTED)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    sys.exit(main())
