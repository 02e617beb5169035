"""Small building blocks for procedural Blender scenes: meshes, materials, lights, one call each.

Everything random draws from a generator the caller passes in, so a seed makes the same scene on any machine.
Blender axes: x right, y away from the default viewer, z up; lengths in metres, angles in radians.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import bmesh
import bpy
import numpy as np
from mathutils import Matrix, Vector, noise

Colour = tuple[float, float, float]


def reset() -> bpy.types.Scene:
    """An empty scene with nothing of the user's preferences in it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def link(obj: bpy.types.Object, parent: bpy.types.Object | None = None) -> bpy.types.Object:
    """Put ``obj`` into the scene, optionally below ``parent``."""
    bpy.context.scene.collection.objects.link(obj)
    if parent is not None:
        obj.parent = parent
    return obj


def empty(name: str, location: Sequence[float] = (0, 0, 0), parent: bpy.types.Object | None = None) -> bpy.types.Object:
    """A transform without geometry, to move groups of objects."""
    obj = bpy.data.objects.new(name, None)
    obj.location = location
    return link(obj, parent)


def mesh_object(
    name: str,
    build: Callable[[bmesh.types.BMesh], Any],
    material: bpy.types.Material | Sequence[bpy.types.Material] | None = None,
    *,
    location: Sequence[float] = (0, 0, 0),
    rotation: Sequence[float] = (0, 0, 0),
    scale: Sequence[float] = (1, 1, 1),
    smooth: bool = False,
    bevel: float = 0.0,
    parent: bpy.types.Object | None = None,
) -> bpy.types.Object:
    """An object whose mesh ``build`` fills in."""
    mesh = bpy.data.meshes.new(name)
    bm = bmesh.new()
    build(bm)
    bm.to_mesh(mesh)
    bm.free()
    for m in [material] if isinstance(material, bpy.types.Material) else (material or []):
        mesh.materials.append(m)
    for polygon in mesh.polygons:
        polygon.use_smooth = smooth
    obj = bpy.data.objects.new(name, mesh)
    obj.location, obj.rotation_euler, obj.scale = location, rotation, scale
    if bevel:
        modifier = obj.modifiers.new("bevel", "BEVEL")
        modifier.width, modifier.segments, modifier.limit_method = bevel, 3, "ANGLE"
    return link(obj, parent)


def box(name: str, size: Sequence[float], material: bpy.types.Material, **kwargs: Any) -> bpy.types.Object:
    """A box of the given edge lengths around its location."""
    return mesh_object(
        name, lambda bm: bmesh.ops.create_cube(bm, size=1, matrix=Matrix.Diagonal((*size, 1))), material, **kwargs
    )


def sphere(name: str, radius: float, material: Any, *, segments: int = 48, **kwargs: Any) -> bpy.types.Object:
    """A UV sphere, smooth."""

    def build(bm: bmesh.types.BMesh) -> None:
        bmesh.ops.create_uvsphere(bm, u_segments=segments, v_segments=segments // 2, radius=radius)

    return mesh_object(name, build, material, smooth=True, **kwargs)


def cone(
    name: str, radius: float, top: float, height: float, material: Any, *, segments: int = 48, **kwargs: Any
) -> bpy.types.Object:
    """A cone, frustum or cylinder standing on its location."""

    def build(bm: bmesh.types.BMesh) -> None:
        bmesh.ops.create_cone(
            bm, cap_ends=True, segments=segments, radius1=radius, radius2=top, depth=height,
            matrix=Matrix.Translation((0, 0, height / 2)),
        )  # fmt: skip

    obj = mesh_object(name, build, material, **kwargs)
    for polygon in obj.data.polygons:
        polygon.use_smooth = len(polygon.vertices) == 4 and abs(polygon.normal.z) < 0.95
    return obj


def torus(name: str, radius: float, thickness: float, material: Any, **kwargs: Any) -> bpy.types.Object:
    """A ring around the z axis."""
    return mesh_object(name, lambda bm: lathe_loop(bm, radius, thickness), material, smooth=True, **kwargs)


def lathe_loop(bm: bmesh.types.BMesh, radius: float, thickness: float, around: int = 48, section: int = 16) -> None:
    """The torus' grid of quads."""
    grid = []
    for i in range(around):
        a = 2 * math.pi * i / around
        ring = []
        for j in range(section):
            b = 2 * math.pi * j / section
            r = radius + thickness * math.cos(b)
            ring.append(bm.verts.new((r * math.cos(a), r * math.sin(a), thickness * math.sin(b))))
        grid.append(ring)
    for i in range(around):
        for j in range(section):
            k, m = (i + 1) % around, (j + 1) % section
            bm.faces.new((grid[i][j], grid[k][j], grid[k][m], grid[i][m]))


def lathe(
    name: str, profile: Sequence[tuple[float, float]], material: Any, *, around: int = 48, **kwargs: Any
) -> bpy.types.Object:
    """A surface of revolution around z from (radius, height) pairs, bottom first."""

    def build(bm: bmesh.types.BMesh) -> None:
        rings = [
            [
                bm.verts.new((r * math.cos(2 * math.pi * i / around), r * math.sin(2 * math.pi * i / around), z))
                for i in range(around)
            ]
            for r, z in profile
        ]
        for low, high in itertools.pairwise(rings):
            for i in range(around):
                k = (i + 1) % around
                bm.faces.new((low[i], low[k], high[k], high[i]))

    return mesh_object(name, build, material, smooth=True, **kwargs)


def plane(name: str, width: float, depth: float, material: Any, *, cuts: int = 0, **kwargs: Any) -> bpy.types.Object:
    """A rectangle in the xy plane around its location."""

    def build(bm: bmesh.types.BMesh) -> None:
        n = cuts + 1
        bmesh.ops.create_grid(bm, x_segments=n, y_segments=n, size=0.5, matrix=Matrix.Diagonal((width, depth, 1, 1)))

    return mesh_object(name, build, material, **kwargs)


def blob(
    name: str,
    radius: float,
    material: Any,
    rng: np.random.Generator,
    *,
    rough: float = 0.25,
    detail: int = 4,
    **kwargs: Any,
) -> bpy.types.Object:
    """A rock, hill or bush: a sphere pushed in and out by smooth noise."""
    offset = Vector(rng.uniform(-100, 100, 3))

    def build(bm: bmesh.types.BMesh) -> None:
        bmesh.ops.create_icosphere(bm, subdivisions=detail, radius=1)
        for v in bm.verts:
            bump = noise.fractal(v.co * 1.7 + offset, 1.0, 2.0, 4)
            v.co *= radius * (1 + rough * bump)

    return mesh_object(name, build, material, smooth=True, **kwargs)


def leaves(
    name: str,
    centres: np.ndarray,
    normals: np.ndarray,
    size: float,
    material: Any,
    rng: np.random.Generator,
    **kwargs: Any,
) -> bpy.types.Object:
    """Many small pointed leaves (real polygons, no alpha), one at each centre, facing roughly along its normal."""

    def build(bm: bmesh.types.BMesh) -> None:
        for c, n in zip(centres, normals, strict=True):
            tilt = Vector(n) + Vector(rng.normal(0, 0.5, 3))
            turn = tilt.to_track_quat("Z", "Y").to_matrix() @ Matrix.Rotation(rng.uniform(0, 2 * math.pi), 3, "Z")
            s = size * rng.uniform(0.6, 1.2)
            shape = [(0, -0.9, 0), (0.38, -0.1, 0.1), (0, 1.0, -0.12), (-0.38, -0.1, 0.1)]
            a, b, d, e = (bm.verts.new(Vector(c) + turn @ (Vector(p) * s)) for p in shape)
            bm.faces.new((a, b, d))
            bm.faces.new((a, d, e))

    return mesh_object(name, build, material, **kwargs)


def bush(
    name: str,
    radius: float,
    count: int,
    material: Any,
    rng: np.random.Generator,
    *,
    leaf: float = 0.06,
    squash: float = 1.0,
    **kwargs: Any,
) -> bpy.types.Object:
    """A ball of leaves."""
    n = rng.normal(size=(count, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    r = radius * rng.uniform(0.55, 1.0, (count, 1)) ** 0.5
    return leaves(name, n * r * np.array([1, 1, squash]), n, leaf, material, rng, **kwargs)


def aim(obj: bpy.types.Object, target: Sequence[float]) -> None:
    """Turn a camera or lamp (looking along its -Z) towards ``target``, keeping the horizon level."""
    direction = Vector(target) - Vector(obj.location)
    obj.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()


def sun(
    strength: float,
    elevation_deg: float,
    azimuth_deg: float,
    *,
    angle_deg: float = 2.0,
    colour: Colour = (1, 0.93, 0.82),
) -> bpy.types.Object:
    """Sunlight coming from the given compass direction (0 = from +y, 90 = from +x)."""
    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.angle, data.color = strength, math.radians(angle_deg), colour
    obj = bpy.data.objects.new("sun", data)
    e, a = math.radians(elevation_deg), math.radians(azimuth_deg)
    obj.location = (20 * math.cos(e) * math.sin(a), 20 * math.cos(e) * math.cos(a), 20 * math.sin(e))
    aim(obj, (0, 0, 0))
    return link(obj)


def area_light(
    power: float, size: float, location: Sequence[float], target: Sequence[float], colour: Colour = (1, 1, 1)
) -> bpy.types.Object:
    """A square soft light."""
    data = bpy.data.lights.new("area", "AREA")
    data.energy, data.size, data.color = power, size, colour
    obj = bpy.data.objects.new("area", data)
    obj.location = location
    aim(obj, target)
    return link(obj)


def sky(colour: Colour, strength: float) -> None:
    """A plain sky as fill light."""
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    node = world.node_tree.nodes["Background"]
    node.inputs[0].default_value = (*colour, 1)
    node.inputs[1].default_value = strength
    bpy.context.scene.world = world


def camera(name: str = "camera", location: Sequence[float] = (0, 0, 0), *, fov_deg: float = 54.22) -> bpy.types.Object:
    """A camera with the given horizontal field of view, looking along +y."""
    data = bpy.data.cameras.new(name)
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = 18.0 / math.tan(math.radians(fov_deg) / 2)
    data.clip_start, data.clip_end = 0.01, 1000.0
    obj = bpy.data.objects.new(name, data)
    obj.location, obj.rotation_euler = location, (math.pi / 2, 0, 0)
    return link(obj)
