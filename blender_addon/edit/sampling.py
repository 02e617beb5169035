"""Evaluated positions of a shot's mesh at any frame, without touching the user's scene.

The mesh and its parents are linked into a scene of their own for as long as it takes: nothing else is evaluated, the
user's frame stays where it is, and it does not matter whether the mesh is hidden or its collection excluded.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ex4d_ground.arrays import Float32

from ..scene import layers, mesh
from ..scene.aside import depsgraph_at, scene_with
from ..work.errors import AddonError


@dataclass(frozen=True)
class Sampler:
    """What :func:`sampling` gives."""

    body: bpy.types.Object
    scene: bpy.types.Scene

    def positions(self, frame: int) -> Float32:  # [V, 3] in the mesh's space
        """Positions at scene frame ``frame``. Raises AddonError if a modifier changes the number of vertices."""
        positions = mesh.evaluated_positions(self.body, depsgraph_at(self.scene, frame))
        wanted = len(self.body.data.vertices)
        if len(positions) != wanted:
            raise AddonError(
                f"A modifier of '{self.body.name}' makes {len(positions)} vertices of its {wanted} at frame {frame}; "
                "hide or remove it, the shot's mesh must keep its vertices."
            )
        if not np.isfinite(positions).all():
            bad = int((~np.isfinite(positions)).any(axis=1).sum())
            raise AddonError(
                f"'{self.body.name}' has {bad} vertices at NaN or infinity at frame {frame}; undo the edit that did it."
            )
        return positions


@contextmanager
def sampling(body: bpy.types.Object, *, user_modifiers: bool, as_retimed: bool = False) -> Iterator[Sampler]:
    """``with sampling(body, user_modifiers=...) as sampler: sampler.positions(frame)``.

    Without ``user_modifiers`` only the cache and the layers count. Retiming does not count, unless ``as_retimed``:
    scene frame ``frame_start`` + t shows source frame t.
    """
    hidden, retimed = body.hide_viewport, not as_retimed and layers.cache_of(body).play_mode != "SCENE"
    off = [] if user_modifiers else [each.name for each in own_modifiers(body) if each.show_viewport]
    with scene_with(body, name="EX-4D Sampling") as scene:
        try:
            body.hide_viewport = False
            if retimed:
                _play_timeline(body, True)
            for name in off:
                body.modifiers[name].show_viewport = False
            yield Sampler(body, scene)
        finally:
            if retimed:
                _play_timeline(body, False)
            for name in off:
                body.modifiers[name].show_viewport = True
            body.hide_viewport = hidden


def _play_timeline(body: bpy.types.Object, timeline: bool) -> None:
    layers.cache_of(body).play_mode = "SCENE" if timeline else "CUSTOM"
    for layer in layers.stack(body):
        layers.set_input(layer, "Retimed", not timeline)


def own_modifiers(body: bpy.types.Object) -> list[bpy.types.Modifier]:
    """The user's own modifiers, which are neither the mesh cache nor a layer."""
    cache = layers.cache_of(body)
    return [m for m in body.modifiers if m != cache and layers.mode_of(m) is None]


def topology_digest(data: bpy.types.Mesh) -> str:
    """A digest of how faces join vertices: equal exactly if no vertex or face was added, deleted or re-ordered."""
    digest = hashlib.blake2b(np.int64(len(data.vertices)).tobytes(), digest_size=16)
    digest.update(mesh.corners(data).tobytes())
    digest.update(mesh.values_of(data.polygons, "loop_start", np.int32).tobytes())
    return digest.hexdigest()
