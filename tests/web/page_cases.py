"""Small clips that pages are made of, and what happens on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from chromium_page import Page

from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics


def a_ball_before_a_wall(num_frames: int = 5, side: int = 96) -> Clip:
    """A ball that moves right, in front of a slanted wall; all of it patterned. The wall's blue tells the frame."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    frames, depths = [], []
    for t in range(num_frames):
        depth = 6 + columns / side
        middle = side * (0.35 + 0.05 * t)
        away = np.hypot(columns - middle, rows - side / 2) / (side * 0.16)
        ball = away < 1
        depth = np.where(ball, 3 - 0.4 * np.sqrt(np.maximum(1 - away**2, 0)), depth).astype(np.float32)
        pattern = 120 + 40 * np.sin(columns / 5) + 30 * np.cos(rows / 7)
        colour = np.stack([np.where(ball, 220, pattern), pattern, np.where(ball, 60, 90 + 20 * t)], axis=-1)
        frames.append(colour.clip(0, 255).astype(np.uint8))
        depths.append(depth)
    return Clip(np.stack(frames), np.stack(depths), Intrinsics.from_fov(side, side, 50), 10.0, "ball")


def facts_of(path: Path) -> dict[str, Any]:
    """What a page says of itself."""
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def drawn_while_playing(page: Page) -> list[tuple[int, int, float]]:
    """Play the chosen replay until three of its poses were drawn: each picture's frame, pose, and the camera's x."""
    return page.run(
        """async () => {
          const drawn = [], draw = ex4d.picture.draw.bind(ex4d.picture);
          ex4d.picture.draw = (camera) => {
            draw(camera);
            const at = [ex4d.picture.number, ex4d.player.index, camera.matrixWorld.elements[12]];
            if (ex4d.player.replay) drawn.push(at);
          };
          ex4d.player.play();
          const indices = () => new Set(drawn.map((each) => each[1])).size;
          for (let i = 0; i < 3000 && indices() < 3; i++) await new Promise((r) => setTimeout(r, 20));
          ex4d.player.pause();
          ex4d.picture.draw = draw;
          return drawn;
        }"""
    )
