"""Colour management, whatever configuration Blender runs with: footage's own colours, data as they are.

Names of colour spaces and views are a configuration's own: Blender's say sRGB, Non-Color and Standard, a studio's ACES
configuration says sRGB - Texture, Raw and Un-tone-mapped. What is asked for here is found by role, by what it is for,
or by the names that the common configurations use; where a scene has no such view, its view stays.
"""

from typing import Any

import bpy

from ..work.errors import AddonError
from ..work.operators import QuickOperator

EXACT_TRANSFORMS = ("Standard", "Un-tone-mapped")
"""View transforms that show the values of an sRGB picture as they are, by Blender's names and those of ACES."""
RAW = "Raw"
"""The view that changes nothing, which configurations have beside their others."""
NO_LOOK = "None"
FOOTAGE_SPACES = (
    "sRGB",
    "sRGB - Texture",
    "Utility - sRGB - Texture",
    "sRGB Encoded Rec.709 (sRGB)",
    "Input - Generic - sRGB - Texture",
    "srgb_tx",
    "srgb_texture",
    "sRGB Texture",
)
"""Names of the space of an ordinary 8-bit picture, in Blender's configurations and in those of ACES and studios."""


def read_as_footage(image: bpy.types.Image) -> None:
    """Have an 8-bit picture read as what it is, sRGB; as this configuration reads any such picture if it has no such.

    Configurations may say which space 8-bit pictures are in by a role; Blender has followed it on loading.
    """
    settings: Any = image.colorspace_settings
    known = settings.bl_rna.properties["name"].enum_items.keys()
    lower = {name.lower(): name for name in known}
    found = next((lower[name.lower()] for name in FOOTAGE_SPACES if name.lower() in lower), None)
    if found is None:
        alike = [name for name in known if "srgb" in name.lower() and "text" in name.lower()]
        found = alike[0] if alike else None
    if found is not None:
        settings.name = found


def read_as_data(image: bpy.types.Image) -> None:
    """Have a picture's values read as they are: masks, depth."""
    settings: Any = image.colorspace_settings
    if not settings.is_data:
        settings.is_data = True  # by the role "data"


def pass_through(scene: bpy.types.Scene, strip: Any) -> None:
    """Have a render of ``scene``, which plays ``strip`` and nothing else, give the strip's own values."""
    view: Any = scene.view_settings
    for name in (EXACT_TRANSFORMS[0], RAW, *EXACT_TRANSFORMS[1:]):
        try:
            view.view_transform = name
        except TypeError:
            continue
        if name == RAW:  # no transform at all: the strip must not have left its own space before
            scene.sequencer_colorspace_settings.name = strip.colorspace_settings.name
        break
    view.look, view.exposure, view.gamma, view.use_curve_mapping = NO_LOOK, 0.0, 1.0, False


def is_exact(scene: bpy.types.Scene) -> bool:
    """Whether renders and previews of the scene show footage with its own colours."""
    view: Any = scene.view_settings
    plain = view.exposure == 0.0 and view.gamma == 1.0 and not view.use_curve_mapping
    return view.view_transform in EXACT_TRANSFORMS and view.look in ("", NO_LOOK) and plain


def make_exact(scene: bpy.types.Scene) -> str:
    """Set the scene's colour management so; returns what was changed. Raises AddonError where it has no such view."""
    view: Any = scene.view_settings
    before = view.view_transform
    for name in EXACT_TRANSFORMS:
        try:
            view.view_transform = name
        except TypeError:  # not in this colour configuration
            continue
        view.look, view.exposure, view.gamma, view.use_curve_mapping = NO_LOOK, 0.0, 1.0, False
        return f"The scene's view transform is {name} now; it was {before}."
    raise AddonError(
        f"This Blender's colour configuration has neither {' nor '.join(EXACT_TRANSFORMS)}; "
        f"the view transform stays {before}, which changes the colours of footage in renders."
    )


def _require_changed_colours(context: bpy.types.Context) -> None:
    if is_exact(context.scene):
        raise AddonError("Footage is shown with its own colours already.")


class EX4D_OT_standard_view(QuickOperator, bpy.types.Operator):
    """Show footage with its own colours in renders and previews: view transform Standard, no look, exposure or gamma"""

    bl_label = "Standard View"
    bl_options = {"REGISTER", "UNDO"}

    requires = (_require_changed_colours,)

    def run(self, context: bpy.types.Context) -> str:
        return make_exact(context.scene)
