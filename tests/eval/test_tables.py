"""Long tables, evaluations that go on where they stopped, and what is said beside the tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from analytic import look, write_scene

import ex4d.eval.run as run
from ex4d.eval import (
    Variant,
    default_ablation,
    evaluate,
    evaluate_variants,
    load_scene,
    main_variants,
    markdown_tables,
    scene_extras,
    thickness_spread,
    write_evaluation,
)
from ex4d_ground.options import MeshOptions

SOLID = Variant("solid", MeshOptions(mode="solid"))


@pytest.fixture
def orbit_scene(tmp_path):
    """An "orbit" whose angles are invented: frames at 0, 15 and 45 degrees."""
    source, moved = look([(0, 0, 0)] * 3), look([(0, 0, 0), (0.4, 0, 0), (0.8, 0, 0)])
    for i, degrees in enumerate((0, 15, 45)):
        a = math.radians(degrees)
        turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
        moved.trajectory.world_from_camera[i, :3, :3] = turn
    return write_scene(tmp_path / "scenes" / "card", source, {"side": moved}, kind="orbit")


def test_long_tables_measure_only_the_angles_that_people_compare(orbit_scene):
    whole, short = evaluate_variants(
        load_scene(orbit_scene), [SOLID, Variant("short", MeshOptions(mode="solid"), angles_only=True)]
    )
    assert [f.frame for f in whole.frames] == [0, 1, 2]
    assert [f.frame for f in short.frames] == [1]
    assert short.targets == ()
    assert (short.frames[0].iou, short.frames[0].psnr) == (whole.frames[1].iou, whole.frames[1].psnr)


def test_a_stopped_evaluation_goes_on_and_changed_scenes_are_measured_again(orbit_scene, tmp_path, monkeypatch):
    keep = tmp_path / "scores"
    first = evaluate(orbit_scene.parent, [SOLID], keep=keep, with_extras=True)
    monkeypatch.setattr(run, "evaluate_variants", lambda *_, **__: pytest.fail("measured again"))
    again = evaluate(orbit_scene.parent, [SOLID], keep=keep, with_extras=True)
    assert json.dumps(first.as_json()) == json.dumps(again.as_json())
    with pytest.raises(pytest.fail.Exception):
        evaluate(orbit_scene.parent, [Variant("other")], keep=keep, with_extras=True)
    (orbit_scene / "note.txt").write_text("changed")
    with pytest.raises(pytest.fail.Exception):
        evaluate(orbit_scene.parent, [SOLID], keep=keep, with_extras=True)


def test_the_tables_name_every_variant_and_scene(orbit_scene, tmp_path):
    done = evaluate(orbit_scene.parent, [SOLID, Variant("endless")], with_extras=True)
    text = markdown_tables("Title", done.scores, done.extras)
    iou = done.scores[0].frames[1].iou
    assert f"| solid | {iou:.3f} (" in text
    assert "| card | endless |" in text
    assert "Thickness over time" in text
    write_evaluation(done, tmp_path / "out")
    assert (tmp_path / "out" / "tables.md").read_text() == markdown_tables(done.title, done.scores, done.extras)
    assert "nan" not in text
    means = done.summary_json()["variants"]["solid"]
    assert means["by_scene_and_angle"]["card"]["15"]["iou"] == iou


def test_thickness_of_a_scene_that_stands_still_does_not_change(orbit_scene):
    scene = load_scene(orbit_scene)
    assert thickness_spread(scene.clip, MeshOptions(mode="solid")) == 0.0
    extras = scene_extras(scene)
    assert extras.thickness_spread == 0.0
    assert extras.filled == 0.0


def test_the_ablation_covers_every_choice_with_true_and_perturbed_depth():
    rows = default_ablation()
    names = {v.name for v in (*main_variants(), *rows)}
    assert len(names) == len(main_variants()) + len(rows)
    assert all(v.angles_only for v in rows)
    assert {v.build for v in rows} == {"mesh", "removed", "points"}
    assert {v.perturbation for v in rows} == {"", "noise", "drift", "blur", "drift+blur"}
    assert {v.options.pixel_anchor for v in rows} == {"center", "corner"}
    assert {v.options.hide_caps for v in rows} == {True, False}
    assert len({v.options.min_angle_deg for v in rows}) >= 4
    assert {v.options.other_frames for v in rows} == {True, False}
