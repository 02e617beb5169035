"""The application template "EX-4D": installed by a button, and begun with by File > New."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of scripts, empty."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(folder))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def test_a_button_installs_the_template_and_blender_finds_it(blender, scripts):
    from blender_addon.panels import template

    assert blender.ops.ex4d.install_template() == {"FINISHED"}
    made = scripts / "startup" / "bl_app_templates_user" / "EX-4D"
    assert (made / "__init__.py").is_file() and not list(made.rglob("__pycache__"))
    assert template.installed() == made
    assert blender.ops.ex4d.install_template() == {"FINISHED"}, "a newer one is put over it"


def test_a_new_file_begins_empty_with_true_colours(blender, scripts):
    blender.ops.ex4d.install_template()
    blender.ops.wm.read_homefile(app_template="EX-4D", use_factory_startup=True)
    try:
        scene = blender.context.scene
        assert not blender.data.objects and scene.view_settings.view_transform == "Standard"
        views = [a.spaces.active for s in blender.data.screens for a in s.areas if a.type == "VIEW_3D"]
        assert views and all(view.show_region_ui and view.shading.color_type == "TEXTURE" for view in views)
    finally:
        blender.ops.wm.read_homefile(app_template="", use_factory_startup=True)
    assert "Cube" in blender.data.objects, "other templates are as they were"
