"""Other objects in the guides: where Blender's own renders show them, as known geometry or as holes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from test_addon_layers_roundtrip import sent_while
from test_addon_operators import fails

FRAMES = (1, 3, 5)


@pytest.fixture
def cube(ready):
    """A turned cube that moves before everything else; the shot itself stands elsewhere and is scaled."""
    bpy = ready
    shot = bpy.context.scene.ex4d.shot
    shot.location, shot.scale = (1, -2, 0.5), (1.5, 1.5, 1.5)
    shot.rotation_euler[2] = 0.4
    data = bpy.data.meshes.new("Cube")
    corners = [(x, y, z) for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)]
    data.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    made = bpy.data.objects.new("Cube", data)
    bpy.context.scene.collection.objects.link(made)
    made.parent = shot
    made.rotation_euler = (0.5, 0.3, 0.2)
    for frame, x in ((1, -0.3), (5, 0.4)):
        made.location = (x, 0.2, 2.5)
        made.keyframe_insert("location", frame=frame)
    return made


def folder(bpy) -> Path:
    from blender_addon.scene import shot

    return shot.folder_of(bpy.context.scene.ex4d.shot) / "guides"


def picture(bpy, path: Path) -> np.ndarray:  # [H, W, 4] uint8
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.array(image.pixels[:]).reshape(height, width, 4)[::-1]
    bpy.data.images.remove(image)
    return np.round(values * 255).astype(np.uint8)


def guides(bpy) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Colour and mask by scene frame."""
    assert bpy.ops.ex4d.render_guides() == {"FINISHED"}
    found = {}
    for frame in FRAMES:
        name = f"frame_{frame:04d}.png"
        colour, mask = (picture(bpy, folder(bpy) / kind / name) for kind in ("colour", "mask"))
        found[frame] = colour[..., :3], mask[..., 0] > 127
    return found


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def silhouettes(bpy, cube, render) -> dict[int, np.ndarray]:
    """Where Blender itself sees the cube, alone in the picture."""
    body = bpy.context.scene.ex4d.shot.ex4d.mesh
    body.hide_render, role = True, cube.ex4d.role
    cube.ex4d.role = "NONE"
    found = {}
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        found[frame] = render()[..., 3] > 127
    body.hide_render, cube.ex4d.role = False, role
    return found


def test_a_holdout_is_a_hole_where_blender_sees_it_and_nowhere_else(ready, cube, render):
    before = guides(ready)
    cube.ex4d.role = "HOLDOUT"
    assert cube.is_holdout
    after, seen = guides(ready), silhouettes(ready, cube, render)
    for frame in FRAMES:
        hole = before[frame][1] & ~after[frame][1]
        assert seen[frame].sum() > 300
        assert iou(hole, seen[frame] & before[frame][1]) >= 0.99
        assert not after[frame][0][~after[frame][1]].any()
        ready.context.scene.frame_set(frame)
        assert iou(after[frame][1], render()[..., 3] > 127) >= 0.99, "Blender's own render has the same hole"
    assert iou(seen[1], seen[5]) < 0.9, "it moves"


def test_geometry_is_shown_with_its_material_s_colour_even_where_the_source_shows_nothing(ready, cube, render):
    material = ready.data.materials.new("Paint")
    if material.node_tree is None:  # from 5.0 every material has its nodes from the start
        material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1.0, 0.2158605, 0.0, 1.0)
    cube.data.materials.append(material)
    cube.ex4d.role = "GUIDE"
    shown, seen = guides(ready), silhouettes(ready, cube, render)
    for frame in FRAMES:
        colour, mask = shown[frame]
        orange = (np.abs(colour.astype(int) - (255, 128, 0)) <= 1).all(-1)
        assert iou(orange & mask, seen[frame]) >= 0.99


def test_vertex_colours_come_before_materials(ready, cube, render):
    attribute = cube.data.color_attributes.new("Colour", "BYTE_COLOR", "CORNER")
    blue = np.tile(np.array([0.0, 0.0, 1.0, 1.0], np.float32), len(attribute.data))
    attribute.data.foreach_set("color", blue)
    cube.ex4d.role = "GUIDE"
    colour, mask = guides(ready)[3]
    seen = silhouettes(ready, cube, render)[3]
    assert iou((colour == (0, 0, 255)).all(-1) & mask, seen) >= 0.99


def test_its_data_travels_once_and_none_without_it(ready, cube):
    before = guides(ready)
    cube.data.vertices[0].co.x -= 0.01  # a cube that the backend has not seen
    cube.ex4d.role = "HOLDOUT"
    first = sent_while(lambda: guides(ready))
    assert 5 * 8 * 12 in first and set(first) <= {5 * 8 * 12, 12 * 12}, "its corners on every frame, its faces once"
    assert sent_while(lambda: guides(ready)) == []
    cube.hide_viewport = True
    assert all((guides(ready)[frame][1] == before[frame][1]).all() for frame in FRAMES), "hidden ones do not count"
    assert not list((folder(ready).parent / "objects").iterdir())


def test_a_take_is_made_around_a_holdout(ready, cube, tmp_path):
    coverage = []
    for role in ("NONE", "HOLDOUT"):
        cube.ex4d.role = role
        assert ready.ops.ex4d.generate(engine="preview") == {"FINISHED"}
        take = folder(ready).parent / f"take_00{len(coverage) + 1}" / "take.json"
        coverage.append(json.loads(take.read_text()))
    assert np.mean(coverage[1]["coverage"]) < np.mean(coverage[0]["coverage"]) - 0.02
    assert [each["name"] for each in coverage[1]["objects"]] == ["Cube"]


def test_what_cannot_take_part_is_one_sentence(ready, cube, monkeypatch):
    from blender_addon.guides import objects as guide_objects
    from blender_addon.work import session

    cube.ex4d.role = "HOLDOUT"
    refused = ready.ops.ex4d.render_guides
    build = cube.modifiers.new("Build", "BUILD")
    build.frame_start, build.frame_duration = 1, 4
    assert "'Cube'" in fails(refused)
    cube.modifiers.remove(build)
    empty = ready.data.objects.new("Nothing", ready.data.meshes.new("Nothing"))
    ready.context.scene.collection.objects.link(empty)
    empty.ex4d.role = "GUIDE"
    assert "'Nothing' has no faces at frame 1; give it some, or take its role away." in fails(refused)
    empty.ex4d.role = "NONE"
    lamp = ready.data.objects.new("Lamp", ready.data.lights.new("Lamp", "POINT"))
    ready.context.scene.collection.objects.link(lamp)
    lamp.ex4d.role = "GUIDE"
    assert "'Lamp' is a light and has no faces" in fails(refused)
    lamp.ex4d.role = "NONE"
    monkeypatch.setattr(guide_objects, "MOST_BYTES", 100)
    assert "'Cube' has 12 triangles" in fails(refused)
    monkeypatch.undo()
    client = session.get().require_link().client
    monkeypatch.setattr(client.connection, "welcome", msgspec.structs.replace(client.welcome, minor=0))
    assert "too old for guide objects such as 'Cube'; upgrade it" in fails(refused)
    assert ready.context.scene.frame_current == 1
