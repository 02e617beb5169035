"""A page in a real Chromium that draws in software, refuses every request and notes what the page says."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ex4d_ground.cameras import Intrinsics

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]
_OPTIONS += ["--disable-dev-shm-usage"]
_WAIT_MS = 120_000


class Seen(NamedTuple):
    """What a page shows to a camera."""

    colour: np.ndarray  # [H, W, 3]
    shown: np.ndarray  # [H, W] where it shows anything
    sure: np.ndarray  # [H, W] where it says nothing of doubt


class Page:
    """An opened page of ours."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.said, self.asked = page, [], []
        self._url = path.as_uri()
        page.set_default_timeout(_WAIT_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.context.route("**/*", self._answer)
        page.goto(self._url)
        self.works = bool(page.evaluate("ex4dReady.then((page) => Boolean(page))"))

    def _hear(self, message: Any) -> None:
        # The driver that draws in software notes, on a busy machine, that reading a frame's number took a while.
        if "GL Driver Message (OpenGL, Performance" not in message.text:
            self.said.append(message.text)

    def _answer(self, route: Any) -> None:
        if route.request.url == self._url:
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()

    def run(self, script: str) -> Any:
        """The value of an expression of the page; promises are waited for."""
        return self.page.evaluate(script)

    def until(self, condition: str) -> None:
        """Wait until an expression of the page is true. Playwright's own way is refused by the page's policy."""
        script = f"""async () => {{
          const last = performance.now() + {_WAIT_MS};
          while (!({condition}) && performance.now() < last) await new Promise((done) => setTimeout(done, 20));
          return Boolean({condition});
        }}"""
        assert self.run(script), f"it did not come about: {condition}"

    def show(self, frame: int) -> None:
        """Have a frame on screen. The page gives up after ten seconds, in which a busy machine may draw but once."""
        assert any(self.run(f"ex4d.player.show({frame})") == frame for _ in range(6))

    def bytes_of(self, script: str) -> bytes:
        coded = self.run(
            f"""async () => {{
              const array = await ({script}), bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
              let text = "", part = 32768;
              for (let i = 0; i < bytes.length; i += part) text += String.fromCharCode(...bytes.subarray(i, i + part));
              return btoa(text);
            }}"""
        )
        return base64.b64decode(coded)

    def seen(self, pose: np.ndarray, k: Intrinsics) -> Seen:
        """What the page shows of its frame to a camera."""
        given = {"pose": pose[:3].ravel().tolist(), "lens": [k.fx, k.fy, k.cx, k.cy], "size": [k.width, k.height]}
        data = self.bytes_of(f"ex4d.read({k.width}, {k.height}, {json.dumps(given)})")
        rgba = np.frombuffer(data, np.uint8).reshape(k.height, k.width, 4)
        return Seen(rgba[..., :3], rgba[..., 3] > 0, rgba[..., 3] == 255)

    def is_quiet(self) -> None:
        """It works, wrote nothing to the console and asked for nothing."""
        assert self.works, self.page.inner_text("#failed")
        assert self.said == [], f"written to the console: {self.said}"
        assert self.asked == [], f"asked for: {self.asked}"

    def disparity(self) -> np.ndarray:  # [H, W]
        width, height = self.run("ex4d.player.source.size")
        return np.frombuffer(self.bytes_of("ex4d.picture.disparity()"), np.float32).reshape(height, width)


@contextmanager
def started() -> Iterator[Any]:
    """Chromium; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium on this machine; scripts/system_packages.sh test installs it.")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install .[dev]")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS, timeout=_WAIT_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Any, path: Path, *, width: int = 400, height: int = 400, first: str = "", **device: Any
) -> Iterator[Page]:
    """The page at ``path`` in a window of its own, on a ``device``; ``first`` is a script that runs before it."""
    with browser.new_page(viewport={"width": width, "height": height}, **device) as page:
        if first:
            page.add_init_script(first)
        yield Page(page, path)
