"""The place that a clip shows: bounding planes, and a back wall bent round behind them, each with one texture.

The planes are those of :mod:`ex4d.fill.planes` in the clip's clean plate. The back wall, as a photographer's cyclorama,
is a cylinder round the source camera as far away as what no plane explains: hills, trees, a sky. Before them stand
things that the picture's edge cuts (:mod:`ex4d.fill.things`). A pixel of a hole takes the nearest of them that is not
open there. All of it depends on the clip alone, so it is made once, and a filled place looks the same in every frame
and from everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ex4d.bands import Split, serial
from ex4d.fill.edited import edited
from ex4d.fill.kernels import find_planes_shown, paint_world
from ex4d.fill.names import named
from ex4d.fill.parts import Parts
from ex4d.fill.planes import Plane, Samples, find_planes
from ex4d.fill.plate import Plate
from ex4d.fill.surfaces import Surface, back_wall, less_rim, plane_surface, rays_of
from ex4d.fill.things import Sight, Things, things_of
from ex4d.progress import CancelToken, check
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.planes import PlaneEdit, PlaneInfo, as_vector
from ex4d_ground.poses import inverse

LEAST_WHOLE = 0.01
"""Share of the picture that must show a plane, apart from the rims of what it shows."""


@dataclass(frozen=True)
class Painted:
    """Pixels of one picture as the world has them."""

    colour: Float32  # [H, W, 3] 0..255
    inverse: Float32  # [H, W] 1 / z of the surface; 0 where there is none
    trust: Float32  # [H, W] 0..1
    on_plane: Bool  # [H, W] whether that is a plane, not the back wall
    on_thing: Bool  # [H, W] whether it is a thing that goes on beyond the picture's edge


@dataclass(frozen=True)
class World:
    """The surfaces and their textures, as :func:`ex4d.fill.kernels.paint_world` takes them."""

    surfaces: Float32  # [S, 16]
    textures: UInt8  # [S, T, 2 * T, 4]
    openings: Bool  # [S, T, T]
    planes: tuple[Plane, ...]
    plate_from_world: Float64 = field(default_factory=lambda: np.eye(4))  # [4, 4] surfaces are in the plate's axes
    things: Things = field(default_factory=Things.none)  # in the same axes

    @property
    def plane_infos(self) -> tuple[PlaneInfo, ...]:
        """The planes for people, in the clip's world."""
        return tuple(map(self._info, self.planes, self.surfaces.astype(np.float64)))

    def _info(self, plane: Plane, numbers: Float64) -> PlaneInfo:  # [16]
        world_from_plate = inverse(self.plate_from_world)
        axes, place = numbers[:9].reshape(3, 3), np.array([*numbers[9:11], plane.distance])
        normal, centre = world_from_plate[:3, :3] @ plane.normal, world_from_plate @ np.append(place @ axes, 1.0)
        return PlaneInfo(
            name=plane.name,
            normal=as_vector(normal),
            distance=float(plane.distance + normal @ world_from_plate[:3, 3]),
            share=plane.share,
            texture=plane.texture,
            added=plane.added,
            centre=as_vector(centre[:3]),
            reach=float(numbers[12]),
        )

    def paint(
        self,
        wanted: Bool,  # [H, W]
        lens: Float64,  # [4]
        world_from_camera: Float64,  # [4, 4]
        coloured: Bool | None = None,  # [H, W]
        split: Split = serial,
    ) -> Painted:
        """The ``wanted`` pixels of a camera's picture; those not ``coloured`` (None: all are) have a distance alone.

        ``split`` shares the rows among threads.
        """
        shape = wanted.shape
        colour, inverse, trust = (np.zeros(size, np.float32) for size in ((*shape, 3), shape, shape))
        which = np.full(shape, -1, np.int32)
        fixed, of_rows = self._seen_by(lens, world_from_camera), (wanted, wanted if coloured is None else coloured)

        def paint_rows(a: int, b: int) -> None:
            paint_world(*fixed, *(each[a:b] for each in (*of_rows, colour, inverse, trust, which)), a)

        split(shape[0], paint_rows)
        on_plane, on_thing = (which >= 0) & (which < len(self.planes)), which >= len(self.surfaces)
        return Painted(colour, inverse, trust, on_plane, on_thing)

    @property
    def size_bytes(self) -> int:
        """Memory of its textures."""
        return sum(array.nbytes for array in self._arrays)

    def shows_plane(
        self,
        wanted: Bool,  # [H, W]
        lens: Float64,  # [4]
        world_from_camera: Float64,  # [4, 4]
        trust: float,
        split: Split = serial,
    ) -> Bool:  # [H, W]
        """The ``wanted`` pixels that :meth:`paint` has of a plane, with so much ``trust`` at least."""
        fixed, out = self._seen_by(lens, world_from_camera), np.zeros(wanted.shape, np.bool_)
        split(len(out), lambda a, b: find_planes_shown(*fixed, wanted[a:b], len(self.planes), trust, out[a:b], a))
        return out

    @property
    def _arrays(self) -> tuple[Float32, UInt8, Bool, Float32, UInt8, Bool]:
        things = self.things
        return self.surfaces, self.textures, self.openings, things.numbers, things.textures, things.outlines

    def _seen_by(self, lens: Float64, world_from_camera: Float64) -> tuple[Float32 | UInt8 | Bool, ...]:
        """What the compiled loops take of the world and of a camera."""
        pose = np.ascontiguousarray((self.plate_from_world @ world_from_camera)[:3], np.float32)
        return *self._arrays, lens.astype(np.float32), pose


@dataclass(frozen=True)
class _Found:
    """The planes that are found, before anybody changes them; a row for each."""

    slopes: Float64  # [P, 3]
    shares: Float64  # [P]
    tolerances: Float64  # [P]

    @property
    def planes(self) -> list[Plane]:
        rows = zip(self.slopes, self.shares.tolist(), self.tolerances.tolist(), strict=True)
        return [Plane(slope, share, tolerance) for slope, share, tolerance in rows]


def build_world(
    plate: Plate, cancel: CancelToken | None = None, edits: Sequence[PlaneEdit] = (), parts: Parts | None = None
) -> World:
    """Find the surfaces, change them by ``edits`` and texture them; what is among ``parts`` is not made again.

    Raises Cancelled, SettingError.
    """
    parts, rays, samples = parts or Parts(), rays_of(plate), Samples.of(plate.inverse, plate.lens)

    def shown(plane: Plane) -> float:
        return float(less_rim(plane.shown(plate.inverse, *rays)).mean())

    def find() -> _Found:
        found = [plane for plane in find_planes(samples) if shown(plane) > LEAST_WHOLE]
        slopes = np.array([plane.slope for plane in found], np.float64).reshape(-1, 3)
        return _Found(slopes, *(np.array([getattr(p, name) for p in found]) for name in ("share", "tolerance")))

    found = parts.kept(_Found, ("planes",), find).planes
    down = next((p.normal for p in found if p.normal[1] > 0.8), np.array([0.0, 1.0, 0.0]))
    planes = edited(named(found, samples, down), plate, edits, samples=samples, down=down, shown=shown)
    surfaces, explained = [], np.zeros(plate.inverse.shape, np.bool_)
    for plane in planes:
        check(cancel)
        on = plane.shown(plate.inverse, *rays)
        explained |= on
        key = ("plane", plane.slope.tobytes(), np.packbits(on).tobytes(), plane.texture, down.tobytes())
        surfaces.append(
            parts.kept(Surface, key, lambda p=plane, o=on: plane_surface(plate, p, less_rim(o), down, rays))
        )
    check(cancel)
    key = ("back wall", np.packbits(explained).tobytes(), down.tobytes())
    surfaces.append(parts.kept(Surface, key, lambda: back_wall(plate, ~explained, down)))
    world = World(
        np.stack([surface.numbers for surface in surfaces]),
        np.stack([surface.texture for surface in surfaces]),
        np.stack([surface.openings for surface in surfaces]),
        tuple(planes),
        inverse(plate.world_from_camera),
    )
    check(cancel)
    return replace(world, things=_things(world, plate, down, parts))


def _things(world: World, plate: Plate, down: Float64, parts: Parts) -> Things:
    """What stands before the place and goes on beyond the picture's edge."""
    sight, wall = Sight.of(plate), float(world.surfaces[-1, 14])
    everywhere = np.ones(sight.inverse.shape, np.bool_)
    behind = world.paint(everywhere, sight.lens, plate.world_from_camera, ~everywhere).inverse
    key = ("things", behind.tobytes(), repr(wall), down.tobytes())
    return parts.kept(Things, key, lambda: things_of(plate, sight, behind, wall, down))
