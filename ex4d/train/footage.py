"""Finding footage, cutting it into scenes, and judging whether a scene can be learnt from. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np

from ex4d.clip import open_video
from ex4d.progress import Watch, check
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf")
DEPTH_ENDINGS = (".depth.npz", "_depth.npz", ".npz")
_SMALL = 64
_CUT = 0.35
"""Mean change of a small picture's colour histogram that is a cut (0 to 1)."""
STILL, WILD = 0.002, 0.25
"""Mean change from frame to frame (0 to 1) below which nothing moves, and above which everything does."""


@dataclass(frozen=True)
class Scene:
    """A stretch of a clip without a cut."""

    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


def find_footage(folder: Path) -> list[Path]:
    """Every video below ``folder``, hidden ones left out, in order."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def depth_beside(clip: Path) -> Path | None:
    """A clip's depth file by its name: ``shot.depth.npz``, ``shot_depth.npz``, ``shot.npz``."""
    return next((p for end in DEPTH_ENDINGS if (p := clip.with_name(clip.stem + end)).is_file()), None)


def scenes_of(clip: Path, **watch: Unpack[Watch]) -> tuple[list[Scene], list[float], int, int]:
    """The clip's scenes, the change before each frame (0 to 1; the first's is 0), its height and width.

    Raises ClipError for what is no video, Cancelled.
    """
    changes, cuts = [0.0], []
    before: tuple[np.ndarray, np.ndarray] | None = None
    height = width = 0
    for index, frame in enumerate(_frames(clip)):
        check(watch.get("cancel"))
        height, width = frame.shape[:2]
        small = cv2.resize(np.ascontiguousarray(frame), (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
        histogram = np.concatenate([np.histogram(small[..., c], 16, (0, 256))[0] for c in range(3)]) / (3 * _SMALL**2)
        if before is not None:
            changes.append(float(np.abs(small.astype(np.int16) - before[0]).mean() / 255))
            if 0.5 * np.abs(histogram - before[1]).sum() > _CUT:
                cuts.append(index)
        before = small, histogram
    if before is None:
        raise ClipError(f"{clip} has no frames.")
    edges = [0, *cuts, len(changes)]
    return [Scene(a, b) for a, b in pairwise(edges)], changes, height, width


def why_not(
    scene: Scene, changes: Sequence[float], size: tuple[int, int], frames: int, least: tuple[int, int]
) -> str | None:
    """The reason why a scene is of no use, or None: length, size (height and width), motion."""
    height, width = size
    if len(scene) < frames:
        return f"frames {scene.first + 1} to {scene.stop} are {len(scene)}, a sample takes {frames}"
    if height < least[0] or width < least[1]:
        return f"it is {width}x{height}, a sample {least[1]}x{least[0]}"
    moves = float(np.mean(changes[scene.first + 1 : scene.stop]))
    if moves < STILL:
        return f"nothing moves in frames {scene.first + 1} to {scene.stop} (mean change {moves:.4f})"
    if moves > WILD:
        return f"frames {scene.first + 1} to {scene.stop} change throughout (mean change {moves:.2f})"
    return None


def pieces(scene: Scene, frames: int) -> list[int]:
    """First frames of the samples that a scene holds, one after the other."""
    return list(range(scene.first, scene.stop - frames + 1, frames))


def fitted(
    picture: np.ndarray,  # [T, H, W] or [T, H, W, 3]
    size: tuple[int, int],  # width, height
    how: int,
) -> np.ndarray:
    """The middle of each picture at ``size``: scaled until one side fits, the other cut."""
    width, height = size
    scale = max(width / picture.shape[2], height / picture.shape[1])
    wide, high = round(picture.shape[2] * scale), round(picture.shape[1] * scale)
    left, top = (wide - width) // 2, (high - height) // 2
    out = [cv2.resize(np.ascontiguousarray(p), (wide, high), interpolation=how) for p in picture]
    return np.stack([p[top : top + height, left : left + width] for p in out])


def nearest_size(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of ``sizes`` (width, height) the one whose shape is nearest the picture's."""
    return min(sizes, key=lambda size: abs(np.log(size[0] / size[1]) - np.log(width / height)))


def _frames(clip: Path) -> Iterator[UInt8]:
    with open_video(clip) as (_, frames):
        yield from frames
