"""Installs, uses and removes the built extension, twice in a row, in a Blender of its own. Run by test_addon_package.

python install_zip.py ZIP VIDEO DEPTH FOCAL WORK ADDRESS
"""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

BUNDLED = ("zmq", "msgspec", "ex4d_protocol", "ex4d_ground")
EXTENSIONS = os.environ["BLENDER_USER_EXTENSIONS"]
MODULE = "bl_ext.user_default.ex4d"


class BundledOnly(MetaPathFinder):
    """Finds the bundled packages where Blender installs wheels, and not in the environment around: users have none."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in BUNDLED:
            return None
        found = PathFinder.find_spec(name, [p for p in sys.path if p.startswith(EXTENSIONS)], target)
        if found is None:
            raise ModuleNotFoundError(f"{name} is not among the installed wheels", name=name)
        return found


sys.meta_path.insert(0, BundledOnly())

import bpy  # noqa: E402

operators = bpy.ops.ex4d


def way_through(video: str, depth: str, focal: float, address: str, *, seed: int) -> None:
    operators.connect(address=address)
    operators.import_clip(video_path=video, depth_path=depth, focal_px=focal)
    operators.add_camera_move(preset="30")
    operators.render_guides()
    operators.generate(engine="preview", seed=seed)
    take = bpy.context.scene.ex4d.takes[0]
    assert (take.num_frames, take.seed) == (5, seed)
    operators.disconnect()


def repository() -> int:
    repositories = bpy.context.preferences.extensions.repos
    return next(i for i, r in enumerate(repositories) if r.module == "user_default")


def main(zip_path: str, video: str, depth: str, focal: str, work: str, address: str) -> None:
    for turn in (1, 2):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.wm.save_as_mainfile(filepath=f"{work}/turn{turn}.blend")
        bpy.ops.extensions.package_install_files(repo="user_default", filepath=zip_path, enable_on_install=True)
        assert MODULE in bpy.context.preferences.addons, "it is not enabled"
        for name in BUNDLED:
            assert sys.modules[name].__file__.startswith(EXTENSIONS), f"{name} is not the bundled one"
        way_through(video, depth, float(focal), address, seed=turn)
        bpy.ops.extensions.package_uninstall(repo_index=repository(), pkg_id="ex4d")
        assert MODULE not in bpy.context.preferences.addons, "it is still enabled"
        assert not hasattr(bpy.types.Scene, "ex4d"), "its properties stayed behind"
        assert not [name for name in dir(bpy.types) if name.startswith("EX4D_")], "a class stayed behind"
    print("INSTALLED TWICE")


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from process_end import leave  # noqa: E402

with leave():
    main(*sys.argv[1:7])
