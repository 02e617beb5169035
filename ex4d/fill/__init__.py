"""Filling holes in the world: the place that a clip shows as a few large surfaces, textured once for the whole clip."""

from ex4d.fill.kept import world_of
from ex4d.fill.world import World

__all__ = ["World", "world_of"]
