"""What every ground-truth scene stands on: its contract, outdoor and indoor surroundings, and some props."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import bmesh
import bpy
import numpy as np
from mathutils import Matrix, noise

from scenes import blend, surface

Update = Callable[[float], None]
CAMERA_HEIGHT = 1.5
DOME_RADIUS = 26.0


@dataclass(frozen=True)
class Built:
    """A finished scene. The source camera stands still; ``update`` moves everything else."""

    camera: bpy.types.Object
    pivot: float
    """Distance in metres along the source's axis to the point that orbits turn around."""
    update: Update
    zoom: float = 1.0
    """Factor by which orbits' focal length grows over the move (1: fixed lens)."""


def still(_: float) -> None:
    """The update of a scene in which nothing moves."""


def viewer(pivot: float, *, height: float = CAMERA_HEIGHT, tilt_deg: float = 4.0) -> bpy.types.Object:
    """The source camera, ``pivot`` metres in front of the world's origin and looking slightly down at it."""
    camera = blend.camera(location=(0, -pivot * math.cos(math.radians(tilt_deg)), height), fov_deg=54.22)
    camera.rotation_euler = (math.radians(90 - tilt_deg), 0, 0)
    return camera


def pastel(rng: np.random.Generator) -> tuple[float, float, float]:
    """A clear colour of random hue."""
    h = rng.uniform(0, 2 * math.pi)
    base = [0.5 + 0.45 * math.cos(h + k) for k in (0.0, 2.1, 4.2)]
    return tuple(float(np.clip(c * rng.uniform(0.6, 1.0), 0.03, 0.9)) for c in base)  # type: ignore[return-value]


def paint(name: str, rng: np.random.Generator) -> bpy.types.Material:
    """A random textured paint: texture is what makes errors visible."""
    c = pastel(rng)
    dark = tuple(0.45 * v for v in c)
    return surface.speckled(name, dark, c, scale=float(rng.uniform(3, 9)), detail=2, roughness=0.7, bump=0.0)


def dome(low: blend.Colour = (0.86, 0.72, 0.58), high: blend.Colour = (0.14, 0.36, 0.75)) -> bpy.types.Object:
    """A painted sky all round, so that every ray ends somewhere. It casts no shadow and sheds no light."""

    def build(bm: bmesh.types.BMesh) -> None:
        bmesh.ops.create_uvsphere(
            bm, u_segments=64, v_segments=32, radius=DOME_RADIUS, matrix=Matrix.Rotation(math.pi / 2, 4, "X")
        )

    # The backdrop's gradient runs along the object's own y, so the sphere is built lying and stood up here.
    obj = blend.mesh_object(
        "dome", build, surface.backdrop("dome", low, high, span=(0.5, 0.72)), smooth=True, rotation=(math.pi / 2, 0, 0)
    )
    obj.visible_shadow = obj.visible_diffuse = False
    return obj


def outdoors(rng: np.random.Generator, *, ground: bpy.types.Material | None = None, hills: bool = True) -> None:
    """Ground, sky, a ring of hills, sun and fill light."""
    blend.sun(float(rng.uniform(3.2, 4.2)), float(rng.uniform(35, 55)), float(rng.uniform(-150, -100)), angle_deg=3)
    blend.sky((0.45, 0.62, 0.95), 0.7)
    dome()
    ground = ground or surface.tiles(
        "paving", (0.55, 0.43, 0.33), (0.45, 0.34, 0.25), (0.25, 0.20, 0.16), size=(0.6, 0.6), joint_width=0.02
    )
    blend.mesh_object(
        "ground", lambda bm: bmesh.ops.create_circle(bm, cap_ends=True, segments=64, radius=DOME_RADIUS), ground
    )
    if not hills:
        return
    for i in range(9):
        a = 2 * math.pi * (i + rng.uniform(-0.3, 0.3)) / 9
        r = rng.uniform(17, 22)
        shade = surface.speckled("hill", (0.10, 0.20, 0.10), (0.26, 0.36, 0.18), scale=0.8, detail=3, bump=0.0)
        blend.blob(
            "hill",
            float(rng.uniform(2.5, 4.0)),
            shade,
            rng,
            detail=4,
            location=(r * math.cos(a), r * math.sin(a), -0.5),
            scale=(1.4, 1.4, 0.8),
        )


def room(rng: np.random.Generator, *, width: float = 11.0, height: float = 3.6) -> None:
    """Four walls with panels and pictures, a plank floor, a ceiling, soft light from above."""
    wall = surface.speckled("wall", (0.52, 0.58, 0.52), (0.66, 0.70, 0.62), scale=1.5, detail=2, bump=0.0)
    planks = surface.tiles(
        "planks", (0.42, 0.25, 0.13), (0.33, 0.18, 0.09), (0.12, 0.07, 0.04), size=(1.8, 0.16), joint_width=0.006
    )
    white = surface.plain("white", (0.80, 0.79, 0.75), roughness=0.8)
    blend.plane("floor", width, width, planks)
    blend.plane("ceiling", width, width, white, location=(0, 0, height), rotation=(math.pi, 0, 0))
    for k in range(4):
        a = k * math.pi / 2
        x, y = width / 2 * math.sin(a), width / 2 * math.cos(a)
        turn = (0, 0, -a)
        blend.box("wall", (width, 0.1, height), wall, location=(x, y, height / 2), rotation=turn)
        blend.box("skirting", (width, 0.16, 0.18), white, location=(x, y, 0.09), rotation=turn)
        for j in (-0.3, 0.0, 0.3):
            px, py = x * 0.985 + j * width * math.cos(a), y * 0.985 - j * width * math.sin(a)
            blend.box("frame", (1.3, 0.06, 0.95), white, location=(px, py, 1.75), rotation=turn, bevel=0.02)
            blend.box("picture", (1.1, 0.09, 0.75), paint("picture", rng), location=(px, py, 1.75), rotation=turn)
    for x, y in ((-2.2, -2.2), (2.2, 2.2)):
        blend.area_light(150, 2.4, (x, y, height - 0.15), (x, y, 0), (1.0, 0.92, 0.8))
    blend.sky((0.8, 0.85, 1.0), 0.25)


def tree(rng: np.random.Generator, x: float, y: float, height: float, leaf_count: int = 700) -> bpy.types.Object:
    """Trunk, a few branches, crowns of leaves. Returns the pivot that sways."""
    bark = surface.speckled("bark", (0.10, 0.06, 0.04), (0.28, 0.18, 0.11), scale=5, detail=2, bump=0.0)
    shade = rng.uniform(0.7, 1.3)
    leaf = surface.speckled(
        "leaf", (0.04 * shade, 0.14 * shade, 0.03), (0.22 * shade, 0.40 * shade, 0.08), scale=2.5, detail=2, bump=0.0
    )
    root = blend.empty("tree", (x, y, 0))
    blend.cone("trunk", 0.09 * height / 2, 0.04 * height / 2, height * 0.7, bark, segments=16, parent=root)
    for _ in range(4):
        a, lean = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 0.9)
        z = height * rng.uniform(0.35, 0.6)
        length = height * rng.uniform(0.25, 0.38)
        blend.cone(
            "branch",
            0.03 * height / 2,
            0.01,
            length,
            bark,
            segments=10,
            location=(0, 0, z),
            rotation=(0, lean, a),
            parent=root,
        )
        tip = (
            length * math.sin(lean) * math.cos(a),
            length * math.sin(lean) * math.sin(a),
            z + length * math.cos(lean),
        )
        blend.bush("crown", height * 0.17, leaf_count // 5, leaf, rng, leaf=0.085, location=tip, parent=root)
    blend.bush(
        "crown", height * 0.22, leaf_count // 4, leaf, rng, leaf=0.085, location=(0, 0, height * 0.8), parent=root
    )
    return root


def grass_material() -> bpy.types.Material:
    """Meadow."""
    return surface.speckled("meadow", (0.09, 0.20, 0.04), (0.26, 0.38, 0.10), scale=3.0, detail=4, bump=0.0)


def bumpy(rng: np.random.Generator, radius: float, material: bpy.types.Material, **kwargs) -> bpy.types.Object:
    """A head-like lump: an egg with bumps."""
    offset = rng.uniform(-50, 50, 3)

    def build(bm: bmesh.types.BMesh) -> None:
        bmesh.ops.create_icosphere(bm, subdivisions=4, radius=radius)
        for v in bm.verts:
            v.co *= 1 + 0.12 * noise.noise(v.co * (2.2 / radius) * 0.6 + type(v.co)(offset))
            v.co.z *= 1.25

    return blend.mesh_object("lump", build, material, smooth=True, **kwargs)
