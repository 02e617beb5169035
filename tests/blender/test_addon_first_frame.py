"""An import shows its first frame before the others have come, and leaves nothing when it is stopped."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_addon_layers import current
from test_addon_operators import fails


def begin(blender, sources):
    """The import as its button begins it, left to the timer; a task."""
    from blender_addon.panels.import_clip import ImportPlan

    kind = blender.ops.ex4d.import_clip.get_rna_type().properties
    given = {p.identifier: p.default for p in kind if p.identifier != "rna_type"}
    task = ImportPlan(SimpleNamespace(**given | sources | {"depth_source": "FILE"})).begin(blender.context)
    task.watched_at = 0.0
    return task


def step(blender, task) -> None:
    """One event of the backend's, and one look of the timer's."""
    from blender_addon.work import session

    session.get().tick(0.0)
    if not task.finished:
        task.arrival.update(blender.context)


def until(blender, task, done) -> None:
    end = time.monotonic() + 240
    while not done():
        assert time.monotonic() < end and task.error is None, task.error
        step(blender, task)


def finish(blender, task) -> None:
    from blender_addon.work import delivery

    until(blender, task, lambda: task.finished)
    task.watched_at = 0.0
    delivery.put_orphans()


@pytest.fixture
def disk_goes_on(monkeypatch):
    """The disk stands still before a folder takes its place, until this event is set."""
    from blender_addon.work.writer import FolderWriter

    goes_on, put_in_place = threading.Event(), FolderWriter._put_in_place
    goes_on.awaited = threading.Event()  # all else is written

    def slowly(writer) -> None:
        goes_on.awaited.set()
        goes_on.wait(240)
        put_in_place(writer)

    monkeypatch.setattr(FolderWriter, "_put_in_place", slowly)
    yield goes_on
    goes_on.set()


@pytest.fixture
def shown(connected, sources, disk_goes_on):
    """An import that has shown its first frame and cannot end while the disk stands still; Blender and its task."""
    task = begin(connected, sources)
    until(connected, task, lambda: connected.context.scene.ex4d.shot is not None)
    assert not task.finished
    return connected, task


def folders(blender) -> list[str]:
    return sorted(path.name for path in (Path(blender.data.filepath).parent / "scene_ex4d").glob("*"))


def images(blender) -> dict[str, Path]:
    return {image.name: Path(blender.path.abspath(image.filepath)) for image in blender.data.images}


def test_the_first_frame_is_there_before_the_rest_and_the_rest_follows(shown, disk_goes_on, small_clip):
    from blender_addon.scene import mesh

    blender, task = shown
    body = current(blender)
    np.testing.assert_allclose(mesh.positions(body.data), small_clip.vertices(0), rtol=1e-5)
    assert all(path.exists() for path in images(blender).values()) and folders(blender) == ["clip.part"]
    assert "Only the first frame of 'clip' is here yet" in fails(blender.ops.ex4d.edit_frame)
    blender.ops.ex4d.add_camera_move(preset="30")
    camera = blender.context.scene.ex4d.shot.ex4d.camera
    disk_goes_on.set()
    finish(blender, task)
    props = blender.context.scene.ex4d.shot.ex4d
    assert not props.arriving and props.camera == camera and folders(blender) == ["clip"]
    assert all(path.exists() and path.parent.parent.name == "clip" for path in images(blender).values())
    for frame in (1, 4):
        blender.context.scene.frame_set(frame)
        seen = mesh.evaluated_positions(current(blender), blender.context.evaluated_depsgraph_get())
        np.testing.assert_allclose(seen, small_clip.vertices(frame - 1), rtol=1e-5)
    assert blender.ops.ex4d.edit_frame(enter_edit_mode=False) == {"FINISHED"}
    blender.ops.ex4d.discard_edit()
    assert blender.ops.ex4d.render_guides() == {"FINISHED"}


def test_what_comes_of_it_is_what_an_import_at_once_makes(shown, disk_goes_on, sources):
    blender, task = shown
    disk_goes_on.set()
    finish(blender, task)
    blender.ops.ex4d.import_clip(**sources)
    first, second = (blender.data.objects[name].ex4d for name in ("clip", "clip_001"))
    for name in ("num_frames", "width", "height", "grid_side", "clip_json", "frame_start", "near_depth"):
        assert getattr(first, name) == getattr(second, name)
    described = [
        [
            (node.bl_idname, node.image_user.frame_duration, node.image_user.frame_start)
            for material in props.mesh.data.materials
            for node in material.node_tree.nodes
            if node.bl_idname == "ShaderNodeTexImage"
        ]
        for props in (first, second)
    ]
    assert described[0] == described[1]
    assert [m.type for m in first.mesh.modifiers] == [m.type for m in second.mesh.modifiers]


def test_a_cancelled_import_leaves_nothing_but_what_the_artist_made(shown, disk_goes_on):
    from blender_addon.scene import shot
    from blender_addon.work import delivery, session

    blender, task = shown
    camera = shot.new_camera("Mine", blender.context.scene.ex4d.shot).name
    disk_goes_on.set()
    session.get().cancel(task)
    delivery.put_orphans()
    assert folders(blender) == [] and blender.context.scene.ex4d.shot is None
    assert [obj.name for obj in blender.data.objects] == [camera]
    assert not blender.data.meshes and not blender.data.materials and not images(blender)


def test_a_shot_that_was_taken_away_meanwhile_is_made_anew(shown, disk_goes_on):
    from blender_addon.scene import shot

    blender, task = shown
    shot.take_away(blender.context.scene.ex4d.shot)
    disk_goes_on.set()
    finish(blender, task)
    assert blender.context.scene.ex4d.shot.ex4d.num_frames == 5 and current(blender).modifiers[0].type == "MESH_CACHE"


def test_a_mode_that_is_in_use_is_not_disturbed(connected, sources):
    blender = connected
    blender.ops.mesh.primitive_cube_add()
    blender.ops.object.mode_set(mode="EDIT")
    blender.ops.object.mode_set(mode="OBJECT")
    task = begin(blender, sources)
    blender.ops.object.mode_set(mode="EDIT")
    until(blender, task, lambda: task.arrival.first is not None)
    for _ in range(10):
        task.arrival.update(blender.context)
    assert blender.context.scene.ex4d.shot is None and blender.context.mode == "EDIT_MESH"
    blender.ops.object.mode_set(mode="OBJECT")
    finish(blender, task)
    assert blender.context.scene.ex4d.shot is not None


def test_files_that_have_left_are_not_shown_any_more(connected, sources, disk_goes_on):
    """Another mode was on until the folder of the whole clip took its place."""
    blender = connected
    blender.ops.mesh.primitive_cube_add()
    task = begin(blender, sources)
    blender.ops.object.mode_set(mode="EDIT")
    until(blender, task, disk_goes_on.awaited.is_set)
    disk_goes_on.set()
    end = time.monotonic() + 60
    while folders(blender) != ["clip"]:
        assert time.monotonic() < end
        time.sleep(0.005)
    blender.ops.object.mode_set(mode="OBJECT")
    for _ in range(20):
        task.arrival.update(blender.context)
    assert blender.context.scene.ex4d.shot is None
    finish(blender, task)
    assert blender.context.scene.ex4d.shot is not None and folders(blender) == ["clip"]
    assert all(path.exists() for path in images(blender).values())
    assert not [data.name for data in blender.data.meshes if data.name.startswith("EX-4D Arriving")]
