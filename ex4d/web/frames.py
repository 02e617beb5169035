"""What a page shows of a mesh's frames: depth, thickness and bridges, brought to the page's size."""

import cv2
import numpy as np

from ex4d.clip.resample import resized
from ex4d.dwmesh import DWMesh
from ex4d.web.tiles import GUESSED, HIDDEN, ONE_BRIDGE, SHOWN, PageFrame, largest, layered
from ex4d_ground.arrays import Bool, Float32, Int64


def page_frame(mesh: DWMesh, t: int, size: tuple[int, int], guessed: Bool | None = None) -> PageFrame:
    """Frame ``t`` of a solid mesh at ``size`` (height, width); ``guessed`` [H, W] says where its kind is that."""
    depth = mesh.drawn_depth(t)
    disparity = (1 / depth).astype(np.float32)
    share = np.nan_to_num(mesh.thickness(t), nan=0.0) / depth
    kind = np.full(depth.shape, SHOWN, np.uint8)
    if guessed is not None:
        kind[guessed] = GUESSED
    hidden = mesh.hidden_by_flags(t)
    if hidden is not None:
        kind[hidden.reshape(kind.shape)] = HIDDEN
    frame = PageFrame(
        mesh.clip.frames[t],
        disparity,
        np.where(mesh.near_sides(t), share, 0).astype(np.float32),
        bridge_maps(mesh, t),
        kind,
    )
    return frame if size == depth.shape else _smaller(frame, size)


def bridge_maps(mesh: DWMesh, t: int) -> Float32:  # [LAYERS, H, W]
    """1 / z of the nearest and of the farthest bridge behind each pixel, 0 where there is none or but one."""
    size = mesh.height, mesh.width
    nearest, farthest = np.zeros(size, np.float32), np.full(size, np.inf, np.float32)
    strips = mesh.bridges(t)
    if len(strips):
        place, along = _under(strips, mesh, t)
        np.maximum.at(nearest, place, along)
        np.minimum.at(farthest, place, along)
    return np.stack([nearest, np.where(farthest < ONE_BRIDGE * nearest, farthest, 0)])


def _under(strips: Float32, mesh: DWMesh, t: int) -> tuple[tuple[Int64, Int64], Float32]:
    """Rows and columns of the pixels that ``strips`` [N, 4, 3] lie behind, and 1 / z of the strip at each."""
    (x, y), nudge = mesh.rays(t), 1e-3 / mesh.clip.lens(t).fx
    first, last = (strips[:, k, 0] / strips[:, k, 2] for k in (0, 1))
    top = np.interp(strips[:, 0, 1] / strips[:, 0, 2], y, np.arange(len(y)))
    row = np.clip(np.rint(top + 0.5).astype(np.int64), 0, len(y) - 1)
    start, end = np.searchsorted(x, first - nudge), np.searchsorted(x, last + nudge)
    counts = np.maximum(end - start, 0)
    strip = np.repeat(np.arange(len(strips)), counts)
    column = np.arange(len(strip)) - np.repeat(np.cumsum(counts) - counts, counts) + start[strip]
    share = (x[column] - first[strip]) / np.maximum(last - first, 1e-12)[strip]
    along = (1 - share) / strips[strip, 0, 2] + share / strips[strip, 1, 2]
    return (row[strip], column), along.astype(np.float32)


def _smaller(frame: PageFrame, size: tuple[int, int]) -> PageFrame:
    """At fewer pixels: colours are means, depth is of one surface, what hides most counts."""
    height, width = size
    colour = cv2.resize(frame.colour, (width, height), interpolation=cv2.INTER_AREA)
    disparity = 1 / resized((1 / frame.disparity).astype(np.float32), size)
    share, kind = largest(frame.share, size), largest(frame.kind, size).astype(np.uint8)
    return PageFrame(np.asarray(colour, np.uint8), disparity, share, layered(frame.bridges, size), kind)
