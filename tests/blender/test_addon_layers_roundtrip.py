"""Edits of a 49-frame clip through a real backend: what changes, what travels, what comes back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_clip import make_clip, write_source_files
from test_addon_layers import current, move_base

from ex4d_ground.options import MeshOptions
from ex4d_protocol import events as ev
from ex4d_protocol.requests import MeshSpec, RenderGuides

FRAMES, HEIGHT, WIDTH = 49, 60, 80
EDITED = 20
REACH = range(18, 24)
"""Scene frames the edit of frame 20 reaches: one before and two after in full, one more on either side by half."""
PATCH = [column + row * WIDTH for row in range(20, 40) for column in range(50, 70)]


@pytest.fixture(scope="module")
def long_clip():
    """The wall comes nearer, so that no two frames have the same mesh."""
    clip = make_clip(FRAMES, HEIGHT, WIDTH)
    nearer = np.where(clip.depth < 50, 0.02 * np.arange(FRAMES)[:, None, None], 0)
    return dataclasses.replace(clip, depth=(clip.depth - nearer).astype(np.float32))


@pytest.fixture
def shot_of_49(connected, long_clip, tmp_path):
    """The clip imported through the backend, with a camera move."""
    video, depth = write_source_files(long_clip, tmp_path / "in")
    connected.ops.ex4d.import_clip(video_path=str(video), depth_path=str(depth), focal_px=long_clip.focal_px)
    connected.ops.ex4d.add_camera_move(preset="30")
    connected.ops.ed.undo_push(message="imported")
    return connected


def edit(blender, depth: float = -4.0) -> None:
    blender.context.scene.frame_set(EDITED)
    blender.ops.ex4d.edit_frame("EXEC_DEFAULT", True, enter_edit_mode=False)
    move_base(current(blender), (0, 0, depth), vertices=PATCH)
    blender.ops.ex4d.finish_edit("EXEC_DEFAULT", True, before=1, after=2, falloff=1)


def undo(blender, times: int) -> None:
    for _ in range(times):
        blender.ops.ed.undo()


def redo(blender, times: int) -> None:
    for _ in range(times):
        blender.ops.ed.redo()


def folder(blender) -> Path:
    from blender_addon.scene import shot

    return shot.folder_of(blender.context.scene.ex4d.shot)


def pictures(*folders: Path) -> list[bytes]:
    """Every frame of several sequences, as bytes."""
    names = sorted(path.name for path in folders[0].glob("*.png"))
    return [b"".join((each / name).read_bytes() for each in folders) for name in names]


def changed(before: list[bytes], after: list[bytes]) -> list[int]:
    """Scene frames that differ."""
    assert len(before) == len(after) == FRAMES
    return [1 + t for t in range(FRAMES) if before[t] != after[t]]


def guides(blender, mode: str) -> list[bytes]:
    """Colour and mask of every frame, in one of the two ways of treating occluders."""
    from blender_addon.camera import move
    from blender_addon.edit import collect as edit_collect
    from blender_addon.jobs import clip as jobs
    from blender_addon.scene import shot
    from blender_addon.work import session

    target = blender.context.scene.ex4d.shot
    spec = move.trajectory(blender.context, target)
    mesh = MeshSpec(options=MeshOptions(mode=mode))
    current = session.get()
    steps = jobs.render_guides(
        current.require_link(),
        lambda clip: RenderGuides(clip=clip, trajectory=spec, mesh=mesh),
        jobs.EditedClip(shot.stored_clip(target), edit_collect.collect(target, folder(blender))),
        folder(blender),
    )
    task = current.start("Render guides", steps)
    current.run(task)
    assert task.error is None, task.error
    return pictures(folder(blender) / "guides" / "colour", folder(blender) / "guides" / "mask")


def sent_while(run) -> list[int]:
    """Bytes of every upload that really travelled."""
    from blender_addon.work import session

    with session.get().require_link().inbox() as inbox:
        run()
    return [event.sent_bytes for event in inbox if isinstance(event, ev.Uploaded) and event.sent_bytes]


@pytest.mark.parametrize("mode", ["endless", "solid"])
def test_an_edit_changes_its_frames_alone_and_undo_and_redo_bring_either_back_to_the_byte(shot_of_49, mode):
    blender = shot_of_49
    before = guides(blender, mode)
    edit(blender, -4.0 if mode == "endless" else -4.1)  # the backend keeps what the other mode has sent
    after: list[bytes] = []
    sent = sent_while(lambda: after.extend(guides(blender, mode)))
    assert changed(before, after) == list(REACH)
    assert sorted(sent) == [HEIGHT * WIDTH * 12] * len(REACH), "only the edited frames travel"
    undo(blender, 2)
    again: list[bytes] = []
    assert sent_while(lambda: again.extend(guides(blender, mode))) == []
    assert again == before
    redo(blender, 2)
    again.clear()
    assert sent_while(lambda: again.extend(guides(blender, mode))) == [], "the backend still has them"
    assert again == after


def test_the_mask_of_visible_faces_follows_edits_undo_and_redo(shot_of_49, render, long_clip):
    blender = shot_of_49
    seen = folder(blender) / "visible"

    def update() -> list[bytes]:
        assert blender.ops.ex4d.update_visible() == {"FINISHED"}
        return pictures(seen)

    def holes() -> int:
        """Pixels of frame 20 in which the mesh's material shows nothing, through the source camera."""
        scene = blender.context.scene
        scene.camera = scene.ex4d.shot.ex4d.source_camera
        scene.frame_set(EDITED)
        return int((render()[..., 3] < 128).sum())

    before, unedited_holes = pictures(seen), holes()
    assert update() == before
    edit(blender)
    after = update()
    assert changed(before, after) == list(REACH)
    # The patch's rim is now a depth edge: torn faces, which the source does not show.
    assert holes() > unedited_holes + 40
    undo(blender, 2)
    assert update() == before and holes() == unedited_holes
    redo(blender, 2)
    assert update() == after


def test_the_mask_follows_by_itself_once_there_is_a_pause(shot_of_49, monkeypatch):
    from blender_addon.edit import visible
    from blender_addon.work import session, timer

    blender = shot_of_49
    seen = folder(blender) / "visible"
    before = pictures(seen)
    monkeypatch.setattr(visible, "PAUSE_S", 0.0)

    def idle() -> list[bytes]:
        timer.tick()
        while session.get().tasks or session.get().undelivered:
            timer.tick()
        assert not session.get().message_is_error
        return pictures(seen)

    edit(blender)
    assert changed(before, idle()) == list(REACH)
    blender.context.scene.ex4d.shot.location.x = 1
    blender.ops.ed.undo_push(message="nothing to do with edits")
    undo(blender, 1)
    monkeypatch.setattr(visible, "start", None)
    timer.tick()  # starts nothing
    monkeypatch.undo()
    monkeypatch.setattr(visible, "PAUSE_S", 0.0)
    undo(blender, 2)
    assert idle() == before
    redo(blender, 2)
    idle()
    from blender_addon.scene import layers

    layers.set_input(layers.stack(current(blender))[0], "Weight", 0.0)  # as the slider in the list does
    monkeypatch.setattr(visible, "LOOK_S", 0.0)
    timer.tick()
    assert idle() == before


def test_paint_changes_the_mask_on_its_frames(shot_of_49, long_clip):
    from blender_addon.edit import paint

    blender = shot_of_49
    seen = folder(blender) / "visible"
    before = pictures(seen)
    faces = np.isin(long_clip.faces, PATCH).all(axis=1)
    paint.select(current(blender).data, faces)
    blender.ops.ex4d.paint_occlusion(flag="OCCLUDED", frames="RANGE", first=30, last=32)
    blender.ops.ex4d.update_visible()
    assert changed(before, pictures(seen)) == [30, 31, 32]
    blender.ops.ex4d.paint_occlusion(flag="AUTO")
    blender.ops.ex4d.update_visible()
    assert pictures(seen) == before
