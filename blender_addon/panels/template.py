"""Installing the application template that comes with the extension, which Blender does not do by itself."""

import importlib
import sys
from pathlib import Path

import bpy

from ..work import files
from ..work.operators import QuickOperator

NAME = "EX-4D"
SOURCE = Path(__file__).resolve().parents[1] / "template" / NAME


def installed() -> Path | None:
    """Where Blender has the template; None if it has not."""
    return next((path for path in map(Path, bpy.utils.app_template_paths(path=NAME)) if path.is_dir()), None)


class EX4D_OT_install_template(QuickOperator, bpy.types.Operator):
    """Put the template EX-4D among Blender's own: File > New > EX-4D begins with an empty scene and these panels"""

    bl_label = "Install Template"

    def run(self, _context: bpy.types.Context) -> str:
        folder = Path(bpy.utils.user_resource("SCRIPTS", path="startup/bl_app_templates_user", create=True))
        with files.writing(folder / NAME):
            files.copy_folder(SOURCE, folder / NAME, leave="__pycache__", exist_ok=True)
        if str(folder.parent) not in sys.path:  # Blender adds it when it starts, if it is there by then
            sys.path.append(str(folder.parent))
        importlib.invalidate_caches()
        return f"The template is installed: File > New > {NAME}."
