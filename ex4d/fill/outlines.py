"""Things that the picture's edge cuts, and the outline in which each may go on beyond it.

What stands before the place falls into pieces at its depth edges. Where a piece meets the picture's edge, its
silhouette goes on from both ends of the cut along its tangents and closes there (a cubic Bezier curve), about as far as
the piece is thick at the cut. That is no more than a guess: a thing whose half is seen is most often as large again.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.fill.names import LEVEL
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, Int64

MOST = 6
"""Things that go on."""
SAME = 0.08
"""Share of the inverse depth by which neighbours of one thing may differ."""
BEFORE, LEAST_BEFORE = 1.3, 1.06
"""Factors by which a thing is nearer than the place behind it: in much of its area, and everywhere."""
WELL = 0.2
"""Share of its area that counts as much."""
AREA = (0.0015, 0.3)
"""Bounds of its area, as a share of the picture: specks, and ground that no plane was found of."""
CUT = (0.012, 1.2)
"""Bounds of a cut's length, as a share of the picture's longer side."""
GAP = 0.025
"""Of that side: gaps so wide between leaves belong to the thing."""
BESIDE = 0.05
"""Of that side: how far from the cut its silhouette is looked at, at most as far as the cut is long."""
ROUND, ALONG = 2 / 3, 0.25
"""How far a thing goes on: of the cut's length, and of the thing's thickness inwards from it."""
THICK, LONGEST = 0.5, 0.3
"""At most that share of the thickness, and that of the picture's longer side."""
OUTWARD = 0.25
"""Cosine of the largest angle from the cut's normal at which a silhouette goes on."""
WIDER, WIDEST = 0.25, 0.35
"""How much wider it may become: of the cut's length, over the way; and by how much for each pixel of the way."""
STEEPEST = 1.6
"""Factor by which the inverse depth of what goes on may differ from what is seen at the cut."""
STIFF = 2.0
"""How much a thing counts as upright before the camera, against the slope that is seen of it."""
FLAT = 0.02
"""Share of the inverse depth by which what is seen of a table's top, at most places, may miss its plane."""
_STEPS = 24


@dataclass(frozen=True)
class CutThing:
    """One thing at one place where the picture's edge cuts it."""

    own: Bool  # [h, w] what is seen of it
    near: Bool  # [h, w] of that, as far from the cut as it goes on
    outline: Float64  # [n, 2] x and y at depth 1 of the rays round where it goes on, with some of what is seen
    slope: Float64  # [3] of its plane, as of :class:`ex4d.fill.planes.Plane`


@dataclass(frozen=True)
class _Edge:
    """The outermost pixels of a picture, clockwise, and the directions out of it."""

    pixels: Int64  # [n, 2] x, y
    outward: Float64  # [n, 2] of length one

    @staticmethod
    def of(height: int, width: int) -> "_Edge":
        across, down = np.arange(width), np.arange(height)
        sides = [
            (across, np.zeros_like(across)), (np.full(height - 1, width - 1), down[1:]),
            (across[-2::-1], np.full(width - 1, height - 1)), (np.zeros(height - 2, np.int64), down[-2:0:-1]),
        ]  # fmt: skip
        x, y = (np.concatenate(each) for each in zip(*sides, strict=True))
        out = np.stack([(x == width - 1) * 1.0 - (x == 0), (y == height - 1) * 1.0 - (y == 0)], axis=1)
        return _Edge(np.stack([x, y], axis=1), out / np.linalg.norm(out, axis=1, keepdims=True))

    @property
    def has_corner(self) -> bool:
        """Whether they lie on more than one side."""
        return bool(np.ptp(self.outward, axis=0).max() > 0)


def cut_things(
    inverse: Float32,  # [h, w]
    behind: Float32,  # [h, w]
    lens: Float64,  # [4]
    down: Float64,  # [3]
) -> list[CutThing]:
    """The things of a picture of 1 / z that its edge cuts, the largest first, not more than ``MOST``.

    ``behind`` is 1 / z of the place behind them, ``lens`` fx, fy, cx, cy in pixels.
    """
    if min(inverse.shape) < 2:  # a line is all edge
        return []
    side, edge = max(inverse.shape), _Edge.of(*inverse.shape)
    pieces = _pieces(inverse, inverse > LEAST_BEFORE * behind)
    area = np.bincount(pieces.ravel())
    well = np.bincount(pieces.ravel(), (inverse > BEFORE * behind).ravel(), len(area))
    fit = (well >= WELL * area) & (area >= AREA[0] * inverse.size) & (area <= AREA[1] * inverse.size)
    fit &= np.bincount(pieces[edge.pixels[:, 1], edge.pixels[:, 0]], minlength=len(area)) > 0
    out: list[CutThing] = []
    for piece in np.argsort(-area, kind="stable"):
        if piece == 0 or not fit[piece] or len(out) >= MOST:
            continue
        own = _without_gaps(pieces == piece, GAP * side)
        for run in _runs(own[edge.pixels[:, 1], edge.pixels[:, 0]], GAP * side):
            if CUT[0] * side <= len(run) <= CUT[1] * side:
                out.append(_going_on(inverse, own, _Edge(edge.pixels[run], edge.outward[run]), lens, down))
    return out[:MOST]


def _pieces(inverse: Float32, before: Bool) -> Int32:  # [h, w]
    """Numbers of connected pieces without depth edges, 0 for what is not ``before``."""
    height, width = before.shape
    linked = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)  # pixels, and between them what joins them
    linked[::2, ::2] = before
    for one, other, between in (
        (np.s_[:-1], np.s_[1:], np.s_[1::2, ::2]),
        (np.s_[:, :-1], np.s_[:, 1:], np.s_[::2, 1::2]),
    ):
        a, b = inverse[one], inverse[other]
        linked[between] = before[one] & before[other] & (np.abs(a - b) <= SAME * np.maximum(a, b))
    return np.asarray(cv2.connectedComponents(linked, connectivity=4)[1][::2, ::2], np.int32)


def _without_gaps(own: Bool, width: float) -> Bool:  # [h, w]
    """A thing with the gaps between its leaves, those at the picture's edge, too."""
    reach = max(1, round(width / 2))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = np.pad(own.view(np.uint8), reach, mode="edge")
    return cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0


def _runs(on: Bool, gap: float) -> list[Int64]:  # [n]
    """Where along the picture's edge something is, each with the gaps in it; nothing where it is all the way round."""
    if on.all() or not on.any():
        return []
    start = int(np.flatnonzero(~on)[0])
    at = np.flatnonzero(np.roll(on, -start))
    runs = np.split(at, np.flatnonzero(np.diff(at) > gap) + 1)
    return [(np.arange(run[0], run[-1] + 1) + start) % len(on) for run in runs]


def _going_on(inverse: Float32, own: Bool, cut: _Edge, lens: Float64, down: Float64) -> CutThing:
    height, width = own.shape
    focal, centre = lens[:2], lens[2:]
    away = np.ones(own.shape, np.uint8)
    away[cut.pixels[:, 1], cut.pixels[:, 0]] = 0
    distance = cv2.distanceTransform(away, cv2.DIST_L2, 5)
    ends = cut.pixels[[0, -1]].astype(np.float64)
    length, thickness = float(np.linalg.norm(ends[1] - ends[0])) + 1, _thickness(own, cut)
    reach = min(ROUND * length + ALONG * thickness, THICK * thickness, LONGEST * max(height, width))
    curve = _closing(ends, _tangents(own, cut, length, reach), reach)
    pixels = np.concatenate([curve, (cut.pixels - cut.outward)[::-1]])
    if cut.has_corner:
        pixels = _round_corner(pixels, cut, reach)
    outline = (pixels + 0.5 - centre) / focal
    y, x = np.nonzero(own & (distance <= max(length, 8)))
    rays = (np.stack([x, y], axis=1) + 0.5 - centre) / focal
    slope = _slope(rays, inverse[y, x].astype(np.float64), outline, down)
    return CutThing(own, own & (distance <= reach), outline, slope)


def _thickness(own: Bool, cut: _Edge) -> float:
    """How many pixels a thing goes on inwards, at most places of a cut."""
    size = np.array(own.shape[::-1])
    found = []
    for place, outward in zip(cut.pixels, cut.outward, strict=True):
        at = np.rint(place - np.arange(size.max())[:, None] * outward).astype(np.int64)
        at = at[((at >= 0) & (at < size)).all(axis=1)]
        there = own[at[:, 1], at[:, 0]]
        found.append(len(at) if there.all() else int(np.argmin(there)))
    return max(1.0, float(np.median(found)))


def _tangents(own: Bool, cut: _Edge, length: float, reach: float) -> Float64:  # [2, 2]
    """The directions in which the silhouette goes on at both ends of a cut, neither along it nor far apart."""
    inside = cv2.erode(own.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rim = own & ~inside
    rim[0], rim[-1], rim[:, 0], rim[:, -1] = False, False, False, False
    places = np.argwhere(rim)[:, ::-1].astype(np.float64)
    radius = max(4.0, min(BESIDE * max(own.shape), length))
    along = (cut.pixels[-1] - cut.pixels[0]) / length
    most = min(WIDEST, WIDER * length / reach)
    out = np.empty((2, 2))
    for k, (end, outward) in enumerate(zip(cut.pixels[[0, -1]], cut.outward[[0, -1]], strict=True)):
        near = places[np.linalg.norm(places - end, axis=1) <= radius]
        ahead = (end - near).sum(axis=0) if len(near) else outward
        ahead /= max(float(np.linalg.norm(ahead)), 1e-9)
        ahead += max(0.0, OUTWARD - float(ahead @ outward)) * outward
        apart = along if k else -along
        ahead -= max(0.0, float(ahead @ apart) - most) * apart
        out[k] = ahead / np.linalg.norm(ahead)
    return out


def _closing(ends: Float64, tangents: Float64, reach: float) -> Float64:  # [2, 2], [2, 2] -> [n, 2]
    """The curve from one end to the other, which is ``reach`` away where the tangents are parallel.

    Tangents that meet before that close there.
    """
    both = np.stack([tangents[0], -tangents[1]], axis=1)
    if abs(np.linalg.det(both)) > 1e-6:
        meet = np.linalg.solve(both, ends[1] - ends[0])
        if (meet > 0).all():
            reach = min(reach, float(meet.min()))
    t = np.linspace(0, 1, _STEPS)[:, None]
    first, second = ends + reach / 0.75 * tangents
    weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    return np.add.reduce([w * p for w, p in zip(weights, (ends[0], first, second, ends[1]), strict=True)])


def _round_corner(outline: Float64, cut: _Edge, reach: float) -> Float64:  # [n, 2] -> [m, 2]
    """The outline of a thing in a corner of the picture, which the curve from end to end does not go round."""
    along = np.linspace(0, 1, len(cut.pixels))[:, None]
    beyond = cut.pixels + 4 * along * (1 - along) * reach * cut.outward
    hull = cv2.convexHull(np.concatenate([outline, beyond]).astype(np.float32))
    return np.asarray(hull[:, 0], np.float64)


def _slope(rays: Float64, values: Float64, outline: Float64, down: Float64) -> Float64:  # [n, 2], [n], [m, 2] -> [3]
    """The plane of what is seen near the cut: a table's top, else nearer to upright.

    Nowhere on the outline is it very near or far.
    """
    middle, usual = rays.mean(axis=0), float(np.median(values))
    offset, rest = rays - middle, values - usual
    tilt = np.linalg.lstsq(offset, rest, rcond=None)[0]
    normal = np.array([*tilt, usual - tilt @ middle])
    missed = float(np.median(np.abs(offset @ tilt - rest) / values))
    if missed > FLAT or abs(normal @ down) < LEVEL * np.linalg.norm(normal):
        upright = STIFF * np.sqrt(len(rays)) * float(offset.std()) * np.eye(2)
        tilt = np.linalg.lstsq(np.concatenate([offset, upright]), np.concatenate([rest, np.zeros(2)]), rcond=None)[0]
    most = float(np.abs((outline - middle) @ tilt).max()) / usual
    tilt = tilt * min(1.0, (1 - 1 / STEEPEST) / max(most, 1e-9))
    return np.array([*tilt, usual - tilt @ middle])
