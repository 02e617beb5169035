"""What the add-on hangs into Blender and takes out again, and how a part hears of another that must not know it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import bpy

SIDEBARS, VIEWS, HEADERS = ("VIEW_3D", "UI"), ("VIEW_3D", "WINDOW"), ("VIEW_3D", "HEADER")
TIMELINES = ("DOPESHEET_EDITOR", "WINDOW")
"""Places to draw: an area's type and a region's."""


def classes_of(*modules: ModuleType) -> tuple[type, ...]:
    """The classes of ``modules`` that Blender registers, in the order they are written in (the panels' order)."""
    return tuple(
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__ and issubclass(each, bpy.types.bpy_struct)
    )


def redraw(*places: tuple[str, str]) -> None:
    """Have ``places`` drawn anew in every window."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if (area.type, region.type) in places:
                    region.tag_redraw()


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Feature:
    """What begins and ends with the add-on."""

    start: Callable[[], None] = _nothing
    stop: Callable[[], None] = _nothing


class Hook(list[Callable[..., Any]]):
    """Functions of other parts, called in the order in which they were added."""

    def __call__(self, *arguments: Any) -> list[Any]:
        return [listener(*arguments) for listener in self]


class Listeners:
    """Functions, each with what calls it: a :class:`Hook`, or the name of a list in ``bpy.app.handlers``.

    A list that this Blender lacks is left out.
    """

    def __init__(self, *pairs: tuple[str | Hook, Callable[..., Any]]):
        self.pairs = pairs

    def start(self) -> None:
        """Listen."""
        for where, listener in self.pairs:
            if listener not in (others := self._at(where)):
                others.append(listener)

    def stop(self) -> None:
        """Listen no more."""
        for where, listener in self.pairs:
            if listener in (others := self._at(where)):
                others.remove(listener)

    def _at(self, where: str | Hook) -> list[Callable[..., Any]]:
        return getattr(bpy.app.handlers, where, []) if isinstance(where, str) else where


class MenuEntries:
    """Functions that draw at the end of Blender's own menus, each with its menu's name; one it lacks is left out."""

    def __init__(self, *pairs: tuple[str, Callable[[Any, Any], None]]):
        self.pairs = pairs

    def start(self) -> None:
        """Have them drawn."""
        for name, draw in self.pairs:
            if hasattr(bpy.types, name):
                getattr(bpy.types, name).append(draw)

    def stop(self) -> None:
        """Have them drawn no more."""
        for name, draw in self.pairs:
            if hasattr(bpy.types, name):
                getattr(bpy.types, name).remove(draw)


class Drawing:
    """A function that draws in the windows of a kind of editor, such as "SpaceView3D"."""

    def __init__(self, space: str, stage: str, draw: Callable[[], None]):
        self._space: Any = getattr(bpy.types, space)
        self._stage, self._draw = stage, draw
        self._handle: Any = None

    def start(self) -> None:
        """Begin drawing; there is nothing to draw on in background mode."""
        if self._handle is None and not bpy.app.background:
            self._handle = self._space.draw_handler_add(self._draw, (), "WINDOW", self._stage)

    def stop(self) -> None:
        """Stop drawing."""
        if self._handle is not None:
            self._space.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None
