# Blender's module has no type information of its own; everything in it is Any here.
from typing import Any

def __getattr__(name: str) -> Any: ...
