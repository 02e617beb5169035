"""The truth that world memory is judged by, and the memory against it, on a scene that is known exactly."""

from __future__ import annotations

import numpy as np
from analytic import look, write_scene

from ex4d.dwmesh import DWMesh
from ex4d.eval import known_views, load_scene, memory_scores
from ex4d_ground.options import MeshOptions

PATH = [(0.25 * t - 1.2, 0, 0.04 * t) for t in range(10)]
TURN = -29.5


def scene_beside(tmp_path, **more):
    """A source that slides past the card; a target that looks at it from beside, turned by 30 degrees."""
    beside = [(x + 4.0, y, z + 0.3) for x, y, z in PATH]
    target = look(beside, yaws_deg=[TURN] * 10)
    return load_scene(write_scene(tmp_path / "slide", look(PATH, **more), {"orbit": target}, kind="orbit"))


def test_what_was_seen_at_another_time_is_known_and_what_never_was_is_not(tmp_path):
    scene = scene_beside(tmp_path)
    for view in known_views(scene, 30.0):
        now, known = view.now.visible[0], view.truth.visible[0]
        assert not (now & ~known).any()
        assert not (known & view.truth.unknowable[0]).any()
        assert not (view.truth.unknowable[0] & ~view.now.unknowable[0]).any()
    views = {view.frame: view for view in known_views(scene, 30.0)}
    gain = [v.truth.visible[0].mean() - v.now.visible[0].mean() for v in views.values()]
    assert max(gain) > 0.05  # at the ends the others saw most that is beside


def test_what_is_not_there_any_more_is_not_known(tmp_path):
    """The source saw the bare wall; in the target's world a card stands there that no source frame ever saw."""
    scene = scene_beside(tmp_path, card=False)
    card = look([(x + 4.0, y, z + 0.3) for x, y, z in PATH], yaws_deg=[TURN] * 10).on_card
    known = np.stack([view.truth.visible[0] for view in known_views(scene, 30.0)])
    shown = np.stack([card[view.frame] for view in known_views(scene, 30.0)])
    now = np.stack([view.now.visible[0] for view in known_views(scene, 30.0)])
    assert shown.any() and not (known & shown & ~now).any()


def test_memory_knows_more_of_the_truth_than_other_frames_and_says_nothing_false(tmp_path):
    scene = scene_beside(tmp_path)
    views = known_views(scene, 30.0)
    options = [MeshOptions(mode="solid", other_frames=True, world_memory=m) for m in (False, True)]
    before, after = (memory_scores(DWMesh(scene.clip, each), views)[0] for each in options)
    assert all(a.masks.iou >= b.masks.iou - 0.005 for a, b in zip(after, before, strict=True))
    assert np.mean([s.masks.iou for s in after]) > np.mean([s.masks.iou for s in before]) + 0.05
    assert max(s.masks.false_visible for s in after) < 0.02
    assert min(s.right for s in after) > 0.95
