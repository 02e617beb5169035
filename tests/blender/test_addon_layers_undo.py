"""Blender's own undo and redo, through every operator that changes a shot's geometry, one step each."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_addon_layers import MOVED, current, move_base

FRAME = 3


def state(blender) -> dict[str, Any]:
    """Everything an edit, a layer or paint can change, in plain values."""
    from blender_addon.edit import paint
    from blender_addon.edit import state as edit_state
    from blender_addon.scene import layers, mesh

    body = current(blender)
    shown = []
    for frame in range(1, 6):
        blender.context.scene.frame_set(frame)
        body = current(blender)
        shown.append(mesh.evaluated_positions(body, blender.context.evaluated_depsgraph_get()).tobytes())
    return {
        "shown": shown,
        "editing": edit_state.is_editing(body),
        "layers": [(layer.name, layers.is_muted(layer), layers.frames_of(layer)) for layer in layers.stack(body)],
        "attributes": sorted(a.name for a in body.data.attributes if a.name.startswith("ex4d")),
        "flags": [None if f is None else f.tobytes() for f in (paint.FLAGS.painted_at(body.data, t) for t in range(5))],
        "meshes": len(blender.data.meshes),
    }


def test_undo_and_redo_take_every_edit_operator_back_and_forth_to_the_byte(blender, shot, small_clip):
    """Positions of all frames, layers, paint and stored attributes, after every step, both ways, twice."""
    from blender_addon.edit import paint

    faces = np.zeros(len(small_clip.faces), np.bool_)
    faces[1000:1040] = True
    paint.select(current(blender).data, faces)
    blender.context.scene.frame_set(FRAME)
    blender.ops.ed.undo_push(message="start")
    seen = [state(blender)]

    def step(operator: str, **arguments) -> None:
        blender.context.scene.frame_set(FRAME)
        done = getattr(blender.ops.ex4d, operator)("EXEC_DEFAULT", True, **arguments)
        assert done == {"FINISHED"}, operator
        seen.append(state(blender))
        assert seen[-1] != seen[-2], f"{operator} changed nothing"

    def push_vertices(depth: float) -> None:
        move_base(current(blender), (0, 0, depth), vertices=slice(MOVED, MOVED + 30))
        blender.ops.ed.undo_push(message="move")
        seen.append(state(blender))

    step("edit_frame", enter_edit_mode=False)
    push_vertices(-1.0)
    step("finish_edit", name="First", falloff=1)
    step("edit_frame", enter_edit_mode=False)
    push_vertices(0.5)
    step("discard_edit")
    step("edit_frame", enter_edit_mode=False)
    push_vertices(-0.25)
    step("finish_edit", name="Second", mode="RAY", every_frame=True)
    step("mute_layer", layer="First")
    step("mute_layer", layer="First")
    step("move_layer", layer="Second", direction="UP")
    current(blender).modifiers["First"].name = "Renamed"
    blender.ops.ed.undo_push(message="rename")
    seen.append(state(blender))
    step("paint_occlusion", flag="OCCLUDED", frames="RANGE", first=2, last=3)
    step("paint_occlusion", flag="VISIBLE", frames="SHOT")
    step("remove_layer", layer="Renamed")
    step("remove_layer", layer="Second")

    for _ in range(2):
        for before in reversed(seen[:-1]):
            blender.ops.ed.undo()
            assert state(blender) == before
        for after in seen[1:]:
            blender.ops.ed.redo()
            assert state(blender) == after


def test_a_new_edit_after_undo_leaves_nothing_of_the_undone_one(blender, shot, small_clip):
    from blender_addon.scene import layers

    blender.context.scene.frame_set(FRAME)
    blender.ops.ed.undo_push(message="start")
    for name, depth in (("Wrong", -1.0), ("Right", -0.5)):
        blender.ops.ex4d.edit_frame("EXEC_DEFAULT", True, enter_edit_mode=False)
        move_base(current(blender), (0, 0, depth))
        blender.ops.ex4d.finish_edit("EXEC_DEFAULT", True, name=name)
        if name == "Wrong":
            blender.ops.ed.undo()
            blender.ops.ed.undo()
    body = current(blender)
    assert [layer.name for layer in layers.stack(body)] == ["Right"]
    stored = [a.name for a in body.data.attributes if a.name.startswith(layers.ATTRIBUTE_PREFIX)]
    assert stored == [layers.get_input(layers.stack(body)[0], "Attribute")]
