"""What tests of exported geometry share: an export, its file read back into Blender, and what is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ENDINGS = {"ALEMBIC": ".abc", "USD": ".usda"}


def exported(blender: Any, out: Path, kind: str, grid: str = "1") -> Path:
    """The folder that was made."""
    before = set(out.iterdir()) if out.exists() else set()
    assert blender.ops.ex4d.export_geometry(kind=kind, grid=grid, directory=str(out)) == {"FINISHED"}
    (made,) = set(out.iterdir()) - before
    return made


def read_back(blender: Any, made: Path, kind: str) -> dict[str, Any]:
    """The objects of the file, by their names in it."""
    before = set(blender.data.objects)
    (path,) = made.glob(f"*{ENDINGS[kind]}")
    if kind == "ALEMBIC":
        blender.ops.wm.alembic_import(filepath=str(path), as_background_job=False, set_frame_range=False)
    else:
        blender.ops.wm.usd_import(filepath=str(path), set_frame_range=False)
    return {each.name.split(".")[0]: each for each in set(blender.data.objects) - before}


def at(blender: Any, frame: int) -> Any:
    blender.context.scene.frame_set(frame)
    return blender.context.evaluated_depsgraph_get()


def world_vertices(obj: Any, depsgraph: Any) -> np.ndarray:
    from blender_addon.scene import mesh

    world = np.array(obj.evaluated_get(depsgraph).matrix_world)
    return mesh.evaluated_positions(obj, depsgraph) @ world[:3, :3].T + world[:3, 3]


def lens_of(blender: Any, obj: Any, depsgraph: Any) -> tuple[float, ...]:
    """fx, fy in picture widths; the principal point in picture widths and heights."""
    from blender_addon.scene import cameras

    picture = cameras.Picture.of(blender.context.scene)
    fx, fy, cx, cy = cameras.lens_at(depsgraph, picture, obj, 0)
    return fx / picture.width, fy / picture.width, cx / picture.width, cy / picture.height


def pose_of(obj: Any, depsgraph: Any) -> np.ndarray:
    return np.array(obj.evaluated_get(depsgraph).matrix_world.normalized())


def lenses_of(blender: Any, used: dict[str, Any], depsgraph: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (pose_of(obj, depsgraph), lens_of(blender, obj, depsgraph)) for name, obj in used.items()}
