"""A small clip made of numbers, and what tests write of it: shared by the add-on's tests under a name of its own."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class SmallClip:
    """A disc that moves before a wavy wall, with its DW-mesh."""

    frames: np.ndarray  # [T, H, W, 3] uint8
    depth: np.ndarray  # [T, H, W] float32
    visible: np.ndarray  # [T, H, W] bool
    faces: np.ndarray  # [F, 3] int32
    focal_px: float

    @property
    def size(self) -> tuple[int, int, int]:
        """T, H, W."""
        return self.depth.shape

    def vertices(self, t: int) -> np.ndarray:  # [H * W, 3]
        """Pixel centres lifted to their depth."""
        _, height, width = self.size
        rows, columns = np.mgrid[:height, :width]
        z = self.depth[t]
        x = (columns + 0.5 - width / 2) / self.focal_px * z
        y = (rows + 0.5 - height / 2) / self.focal_px * z
        return np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)


def make_clip(frames: int = 5, height: int = 96, width: int = 128) -> SmallClip:
    rows, columns = np.mgrid[:height, :width]
    depth = np.empty((frames, height, width), np.float32)
    colour = np.zeros((frames, height, width, 3), np.uint8)
    visible = np.ones((frames, height, width), bool)
    for t in range(frames):
        depth[t] = 8 + 0.4 * np.sin(columns / 11) + 0.4 * np.cos(rows / 9)
        colour[t, ..., 0], colour[t, ..., 1] = columns * 255 // width, rows * 255 // height
        colour[t, ..., 2] = ((columns // 6 + rows // 6) % 2) * 200
        radius = np.hypot(columns - 40 - 4 * t, rows - 45)
        depth[t][radius < 20] = 3.5
        colour[t][radius < 20] = (250, 40, 200)
        visible[t][np.abs(radius - 20) < 2] = False
        edge = np.ones((height, width), bool)
        edge[1:-1, 1:-1] = False
        depth[t][edge] = 100
        visible[t][:2] = visible[t][-2:] = visible[t][:, :2] = visible[t][:, -2:] = False
    grid = np.arange(height * width).reshape(height, width)
    upper = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:]], -1).reshape(-1, 3)
    lower = np.stack([grid[1:, 1:], grid[:-1, 1:], grid[1:, :-1]], -1).reshape(-1, 3)
    last = height * width - 1
    caps = np.array([[width - 1, 0, last], [last, 0, last - width + 1]])
    faces = np.concatenate([upper, lower, caps]).astype(np.int32)
    return SmallClip(colour, depth, visible, faces, focal_px=120.0)


def png_bytes(image: np.ndarray) -> bytes:  # [H, W] or [H, W, 3] uint8
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + image[0].size), np.uint8)  # each row starts with its filter type, 0
    rows[:, 1:] = image.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if image.ndim == 2 else 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_source_files(clip: SmallClip, folder: Path) -> tuple[Path, Path]:
    """The clip as a user has it: a folder of PNG frames and an .npz of depth."""
    video, depth = folder / "clip", folder / "depth.npz"
    video.mkdir(parents=True)
    for t, frame in enumerate(clip.frames):
        (video / f"{t:03d}.png").write_bytes(png_bytes(frame))
    np.savez(depth, depth=clip.depth)
    return video, depth
