"""The application template "EX-4D": File > New > EX-4D begins with an empty scene, the panels open, true colours.

Blender loads it from its folder of templates, where *Install Template* puts it; it needs the extension to be enabled.
"""

import contextlib

import bpy

TAB = "EX-4D"


@bpy.app.handlers.persistent
def begin(_file: object = None) -> None:
    """Make the factory's scene ours; an artist's own saved startup file is left alone."""
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    for scene in bpy.data.scenes:
        with contextlib.suppress(TypeError):  # not in this colour configuration
            scene.view_settings.view_transform = "Standard"
        scene.sync_mode = "FRAME_DROP"
    for screen in bpy.data.screens:
        for area in screen.areas:
            if area.type == "VIEW_3D":
                _show_panels(area)


def _show_panels(area: bpy.types.Area) -> None:
    space = area.spaces.active
    space.show_region_ui = True
    space.shading.type, space.shading.light, space.shading.color_type = "SOLID", "FLAT", "TEXTURE"
    for region in area.regions:
        if region.type == "UI" and hasattr(region, "active_panel_category"):
            with contextlib.suppress(AttributeError, TypeError):  # read-only up to 4.3, or not drawn yet
                region.active_panel_category = TAB


def register() -> None:
    """Called by Blender when the template is chosen."""
    bpy.app.handlers.load_factory_startup_post.append(begin)


def unregister() -> None:
    """Called by Blender when another template is chosen."""
    bpy.app.handlers.load_factory_startup_post.remove(begin)
