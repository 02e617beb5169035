"""The ground-truth scenes, each built from a seeded generator. Names are what the command line and the reports use."""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy
import numpy as np

from scenes import blend, people, stage, surface
from scenes.stage import Built

Builder = Callable[[np.random.Generator], Built]


def _places(rng: np.random.Generator, count: int, radius: float, gap: float) -> list[tuple[float, float]]:
    """Random places within ``radius`` of the origin, at least ``gap`` apart where there is room."""
    found: list[tuple[float, float]] = []
    for attempt in range(400):
        r, a = radius * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
        p = (r * math.cos(a), r * math.sin(a))
        needed = gap * (1 - attempt / 400)
        if all(math.dist(p, q) >= needed for q in found):
            found.append(p)
        if len(found) == count:
            break
    return found


def clutter(rng: np.random.Generator) -> Built:
    """Fourteen random things that stand still: thin poles, rings, heads, boxes."""
    stage.outdoors(rng)
    for i, (x, y) in enumerate(_places(rng, 14, 2.1, 0.75)):
        material = stage.paint("thing", rng)
        turn = (0, 0, float(rng.uniform(0, math.pi)))
        if i % 4 == 0:
            blend.cone("pole", 0.03, 0.03, float(rng.uniform(1.2, 2.4)), material, segments=16, location=(x, y, 0))
        elif i % 4 == 1:
            r = float(rng.uniform(0.25, 0.42))
            blend.torus("ring", r, 0.07, material, location=(x, y, r + 0.07), rotation=(math.pi / 2, 0, turn[2]))
        elif i % 4 == 2:
            blend.cone("post", 0.05, 0.05, 0.9, material, segments=16, location=(x, y, 0))
            stage.bumpy(rng, 0.24, material, location=(x, y, 1.15), rotation=turn)
        else:
            s = rng.uniform(0.3, 0.75, 3)
            blend.box("box", s, material, location=(x, y, s[2] / 2), rotation=turn, bevel=0.02)
    return Built(stage.viewer(4.2), 4.2, stage.still)


def figures(rng: np.random.Generator) -> Built:
    """Three people walk, one waves."""
    stage.outdoors(rng)
    spots = [(-1.0, 0.6), (0.9, 0.9), (-0.2, -0.5), (1.1, -0.7)]
    crowd = [people.figure(rng, x, y, float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.9, 1.05))) for x, y in spots]
    headings = rng.uniform(-1, 1, len(crowd))

    def update(u: float) -> None:
        for person, (x, y), h in zip(crowd[:-1], spots, headings, strict=False):
            person.root.rotation_euler.z = h
            person.root.location = (x + 0.7 * u * math.sin(h), y - 0.7 * u * math.cos(h), 0)
            person.walk(u)
        crowd[-1].wave(u)

    return Built(stage.viewer(4.4), 4.4, update)


def foliage(rng: np.random.Generator) -> Built:
    """Trees and bushes in the wind."""
    stage.outdoors(rng, ground=stage.grass_material())
    trees = [stage.tree(rng, x, y, float(rng.uniform(2.0, 2.9)), 520) for x, y in _places(rng, 4, 1.9, 1.3)]
    leaf = surface.speckled("shrub", (0.07, 0.20, 0.05), (0.30, 0.42, 0.12), scale=3, detail=2, bump=0.0)
    for x, y in _places(rng, 5, 2.2, 1.0):
        blend.bush("shrub", 0.38, 260, leaf, rng, leaf=0.075, location=(x, y, 0.26))
    phases = rng.uniform(0, 2 * math.pi, len(trees))

    def update(u: float) -> None:
        for tree, p in zip(trees, phases, strict=True):
            tree.rotation_euler = (0.04 * math.sin(2 * math.pi * 1.5 * u + p), 0.06 * math.sin(2 * math.pi * u + p), 0)

    return Built(stage.viewer(4.8), 4.8, update)


def thin(rng: np.random.Generator) -> Built:
    """Poles, a ladder, hoops, wires and a mobile that turns."""
    stage.outdoors(rng)
    for x, y in _places(rng, 7, 2.1, 0.8):
        blend.cone(
            "pole",
            0.022,
            0.022,
            float(rng.uniform(1.4, 2.6)),
            stage.paint("pole", rng),
            segments=12,
            location=(x, y, 0),
        )
    wood = stage.paint("ladder", rng)
    ladder = blend.empty("ladder", (-0.9, 0.5, 0))
    ladder.rotation_euler = (-0.25, 0, float(rng.uniform(-0.5, 0.5)))
    for x in (-0.22, 0.22):
        blend.box("rail", (0.045, 0.045, 2.0), wood, location=(x, 0, 1.0), parent=ladder)
    for z in np.arange(0.3, 1.9, 0.3):
        blend.box("rung", (0.44, 0.03, 0.03), wood, location=(0, 0, z), parent=ladder)
    for x, y in ((0.9, -0.3), (1.4, 0.9)):
        r = float(rng.uniform(0.35, 0.5))
        blend.torus(
            "hoop",
            r,
            0.02,
            stage.paint("hoop", rng),
            location=(x, y, r + 0.02),
            rotation=(math.pi / 2, 0, float(rng.uniform(0, 3))),
        )
    mobile = blend.empty("mobile", (0.1, 0.0, 2.05))
    blend.box("bar", (1.5, 0.02, 0.02), wood, parent=mobile)
    for x in (-0.72, -0.25, 0.3, 0.72):
        drop = float(rng.uniform(0.25, 0.6))
        blend.cone("string", 0.008, 0.008, drop, wood, segments=8, location=(x, 0, -drop), parent=mobile)
        blend.sphere("bob", 0.09, stage.paint("bob", rng), segments=20, location=(x, 0, -drop), parent=mobile)
    blend.cone("hanger", 0.008, 0.008, 1.0, wood, segments=8, parent=mobile)

    def update(u: float) -> None:
        mobile.rotation_euler.z = 1.4 * u

    return Built(stage.viewer(4.2), 4.2, update)


def mirror(rng: np.random.Generator) -> Built:
    """A chrome sphere and a polished vase, with coloured blocks circling them."""
    stage.outdoors(rng)
    chrome = surface.plain("chrome", (0.9, 0.9, 0.9), roughness=0.03, metallic=1.0)
    gold = surface.plain("gold", (0.9, 0.62, 0.2), roughness=0.12, metallic=1.0)
    plinth = stage.paint("plinth", rng)
    blend.box("plinth", (0.7, 0.7, 0.6), plinth, location=(-0.5, 0.2, 0.3), bevel=0.02)
    blend.sphere("chrome", 0.5, chrome, location=(-0.5, 0.2, 1.1))
    blend.lathe(
        "vase", [(0, 0), (0.2, 0), (0.34, 0.35), (0.14, 0.8), (0.22, 1.05), (0.2, 1.05)], gold, location=(0.9, -0.2, 0)
    )
    ring = blend.empty("ring", (0, 0, 0))
    for i in range(6):
        a = 2 * math.pi * i / 6
        s = float(rng.uniform(0.22, 0.4))
        blend.box(
            "block",
            (s, s, s),
            stage.paint("block", rng),
            location=(1.75 * math.cos(a), 1.75 * math.sin(a), s / 2),
            rotation=(0, 0, a),
            bevel=0.02,
            parent=ring,
        )

    def update(u: float) -> None:
        ring.rotation_euler.z = 0.6 * u

    return Built(stage.viewer(4.2), 4.2, update)


def _house(rng: np.random.Generator, x: float, y: float, turn: float) -> None:
    w, d, h = rng.uniform(3.5, 5), 3.0, float(rng.uniform(3.5, 6))
    root = blend.empty("house", (x, y, 0))
    root.rotation_euler.z = turn
    blend.box("body", (w, d, h), stage.paint("facade", rng), location=(0, 0, h / 2), parent=root)
    glass = surface.plain("glass", (0.05, 0.08, 0.12), roughness=0.1)
    for wx in np.arange(-w / 2 + 0.7, w / 2 - 0.4, 0.95):
        for wz in np.arange(1.2, h - 0.6, 1.3):
            blend.box("window", (0.5, 0.12, 0.75), glass, location=(wx, -d / 2, wz), parent=root)
    blend.box("roof", (w * 1.08, d * 1.1, 0.25), stage.paint("roof", rng), location=(0, 0, h), parent=root)


def _car(rng: np.random.Generator) -> bpy.types.Object:
    body, dark = stage.paint("car", rng), surface.plain("tyre", (0.03, 0.03, 0.03), roughness=0.7)
    glass = surface.plain("glass", (0.05, 0.08, 0.1), roughness=0.08)
    root = blend.empty("car")
    blend.box("hull", (2.3, 0.95, 0.42), body, location=(0, 0, 0.42), bevel=0.1, parent=root)
    blend.box("cabin", (1.25, 0.85, 0.42), glass, location=(-0.1, 0, 0.80), bevel=0.12, parent=root)
    for x in (-0.75, 0.75):
        for y in (-0.45, 0.45):
            blend.cone(
                "tyre", 0.24, 0.24, 0.16, dark, location=(x, y - 0.08, 0.24), rotation=(-math.pi / 2, 0, 0), parent=root
            )
    return root


def street(rng: np.random.Generator) -> Built:
    """A square with houses round it, lamp posts, a car that passes and a person who crosses."""
    asphalt = surface.speckled("asphalt", (0.12, 0.12, 0.13), (0.24, 0.24, 0.25), scale=6, detail=3, bump=0.0)
    stage.outdoors(rng, ground=asphalt, hills=False)
    for k in range(9):
        a = 2 * math.pi * k / 9 + math.pi / 2
        _house(rng, 11.5 * math.cos(a), 11.5 * math.sin(a), a - math.pi / 2)
    metal = surface.plain("metal", (0.10, 0.13, 0.12), roughness=0.4)
    for x, y in ((-2.0, 1.2), (2.3, 1.8), (-1.6, -1.4)):
        blend.cone("lamp_post", 0.05, 0.035, 2.7, metal, segments=16, location=(x, y, 0))
        blend.sphere(
            "lamp", 0.16, surface.plain("lamp", (1, 0.85, 0.6), emission=1.5), segments=20, location=(x, y, 2.8)
        )
    blend.box("bench", (1.2, 0.4, 0.08), stage.paint("bench", rng), location=(1.4, -1.0, 0.45))
    for x in (0.9, 1.9):
        blend.box("leg", (0.06, 0.36, 0.45), metal, location=(x, -1.0, 0.22))
    car, walker = _car(rng), people.figure(rng, -0.9, -0.6, 0.0)

    def update(u: float) -> None:
        car.location = (-1.2 + 2.2 * u, 0.7, 0)
        walker.root.location = (-0.9 + 0.8 * u, -0.6, 0)
        walker.root.rotation_euler.z = math.pi / 2
        walker.walk(u)

    return Built(stage.viewer(5.0, height=1.7), 5.0, update)


def _chair(x: float, y: float, turn: float, material: bpy.types.Material) -> None:
    root = blend.empty("chair", (x, y, 0))
    root.rotation_euler.z = turn
    blend.box("seat", (0.44, 0.44, 0.05), material, location=(0, 0, 0.45), parent=root)
    for a in (-0.19, 0.19):
        blend.box("leg", (0.045, 0.045, 0.45), material, location=(a, -0.19, 0.225), parent=root)
        blend.box("post", (0.045, 0.045, 0.95), material, location=(a, 0.19, 0.475), parent=root)
    for z in (0.65, 0.8, 0.92):
        blend.box("slat", (0.4, 0.03, 0.07), material, location=(0, 0.19, z), parent=root)


def interior(rng: np.random.Generator) -> Built:
    """A room with a table, chairs, things on the table, a swinging lamp and a rolling ball."""
    stage.room(rng)
    wood = surface.speckled(
        "wood", (0.25, 0.13, 0.06), (0.45, 0.27, 0.14), scale=3, detail=2, stretch=(6, 1, 1), bump=0.0
    )
    blend.box("top", (1.7, 0.95, 0.06), wood, location=(0, 0, 0.76), bevel=0.02)
    for x in (-0.75, 0.75):
        for y in (-0.38, 0.38):
            blend.box("leg", (0.07, 0.07, 0.73), wood, location=(x, y, 0.365))
    for x, y, a in (
        (-0.5, -0.85, math.pi),
        (0.55, -0.8, math.pi + 0.3),
        (-0.4, 0.85, 0.0),
        (0.6, 0.9, -0.3),
        (1.4, 0.0, -math.pi / 2),
    ):
        _chair(x, y, a + float(rng.uniform(-0.2, 0.2)), wood)
    for i, x in enumerate((-0.55, -0.15, 0.3, 0.62)):
        profile = [(0, 0), (0.09, 0), (0.12, 0.1), (0.05, 0.22 + 0.05 * (i % 3)), (0.08, 0.3 + 0.05 * (i % 3))]
        blend.lathe(
            "vessel",
            profile,
            stage.paint("vessel", rng),
            location=(x, float(rng.uniform(-0.25, 0.25)), 0.79),
            around=28,
        )
    pendant = blend.empty("pendant", (0.0, 0.0, 3.5))
    blend.cone("cable", 0.01, 0.01, 1.5, wood, segments=8, location=(0, 0, -1.5), parent=pendant)
    blend.cone("shade", 0.3, 0.08, 0.25, stage.paint("shade", rng), location=(0, 0, -1.75), parent=pendant)
    ball = blend.sphere("ball", 0.16, stage.paint("ball", rng), segments=32)

    def update(u: float) -> None:
        pendant.rotation_euler.y = 0.12 * math.sin(2 * math.pi * u)
        ball.location = (-1.5 + 0.9 * u, -1.2, 0.16)
        ball.rotation_euler.y = 5.5 * u

    return Built(stage.viewer(3.6, height=1.55, tilt_deg=9), 3.6, update)


def fast(rng: np.random.Generator) -> Built:
    """A windmill that spins and balls that fly across: half a picture in a few frames."""
    stage.outdoors(rng, ground=stage.grass_material())
    white = surface.plain("white", (0.8, 0.78, 0.72), roughness=0.6)
    blend.cone("tower", 0.45, 0.28, 2.0, stage.paint("tower", rng), location=(0.5, 0.7, 0))
    rotor = blend.empty("rotor", (0.5, 0.25, 1.9))
    for k in range(4):
        blade = blend.empty("blade", parent=rotor)
        blade.rotation_euler.y = k * math.pi / 2
        blend.box("blade", (0.26, 0.03, 1.0), white, location=(0.1, 0, 0.6), parent=blade)
    balls = [blend.sphere("ball", 0.2, stage.paint("ball", rng), segments=32) for _ in range(5)]
    phases, rows = rng.uniform(0, 1, len(balls)), rng.uniform(-1.2, 0.9, len(balls))

    def update(u: float) -> None:
        rotor.rotation_euler.y = 2 * math.pi * 1.2 * u
        for i, ball in enumerate(balls):
            s = (2.2 * u + phases[i]) % 1
            ball.location = (
                (-2 + 4 * s) * (1 if i % 2 else -1),
                rows[i],
                0.2 + 2.2 * abs(math.sin(2 * math.pi * (s + phases[i]))) * 0.6,
            )

    return Built(stage.viewer(4.4), 4.4, update)


def zoom(rng: np.random.Generator) -> Built:
    """A statue in a ring of columns; the lens doubles its focal length during every orbit."""
    stage.outdoors(rng)
    marble = surface.speckled("marble", (0.55, 0.52, 0.50), (0.80, 0.78, 0.74), scale=3, detail=4, bump=0.0)
    blend.box("plinth", (0.8, 0.8, 0.8), marble, location=(0, 0, 0.4), bevel=0.03)
    body = blend.lathe(
        "body",
        [(0.0, 0.8), (0.3, 0.8), (0.18, 1.2), (0.24, 1.55), (0.08, 1.75), (0.08, 1.8)],
        stage.paint("statue", rng),
    )
    stage.bumpy(rng, 0.16, marble, location=(0, 0, 1.95))
    halo = blend.torus(
        "halo", 0.42, 0.04, surface.plain("halo", (0.85, 0.6, 0.2), roughness=0.3), location=(0, 0, 1.95)
    )
    for k in range(8):
        a = 2 * math.pi * (k + 0.5) / 8
        p = (9 * math.cos(a), 9 * math.sin(a), 0)
        blend.lathe(
            "column",
            [(0.4, 0), (0.4, 0.2), (0.28, 0.3), (0.25, 3.6), (0.4, 3.8), (0.4, 4.0)],
            marble,
            location=p,
            around=32,
        )
    for x, y in _places(rng, 6, 2.0, 0.9):
        blend.bush("bush", 0.28, 180, stage.grass_material(), rng, leaf=0.08, location=(x, y, 0.2))

    def update(u: float) -> None:
        halo.rotation_euler = (0.5 + 2 * u, 0, 3 * u)
        body.rotation_euler.z = 0.8 * u

    return Built(stage.viewer(4.6), 4.6, update, zoom=2.0)


SCENES: dict[str, Builder] = {
    "clutter": clutter,
    "figures": figures,
    "foliage": foliage,
    "thin": thin,
    "mirror": mirror,
    "street": street,
    "interior": interior,
    "fast": fast,
    "zoom": zoom,
}


def build(name: str, seed: int) -> Built:
    """Build one scene in an empty file. The same name and seed make the same scene."""
    blend.reset()
    scene = SCENES[name](np.random.default_rng([seed, *name.encode()]))
    scene.update(0.0)
    return scene
