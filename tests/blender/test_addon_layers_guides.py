"""Edits on their way to a real backend: the guides change on the edited frames, and only those frames travel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_addon_layers import current, edit, move_base
from test_addon_operators import fails

FRAMES = range(5)
WALL = [column + row * 128 for row in range(20, 70) for column in range(85, 110)]


@pytest.fixture
def edited_shot(connected, sources):
    """The small clip imported through the backend, with a camera move."""
    connected.ops.ex4d.import_clip(**sources)
    connected.ops.ex4d.add_camera_move(preset="30")
    return connected


def guides(blender) -> list[bytes]:
    """Colour and mask of every frame, as bytes."""
    assert blender.ops.ex4d.render_guides() == {"FINISHED"}
    folder = shot_folder(blender) / "guides"
    names = sorted(path.name for path in (folder / "colour").iterdir())
    return [b"".join((folder / kind / name).read_bytes() for kind in ("colour", "mask")) for name in names]


def shot_folder(blender) -> Path:
    from blender_addon.scene import shot

    return shot.folder_of(blender.context.scene.ex4d.shot)


def changed(before: list[bytes], after: list[bytes]) -> list[int]:
    """Scene frames whose guides differ."""
    return [1 + t for t in FRAMES if before[t] != after[t]]


def bring_wall_nearer(blender, frame: int, **options) -> None:
    """Move a patch of the wall in one frame and finish the edit."""
    blender.context.scene.frame_set(frame)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    move_base(current(blender), (0, 0, -2.0), vertices=WALL)
    blender.ops.ex4d.finish_edit(**options)


def test_an_edit_changes_the_guides_on_its_frames_only_and_undo_restores_them_to_the_byte(edited_shot):
    from blender_addon.edit import collect as edit_collect

    blender = edited_shot
    before = guides(blender)
    assert not (shot_folder(blender) / "edits").exists(), "an untouched shot sends nothing"
    blender.ops.ed.undo_push(message="before the edit")
    bring_wall_nearer(blender, 3, falloff=1)
    blender.ops.ed.undo_push(message="edited")
    after = guides(blender)
    assert changed(before, after) == [2, 3, 4]
    sent = edit_collect.collect(blender.context.scene.ex4d.shot, shot_folder(blender))
    assert [(e.frame, e.flags) for e in sent] == [(1, None), (2, None), (3, None)]
    assert sorted((shot_folder(blender) / "edits").iterdir()) == sorted(e.positions for e in sent)
    blender.ops.ed.undo()
    assert guides(blender) == before
    blender.ops.ed.redo()
    assert guides(blender) == after
    blender.ops.ex4d.mute_layer(layer="Frame 3")
    assert guides(blender) == before
    assert not list((shot_folder(blender) / "edits").iterdir()), "files of earlier edits do not pile up"


@pytest.mark.feature("paint")
def test_paint_hides_faces_in_the_guides_of_its_frames(edited_shot, small_clip):
    from blender_addon.edit import collect as edit_collect
    from blender_addon.edit import paint

    blender = edited_shot
    before = guides(blender)
    faces = np.isin(small_clip.faces, WALL).all(axis=1)
    paint.select(current(blender).data, faces)
    blender.ops.ex4d.paint_occlusion(flag="OCCLUDED", frames="RANGE", first=2, last=3)
    assert changed(before, guides(blender)) == [2, 3]
    sent = edit_collect.collect(blender.context.scene.ex4d.shot, shot_folder(blender))
    assert [(e.frame, e.positions) for e in sent] == [(1, None), (2, None)]
    assert sent[0].flags == sent[1].flags, "the same flags travel once"
    blender.ops.ex4d.paint_occlusion(flag="AUTO")
    assert guides(blender) == before


def test_a_take_is_made_of_the_edited_mesh(edited_shot):
    blender = edited_shot
    blender.ops.ex4d.generate(engine="preview")
    bring_wall_nearer(blender, 2)
    blender.ops.ex4d.generate(engine="preview")
    folders = [shot_folder(blender) / f"take_{n:03d}" for n in (1, 2)]
    pictures = [[p.read_bytes() for p in sorted(folder.glob("*.png"))] for folder in folders]
    assert 2 in changed(*pictures)
    coverages = [json.loads((folder / "take.json").read_text())["coverage"] for folder in folders]
    assert [1 + t for t in FRAMES if coverages[0][t] != coverages[1][t]] == [2]


def test_an_open_edit_and_a_changed_vertex_count_are_refused(edited_shot):
    blender = edited_shot
    blender.context.scene.frame_set(2)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    assert "Frame 2 is still being edited; finish or discard" in fails(blender.ops.ex4d.render_guides)
    blender.ops.ex4d.discard_edit()
    body = current(blender)
    body.modifiers.new("Decimate", "DECIMATE").ratio = 0.5
    sentence = fails(blender.ops.ex4d.render_guides)
    assert f"vertices of its {len(body.data.vertices)}" in sentence and "hide or remove it" in sentence
    assert len(blender.data.scenes) == 1 and not body.hide_viewport
    body.modifiers.remove(body.modifiers["Decimate"])
    cache = body.modifiers[0]
    edit(blender, 1)
    cache.show_viewport = False
    assert "is switched off; switch it on" in fails(blender.ops.ex4d.render_guides)
