"""Building node trees in few words."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Graph:
    """A node tree that is being built."""

    tree: Any

    def node(self, kind: str, place: tuple[float, float], **settings: object) -> Any:
        """A new node at ``place`` with these settings."""
        made = self.tree.nodes.new(kind)
        made.location = place
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    def link(self, source: Any, target: Any) -> None:
        """Have the output ``source`` feed the input ``target``."""
        self.tree.links.new(source, target)

    def math(self, operation: str, a: Any, b: Any, place: tuple[float, float]) -> Any:
        """One Math node; a number is its default value, a socket is linked. Returns its output."""
        made = self.node("ShaderNodeMath", place, operation=operation)
        for socket, value in zip(made.inputs, (a, b), strict=False):
            if isinstance(value, int | float):
                socket.default_value = value
            else:
                self.link(value, socket)
        return made.outputs[0]
