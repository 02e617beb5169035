"""Every setting can be reached, and everything has a tooltip."""

from __future__ import annotations

from typing import Any

import bpy
from drawn_panels import Layout

OF_BLENDERS_PRESETS = ("remove_name", "remove_active")


def test_preferences_draw_and_lead_to_every_setting(blender):
    from blender_addon.work import preferences

    found = Layout()
    real = preferences.get(blender.context)

    class Page:
        bl_rna = real.bl_rna

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        layout = found

    preferences.EX4D_AP_preferences.draw(Page(), blender.context)  # type: ignore[arg-type]
    shown = {text for kind, text, _ in found.drawn if kind == "prop"}
    assert {"address", "auto_start", "key_file", "backend_command", "data_folder", "timeout_s", "grace_s"} <= shown
    own = {p.identifier for p in preferences.EX4D_AP_preferences.bl_rna.properties if not p.is_readonly}
    assert own - shown <= {"bl_idname"}, "every setting can be reached"


def registered() -> list[type]:
    from blender_addon import registration

    return list(registration.classes())


def test_everything_has_a_tooltip_and_none_ends_in_a_full_stop(blender, online):
    found = []
    for kind in registered():
        rna = kind.bl_rna
        if issubclass(kind, bpy.types.Operator):
            rna = getattr(blender.ops.ex4d, kind.bl_idname.split(".")[1]).get_rna_type()
            found.append((kind.__name__, rna.description))
        base = {p.identifier for b in kind.__mro__[1:] if hasattr(b, "bl_rna") for p in b.bl_rna.properties}
        if issubclass(kind, bpy.types.Panel | bpy.types.Menu | bpy.types.UIList):
            continue
        for prop in rna.properties:
            if prop.identifier in base or prop.identifier in ("rna_type", "name", "bl_idname", *OF_BLENDERS_PRESETS):
                continue
            found.append((f"{kind.__name__}.{prop.identifier}", prop.description))
            if prop.type == "ENUM":
                found += [(f"{kind.__name__}.{prop.identifier} {i.identifier}", i.description) for i in prop.enum_items]
    assert len(found) > 100
    wrong = [(name, text) for name, text in found if not text or text.endswith(".") or text != text.strip()]
    assert not wrong, "\n".join(f"{name}: {text!r}" for name, text in wrong)
