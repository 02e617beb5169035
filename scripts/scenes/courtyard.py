"""The example clip's scene: a small robot chases a bouncing ball through a courtyard above the sea.

Depth steps from near to far: flower pots, the robot, a pergola, a wall with arches, cypresses, hills, the sky. The
camera stands still; it has the 54.22 degrees (500 px at 512 px width) that are assumed where nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import bmesh
import bpy
import numpy as np
from mathutils import Matrix

from scenes import blend, surface

FOV_DEG = math.degrees(2 * math.atan(256 / 500))
Update = Callable[[float], None]
"""Moves everything to a time between 0 (first frame) and 1 (last frame)."""


def build(seed: int = 7) -> tuple[bpy.types.Object, Update]:
    """Make the scene. Returns its camera and the function that moves it through time."""
    rng = np.random.default_rng(seed)
    blend.reset()
    _light()
    _ground_and_walls()
    _far(rng)
    _pergola(rng)
    _pots(rng)
    camera = blend.camera(location=(0.0, 0.0, 1.5), fov_deg=FOV_DEG)
    camera.rotation_euler = (math.radians(90 - 4.5), 0, 0)
    lantern = _lantern()
    ball = _ball()
    robot, wheel, head = _robot()

    def update(u: float) -> None:
        _move_robot(robot, wheel, head, u)
        _move_ball(ball, u)
        lantern.rotation_euler = (0, math.radians(13) * math.sin(2 * math.pi * 1.5 * u), 0)

    update(0.0)
    return camera, update


def _light() -> None:
    blend.sun(4.2, 40, -134, angle_deg=2.0, colour=(1.0, 0.86, 0.68))
    blend.sky((0.42, 0.60, 0.95), 0.6)


def _arch_wall(
    bm: bmesh.types.BMesh, openings: list[tuple[float, float, float]], width: float, height: float, thick: float
) -> None:
    """A wall in the xz plane with round-topped openings (middle, half width, springing height)."""
    outline: list[tuple[float, float]] = [(-width / 2, 0.0)]
    for middle, half, spring in openings:
        outline.append((middle - half, 0.0))
        outline += [(middle - half * math.cos(a), spring + half * math.sin(a)) for a in np.linspace(0, math.pi, 25)]
        outline.append((middle + half, 0.0))
    outline += [(width / 2, 0.0), (width / 2, height), (-width / 2, height)]
    face = bm.faces.new([bm.verts.new((x, 0, z)) for x, z in outline])
    side = bmesh.ops.extrude_face_region(bm, geom=[face])
    moved = [v for v in side["geom"] if isinstance(v, bmesh.types.BMVert)]
    bmesh.ops.translate(bm, verts=moved, vec=(0, thick, 0))
    bmesh.ops.recalc_face_normals(bm, faces=bm.faces)


def _ground_and_walls() -> None:
    paving = surface.tiles(
        "paving",
        (0.62, 0.31, 0.19),
        (0.50, 0.22, 0.13),
        (0.42, 0.33, 0.26),
        size=(0.5, 0.5),
        offset=0.0,
        joint_width=0.012,
    )
    plaster = surface.speckled(
        "plaster", (0.74, 0.47, 0.24), (0.86, 0.63, 0.38), scale=1.6, detail=3, bump=0.3, roughness=0.9
    )
    stone = surface.speckled("stone", (0.52, 0.47, 0.40), (0.72, 0.67, 0.58), scale=6, bump=0.3)
    blend.plane("floor", 24, 16, paving, location=(0, 4, 0))
    openings = [(-3.15, 0.72, 1.75), (0.05, 0.95, 1.75), (3.25, 0.72, 1.75)]
    blend.mesh_object("wall", lambda bm: _arch_wall(bm, openings, 22, 6.0, 0.45), plaster, location=(0, 9.0, 0))
    for middle, half, spring in openings:
        ring = [
            (middle + (half + 0.12) * math.cos(a), spring + (half + 0.12) * math.sin(a))
            for a in np.linspace(0, math.pi, 12)
        ]
        for (x, z), a in zip(ring, np.linspace(0, math.pi, 12), strict=True):
            blend.box("voussoir", (0.26, 0.16, 0.30), stone, location=(x, 8.95, z), rotation=(0, -a, 0), bevel=0.02)
    blend.box("plinth_left", (1.38, 0.14, 0.35), stone, location=(-1.66, 8.95, 0.175), bevel=0.02)
    blend.box("plinth_right", (1.38, 0.14, 0.35), stone, location=(1.76, 8.95, 0.175), bevel=0.02)
    blend.box("parapet", (24, 0.3, 0.55), plaster, location=(0, 11.6, 0.27), bevel=0.03)


def _far(rng: np.random.Generator) -> None:
    sea = surface.speckled(
        "sea", (0.05, 0.26, 0.40), (0.12, 0.42, 0.55), scale=0.9, stretch=(0.3, 3, 1), roughness=0.25, bump=0.2
    )
    blend.plane("sea", 120, 44, sea, location=(0, 34, -2.5))
    sky = surface.backdrop("sky", (0.95, 0.72, 0.50), (0.10, 0.36, 0.80), strength=1.0, span=(0.17, 0.34))
    blend.plane("sky_card", 140, 60, sky, location=(0, 55.5, 20), rotation=(math.pi / 2, 0, 0))
    for x, y, r, colour in (
        (-15, 47, 11, (0.20, 0.30, 0.42)),
        (8, 50, 12, (0.25, 0.33, 0.46)),
        (-3, 42, 6.5, (0.12, 0.24, 0.28)),
        (24, 40, 9, (0.14, 0.27, 0.26)),
    ):
        hill = surface.plain("hill", colour, roughness=1.0)
        blend.blob("hill", r, hill, rng, rough=0.35, location=(x, y, -2.5), scale=(1.5, 0.35, 0.42))
    cypress = surface.speckled("cypress", (0.02, 0.07, 0.03), (0.09, 0.20, 0.07), scale=9, detail=2, bump=0.6)
    for x, y, h in ((-5.3, 15.5, 5.2), (-0.75, 17.0, 4.6), (1.05, 14.6, 3.6), (5.6, 16.0, 5.4)):
        _cypress(x, y, h, cypress, rng)


def _cypress(x: float, y: float, height: float, material: bpy.types.Material, rng: np.random.Generator) -> None:
    profile = [(0.06, 0), (0.10, 0.05), (0.52, 0.15), (0.58, 0.35), (0.42, 0.65), (0.16, 0.92), (0.01, 1.0)]
    tree = blend.lathe(
        "cypress", [(r * height * 0.2, z * height) for r, z in profile], material, around=40, location=(x, y, -1.2)
    )
    for v in tree.data.vertices:
        v.co.x *= 1 + 0.25 * rng.normal() * 0.5
        v.co.y *= 1 + 0.25 * rng.normal() * 0.5


def _pergola(rng: np.random.Generator) -> None:
    wood = surface.speckled("wood", (0.20, 0.10, 0.05), (0.42, 0.24, 0.12), scale=3, stretch=(8, 1, 1), bump=0.2)
    vine = surface.speckled("vine", (0.05, 0.16, 0.03), (0.20, 0.38, 0.07), scale=1.3, bump=0.0)
    flower = surface.plain("flower", (0.75, 0.07, 0.30), roughness=0.7)
    stone = surface.speckled("column", (0.70, 0.62, 0.50), (0.88, 0.82, 0.72), scale=5, bump=0.2)
    for x in (-2.35, 2.35):
        blend.lathe(
            "column",
            [(0.27, 0), (0.27, 0.14), (0.20, 0.2), (0.18, 2.7), (0.2, 2.75), (0.29, 2.82), (0.29, 3.0)],
            stone,
            location=(x, 6.3, 0),
        )
    blend.box("beam", (6.6, 0.2, 0.24), wood, location=(0, 6.3, 3.12), bevel=0.02)
    for x in np.linspace(-3.0, 3.0, 7):
        blend.box("rafter", (0.13, 2.6, 0.16), wood, location=(x, 7.2, 3.32), bevel=0.02)
    spread = np.concatenate(
        [
            rng.normal((-2.3, 6.15, 3.22), (0.62, 0.2, 0.17), (520, 3)),
            rng.normal((2.5, 6.15, 3.2), (0.5, 0.2, 0.2), (420, 3)),
        ]
    )
    hang = np.concatenate([rng.normal((-2.3, 6.1, 2.5), (0.16, 0.14, 0.45), (170, 3)), spread])
    up = np.tile([0.0, -0.6, 0.7], (len(hang), 1))
    blend.leaves("vine", hang, up, 0.105, vine, rng)
    pick = rng.choice(len(hang), 110, replace=False)
    blend.leaves("flowers", hang[pick] + [0, -0.1, 0], up[pick], 0.085, flower, rng)


def _pot(x: float, y: float, size: float, material: bpy.types.Material) -> bpy.types.Object:
    profile = [(0.0, 0), (0.62, 0), (0.80, 0.75), (0.92, 0.80), (0.92, 1.0), (0.80, 1.0), (0.74, 0.85), (0.0, 0.85)]
    return blend.lathe("pot", [(r * size * 0.5, z * size) for r, z in profile], material, location=(x, y, 0))


def _pots(rng: np.random.Generator) -> None:
    clay = surface.speckled("clay", (0.50, 0.19, 0.09), (0.66, 0.30, 0.16), scale=7, bump=0.15)
    blue = surface.plain("glaze", (0.03, 0.16, 0.38), roughness=0.15)
    leaf = surface.speckled("leaf", (0.06, 0.20, 0.05), (0.25, 0.42, 0.10), scale=2.0, bump=0.0)
    sage = surface.speckled("sage", (0.14, 0.26, 0.16), (0.36, 0.46, 0.30), scale=2.0, bump=0.0)
    lemon = surface.plain("lemon", (0.95, 0.68, 0.04), roughness=0.4)
    _pot(1.52, 3.55, 0.62, blue)
    blend.bush("near_bush", 0.50, 900, leaf, rng, leaf=0.085, location=(1.52, 3.55, 1.02))
    for p in rng.normal(size=(9, 3)):
        p = p / np.linalg.norm(p) * 0.46
        blend.sphere(
            "lemon",
            0.062,
            lemon,
            segments=20,
            location=(1.52 + p[0], 3.55 - abs(p[1]), 1.02 + p[2]),
            scale=(1, 1, 1.25),
        )
    for x, y, s, r, m in ((-1.75, 8.35, 0.55, 0.42, sage), (1.85, 8.3, 0.6, 0.48, leaf), (-3.6, 7.0, 0.6, 0.45, leaf)):
        _pot(x, y, s, clay)
        blend.bush("bush", r, 500, m, rng, leaf=0.085, location=(x, y, s + r * 0.7))


def _lantern() -> bpy.types.Object:
    brass = surface.plain("brass", (0.75, 0.46, 0.14), roughness=0.25, metallic=1.0)
    glow = surface.plain("glow", (1.0, 0.62, 0.25), emission=3.0)
    pivot = blend.empty("lantern", (-0.95, 6.15, 3.0))
    blend.cone("chain", 0.012, 0.012, 0.5, brass, location=(0, 0, -0.5), parent=pivot)
    blend.cone("cap", 0.17, 0.03, 0.14, brass, location=(0, 0, -0.62), parent=pivot, segments=8)
    blend.cone("glass", 0.10, 0.13, 0.26, glow, location=(0, 0, -0.88), parent=pivot, segments=8)
    blend.cone("base", 0.12, 0.12, 0.04, brass, location=(0, 0, -0.92), parent=pivot, segments=8)
    return pivot


def _ball() -> bpy.types.Object:
    colours = [
        (0.85, 0.08, 0.06),
        (0.93, 0.90, 0.84),
        (0.95, 0.62, 0.05),
        (0.93, 0.90, 0.84),
        (0.05, 0.35, 0.70),
        (0.93, 0.90, 0.84),
    ]
    ball = blend.sphere("ball", 0.24, surface.striped("stripe", colours), segments=48)
    for polygon in ball.data.polygons:
        a = math.atan2(polygon.center.y, polygon.center.x) % (2 * math.pi)
        polygon.material_index = int(a / (2 * math.pi) * 6) % 6
    return ball


def _move_ball(ball: bpy.types.Object, u: float) -> None:
    bounces = 3.4 * u + 0.25
    height = 1.05 * (1 - 0.35 * u) * (1 - (2 * (bounces % 1) - 1) ** 2)
    ball.location = (-0.35 + 1.75 * u, 4.25 + 0.5 * math.sin(2.6 * u), 0.24 + height)
    ball.rotation_euler = (0.5, 7.5 * u, 0.3 + 2.0 * u)


def _robot() -> tuple[bpy.types.Object, bpy.types.Object, bpy.types.Object]:
    teal = surface.plain("teal", (0.03, 0.36, 0.38), roughness=0.3)
    cream = surface.plain("cream", (0.88, 0.80, 0.66), roughness=0.4)
    rubber = surface.plain("rubber", (0.03, 0.03, 0.035), roughness=0.8)
    steel = surface.plain("steel", (0.6, 0.62, 0.65), roughness=0.25, metallic=1.0)
    screen = surface.plain("screen", (0.01, 0.015, 0.03), roughness=0.1)
    eye = surface.plain("eye", (0.25, 0.95, 1.0), emission=3.5)
    orange = surface.plain("orange", (0.95, 0.30, 0.03), roughness=0.4)
    body = blend.empty("robot")
    wheel = blend.empty("wheel", (0, 0, 0.26), body)
    blend.torus("tyre", 0.19, 0.07, rubber, rotation=(math.pi / 2, 0, 0), parent=wheel)
    blend.cone("hub", 0.15, 0.15, 0.09, cream, location=(0, 0.045, 0), rotation=(math.pi / 2, 0, 0), parent=wheel)
    for i in range(3):
        blend.box("spoke", (0.27, 0.12, 0.035), steel, rotation=(0, i * math.pi / 3, 0), parent=wheel)
    for y in (-0.12, 0.12):
        blend.box("fork", (0.07, 0.035, 0.36), steel, location=(0, y, 0.40), parent=body, bevel=0.01)
    blend.box("torso", (0.40, 0.36, 0.46), teal, location=(0, 0, 0.78), parent=body, bevel=0.09)
    blend.box("belt", (0.42, 0.38, 0.07), cream, location=(0, 0, 0.66), parent=body, bevel=0.03)
    blend.cone(
        "button", 0.06, 0.06, 0.03, orange, location=(0.06, -0.175, 0.86), rotation=(math.pi / 2, 0, 0), parent=body
    )
    for y in (-0.24, 0.24):
        blend.sphere("shoulder", 0.075, steel, segments=24, location=(0, y, 0.88), parent=body)
        arm = blend.empty("arm", (0, y * 1.12, 0.88), body)
        arm.rotation_euler = (0, -1.1 if y < 0 else -0.75, 0)
        blend.cone("forearm", 0.042, 0.05, 0.36, cream, rotation=(0, math.pi, 0), parent=arm, segments=24)
        blend.sphere("hand", 0.07, orange, segments=24, location=(0, 0, -0.38), parent=arm)
    head = blend.empty("head", (0, 0, 1.06), body)
    blend.cone("neck", 0.09, 0.07, 0.16, steel, location=(0, 0, 0.97), parent=body)
    blend.cone("collar", 0.13, 0.11, 0.05, orange, location=(0, 0, 0.99), parent=body)
    blend.box("skull", (0.44, 0.38, 0.32), cream, location=(0, 0, 0.19), parent=head, bevel=0.1)
    blend.box(
        "face",
        (0.30, 0.30, 0.20),
        screen,
        location=(0.05, -0.055, 0.19),
        rotation=(0, 0, math.radians(8)),
        parent=head,
        bevel=0.05,
    )
    for x in (-0.01, 0.12):
        blend.sphere("eye", 0.032, eye, segments=20, location=(x, -0.205, 0.21), parent=head, scale=(1, 0.5, 1.3))
    blend.cone("antenna", 0.01, 0.008, 0.2, steel, location=(-0.1, 0, 0.34), parent=head, segments=12)
    blend.sphere("tip", 0.035, orange, segments=20, location=(-0.1, 0, 0.55), parent=head)
    body.scale = (1.12, 1.12, 1.12)
    return body, wheel, head


def _move_robot(body: bpy.types.Object, wheel: bpy.types.Object, head: bpy.types.Object, u: float) -> None:
    x = -1.75 + 1.9 * (u - 0.08 * math.sin(2 * math.pi * u))
    body.location = (x, 4.75 - 0.55 * math.sin(2.2 * u), 0.0)
    body.rotation_euler = (0, math.radians(7) * math.sin(2 * math.pi * u + 0.6), math.radians(-14 + 18 * u))
    wheel.matrix_local = Matrix.Translation((0, 0, 0.26)) @ Matrix.Rotation((x + 1.75) / 0.29, 4, "Y")
    head.rotation_euler = (
        0,
        math.radians(9) * math.sin(2 * math.pi * 1.6 * u),
        math.radians(16) * math.sin(2 * math.pi * 0.9 * u),
    )
