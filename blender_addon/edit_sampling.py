"""Evaluated positions of a shot's mesh at any frame, without touching the user's scene.

The mesh and its parents are linked into a scene of their own for as long as it takes: nothing else is evaluated, the
user's frame stays where it is, and it does not matter whether the mesh is hidden or its collection excluded.
"""

from __future__ import annotations

import hashlib
from types import TracebackType

import bpy
import numpy as np
from numpy.typing import NDArray

from . import layers, mesh
from .errors import AddonError

Float32 = NDArray[np.float32]


class Sampler:
    """``with Sampler(body, user_modifiers=...) as sampler: sampler.positions(frame)``.

    Without ``user_modifiers`` only the cache and the layers count. Retiming does not count: scene frame
    ``frame_start`` + t shows source frame t.
    """

    def __init__(self, body: bpy.types.Object, *, user_modifiers: bool):
        self._body = body
        self._hidden = body.hide_viewport
        self._switched_off: list[str] = []
        self._retimed = False
        self._user_modifiers = user_modifiers
        self._scene: bpy.types.Scene | None = None

    def __enter__(self) -> Sampler:
        body = self._body
        scene = self._scene = bpy.data.scenes.new("EX-4D Sampling")
        above: bpy.types.Object | None = body
        while above is not None:
            scene.collection.objects.link(above)
            above = above.parent
        body.hide_viewport = False
        self._retimed = layers.cache_of(body).play_mode != "SCENE"
        if self._retimed:
            _play_timeline(body, True)
        if not self._user_modifiers:
            for modifier in user_modifiers(body):
                if modifier.show_viewport:
                    modifier.show_viewport = False
                    self._switched_off.append(modifier.name)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._retimed:
            _play_timeline(self._body, False)
        for name in self._switched_off:
            self._body.modifiers[name].show_viewport = True
        self._body.hide_viewport = self._hidden
        if self._scene is not None:
            bpy.data.scenes.remove(self._scene)

    def positions(self, frame: int) -> Float32:  # [V, 3] in the mesh's space
        """Positions at scene frame ``frame``. Raises AddonError if a modifier changes the number of vertices."""
        assert self._scene is not None
        self._scene.frame_set(frame)
        layer = self._scene.view_layers[0]
        layer.update()
        found = mesh.evaluated_positions(self._body, layer.depsgraph)
        wanted = len(self._body.data.vertices)
        if len(found) != wanted:
            raise AddonError(
                f"A modifier of '{self._body.name}' makes {len(found)} vertices of its {wanted} at frame {frame}; "
                "hide or remove it, the shot's mesh must keep its vertices."
            )
        if not np.isfinite(found).all():
            bad = int((~np.isfinite(found)).any(axis=1).sum())
            raise AddonError(
                f"'{self._body.name}' has {bad} vertices at NaN or infinity at frame {frame}; "
                "undo the edit that did it."
            )
        return found


def _play_timeline(body: bpy.types.Object, timeline: bool) -> None:
    layers.cache_of(body).play_mode = "SCENE" if timeline else "CUSTOM"
    for layer in layers.stack(body):
        layers.set_input(layer, "Retimed", not timeline)


def user_modifiers(body: bpy.types.Object) -> list[bpy.types.Modifier]:
    """The modifiers that are neither the mesh cache nor a layer."""
    cache = layers.cache_of(body)
    return [m for m in body.modifiers if m != cache and layers.mode_of(m) is None]


def base_positions(data: bpy.types.Mesh) -> Float32:  # [V, 3]
    """Positions of the mesh itself, before any modifier; Object Mode only."""
    out = np.empty(len(data.vertices) * 3, np.float32)
    data.attributes["position"].data.foreach_get("vector", out)
    return out.reshape(-1, 3)


def set_base_positions(data: bpy.types.Mesh, positions: Float32) -> None:
    """Replace the positions of the mesh itself; Object Mode only."""
    data.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(positions, np.float32).ravel())
    data.update()


def topology_digest(data: bpy.types.Mesh) -> str:
    """A digest of how faces join vertices: equal exactly if no vertex or face was added, deleted or re-ordered."""
    corners = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", corners)
    starts = np.empty(len(data.polygons), np.int32)
    data.polygons.foreach_get("loop_start", starts)
    digest = hashlib.blake2b(np.int64(len(data.vertices)).tobytes(), digest_size=16)
    digest.update(corners.tobytes())
    digest.update(starts.tobytes())
    return digest.hexdigest()
