"""Restoring a take: the same seed gives the same bytes from a file opened anew, or what is lost is listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_addon_reconnect import frames

from ex4d_ground.takes import read_take_info


@pytest.fixture
def edited(ready):
    """A shot with an edit layer on some frames, painted visibility, painted thickness, solid occluders and a retime."""
    from blender_addon.edit import paint, thickness
    from blender_addon.edit.painted import Span
    from blender_addon.scene import layers

    shot = ready.context.scene.ex4d.shot
    body = shot.ex4d.mesh
    rng = np.random.default_rng(3)
    values = (rng.normal(size=(len(body.data.vertices), 3)) * 0.02).astype(np.float32)
    layers.add(body, "Nose", values, mode="OFFSET", frames=layers.FrameRange(2, 3, falloff=1))
    chosen = np.zeros(len(body.data.polygons), np.bool_)
    chosen[500:900] = True
    paint.FLAGS.paint(body.data, chosen, 2, Span(1, 2))
    some = np.zeros(len(body.data.vertices), np.bool_)
    some[3000:3600] = True
    thickness.LENGTHS.paint(body.data, some, 0.7, None)
    shot.ex4d.occluders, shot.ex4d.thickness_by, shot.ex4d.thickness_share = "SOLID", "SHARE", 0.3
    shot.ex4d.use_source_time = True
    for index, time in enumerate((0.0, 1.7, 2.4, 3.0, 1.1)):
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=1 + index)
    return ready


def folder(blender, number: int) -> Path:
    return Path(blender.data.filepath).parent / "scene_ex4d" / "clip" / f"take_{number:03d}"


def opened_anew(blender, address) -> None:
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    blender.ops.ex4d.connect(address=address)


def told(capfd) -> str:
    return [line for line in capfd.readouterr().out.splitlines() if "are those of take_" in line][-1]


def edit_otherwise(blender, shot) -> None:
    from blender_addon.scene import layers

    body = shot.ex4d.mesh
    (layer,) = layers.stack(body)
    layers.set_input(layer, "Weight", 0.4)


def edit_no_more(blender, shot) -> None:
    from blender_addon.scene import layers

    (layer,) = layers.stack(shot.ex4d.mesh)
    layers.remove(shot.ex4d.mesh, layer)


def paint_otherwise(blender, shot) -> None:
    from blender_addon.edit import paint, thickness

    data = shot.ex4d.mesh.data
    paint.FLAGS.paint(data, np.ones(len(data.polygons), np.bool_), 1, None)
    thickness.LENGTHS.paint(data, np.ones(len(data.vertices), np.bool_), 0, None)


def options_otherwise(blender, shot) -> None:
    scene = blender.context.scene
    shot.ex4d.occluders = "ENDLESS"
    scene.ex4d.seed, scene.render.resolution_x = 77, 64


def move_otherwise(blender, shot) -> None:
    shot.ex4d.camera.location.x += 1
    shot.ex4d.camera.keyframe_insert("location", frame=3)
    shot.ex4d.use_source_time = False


def modified(blender, shot) -> None:
    """The artist's own modifier, which changes every frame."""
    shot.ex4d.mesh.modifiers.new("Wave", "WAVE")


CHANGES = (edit_otherwise, edit_no_more, paint_otherwise, options_otherwise, move_otherwise, modified)


@pytest.mark.parametrize("change", [*CHANGES, None])
def test_the_same_bytes_come_again_from_a_file_opened_anew(edited, address, change, capfd):
    edited.ops.ex4d.generate(engine="preview", seed=5)
    first = read_take_info(folder(edited, 1))
    assert first.mesh and len(first.mesh["edits"]) == 4 and first.mesh["thickness"]
    opened_anew(edited, address)
    shot = edited.context.scene.ex4d.shot
    for each in CHANGES if change is None else (change,):
        if not (change is None and each is edit_no_more):
            each(edited, shot)
    edited.ops.ex4d.generate(engine="preview", seed=6)
    opened_anew(edited, address)
    assert edited.ops.ex4d.restore_take(index=0, camera="SAME") == {"FINISHED"}
    said = told(capfd)
    assert "not restored" not in said, said
    edited.ops.ex4d.generate()
    again = read_take_info(folder(edited, 3))
    for name in ("camera", "mesh", "seed", "settings", "engine", "raster", "objects", "clip", "width", "height"):
        assert getattr(again, name) == getattr(first, name), name
    assert frames(folder(edited, 3)) == frames(folder(edited, 1))


def test_a_take_without_edits_brings_the_import_back_and_mutes_layers_by_name(edited, address, capfd):
    from blender_addon.scene import layers

    body = edited.context.scene.ex4d.shot.ex4d.mesh
    (layer,) = layers.stack(body)
    layer.show_viewport = False
    edited.ops.ex4d.generate(engine="preview")
    layer.show_viewport = True
    edited.ops.ex4d.restore_take(index=0)
    assert "muted for its edits: 'Nose'" in told(capfd)
    assert [each.name for each in layers.stack(body)] == ["Nose"] and not layer.show_viewport


def test_what_cannot_be_restored_is_listed(edited, address, capfd):
    edited.ops.ex4d.generate(engine="preview")
    path = folder(edited, 1) / "take.json"
    info = json.loads(path.read_text())
    info["engine"], info["settings"] = "magic", {"steps": 9}
    info["raster"]["antialias"] = True
    info["clip"]["spec"]["num_frames"] = 3
    vertices, faces = ({"sha256": digit * 64, "size": 1} for digit in "01")
    info["objects"] = [{"name": "Box", "vertices": vertices, "faces": faces}]
    for edit in info["mesh"]["edits"]:
        if edit.get("positions"):
            edit["positions"]["sha256"] = "2" * 64
    path.write_text(json.dumps(info))
    edited.ops.ex4d.restore_take(index=0)
    said = told(capfd)
    for what in (
        "its engine (this backend has no 'magic')",
        "antialias cannot be set in Blender",
        "its clip (",
        "its guide objects (not what they were: Box)",
        "files are not on disk any more: frame 1, 2, 3, 4",
    ):
        assert what in said, (what, said)


def test_seeds_and_settings_beyond_blenders_numbers_are_kept(ready, address):
    ready.ops.ex4d.generate(engine="preview", seed=1)
    path = folder(ready, 1) / "take.json"
    info = json.loads(path.read_text())
    (name, _), *_ = [(n, v) for n, v in info["settings"].items() if isinstance(v, float)]
    info["seed"], info["settings"][name] = 2**40 + 7, 0.123456789012
    path.write_text(json.dumps(info))
    opened_anew(ready, address)
    ready.ops.ex4d.restore_take(index=0)
    ready.ops.ex4d.generate()
    again = read_take_info(folder(ready, 2))
    assert again.seed == 2**40 + 7 and again.settings[name] == 0.123456789012
    ready.context.scene.ex4d.seed = 12
    ready.ops.ex4d.generate()
    assert read_take_info(folder(ready, 3)).seed == 12, "until it is changed"
