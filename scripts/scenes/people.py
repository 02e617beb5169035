"""Mannequins that walk and wave: figures made of capsules on a small skeleton of empties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np

from scenes import blend, stage, surface


@dataclass(frozen=True)
class Figure:
    """One mannequin and the joints that move it."""

    root: bpy.types.Object
    joints: dict[str, bpy.types.Object]
    phase: float

    def walk(self, u: float, steps: float = 2.0) -> None:
        """Swing arms and legs; ``u`` in 0..1 covers ``steps`` full steps."""
        swing = math.sin(2 * math.pi * steps * u + self.phase)
        for side, sign in (("left", 1), ("right", -1)):
            self.joints[f"{side}_leg"].rotation_euler.x = 0.55 * sign * swing
            self.joints[f"{side}_knee"].rotation_euler.x = 0.45 * max(0.0, -sign * swing)
            self.joints[f"{side}_arm"].rotation_euler.x = -0.5 * sign * swing
            self.joints[f"{side}_elbow"].rotation_euler.x = -0.5

    def wave(self, u: float) -> None:
        """Raise the right arm and wave; turn the head."""
        self.joints["right_arm"].rotation_euler = (0, math.radians(-125), 0)
        self.joints["right_elbow"].rotation_euler = (0, math.radians(-25 + 35 * math.sin(2 * math.pi * 2 * u)), 0)
        self.joints["head"].rotation_euler.z = 0.5 * math.sin(2 * math.pi * u)


def _limb(name: str, length: float, radius: float, material: bpy.types.Material, joint: bpy.types.Object) -> None:
    blend.cone(name, radius * 0.8, radius, length, material, segments=20, location=(0, 0, -length), parent=joint)
    blend.sphere(name, radius, material, segments=20, parent=joint)


def figure(rng: np.random.Generator, x: float, y: float, heading: float, scale: float = 1.0) -> Figure:
    """A mannequin 1.75 m tall (times ``scale``) standing at (x, y)."""
    shirt, trousers = stage.paint("shirt", rng), stage.paint("trousers", rng)
    skin = surface.plain("skin", (0.62, 0.38, 0.26) if rng.random() < 0.5 else (0.32, 0.18, 0.11), roughness=0.6)
    hair = surface.plain("hair", (0.05, 0.03, 0.02), roughness=0.6)
    root = blend.empty("figure", (x, y, 0))
    root.rotation_euler.z, root.scale = heading, (scale,) * 3
    joints: dict[str, bpy.types.Object] = {}
    blend.lathe(
        "torso",
        [(0.0, 0.85), (0.15, 0.87), (0.16, 1.0), (0.15, 1.15), (0.2, 1.38), (0.12, 1.48), (0.05, 1.5), (0.05, 1.58)],
        shirt,
        parent=root,
        scale=(1, 0.65, 1),
    )
    joints["head"] = blend.empty("head", (0, 0, 1.56), root)
    blend.sphere("skull", 0.115, skin, segments=28, location=(0, 0, 0.11), scale=(0.9, 1, 1.2), parent=joints["head"])
    blend.sphere(
        "hair", 0.12, hair, segments=28, location=(0, 0.025, 0.14), scale=(0.92, 0.95, 1.1), parent=joints["head"]
    )
    for side, sign in (("left", -1), ("right", 1)):
        leg = joints[f"{side}_leg"] = blend.empty("leg", (sign * 0.09, 0, 0.9), root)
        _limb("thigh", 0.44, 0.085, trousers, leg)
        knee = joints[f"{side}_knee"] = blend.empty("knee", (0, 0, -0.44), leg)
        _limb("shin", 0.40, 0.06, trousers, knee)
        blend.box("shoe", (0.09, 0.24, 0.08), hair, location=(0, -0.05, -0.42), parent=knee, bevel=0.02)
        arm = joints[f"{side}_arm"] = blend.empty("arm", (sign * 0.22, 0, 1.4), root)
        _limb("upper_arm", 0.29, 0.05, shirt, arm)
        elbow = joints[f"{side}_elbow"] = blend.empty("elbow", (0, 0, -0.29), arm)
        _limb("forearm", 0.26, 0.04, skin, elbow)
        blend.sphere("hand", 0.05, skin, segments=16, location=(0, 0, -0.3), parent=elbow)
    return Figure(root, joints, float(rng.uniform(0, 2 * math.pi)))
