from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from analytic import look, write_scene

from ex4d.eval import (
    Variant,
    angle_table,
    default_ablation,
    evaluate,
    evaluate_variants,
    find_scenes,
    load_scene,
    summarise,
    write_evaluation,
)
from ex4d.eval.extras import scene_extras
from ex4d_ground.errors import ClipError, DepthError, InputError, TrajectoryError
from ex4d_ground.options import MeshOptions


def test_scenes_come_back_as_they_were_written(card_scene):
    scene = load_scene(card_scene)
    slide = look([(0, 0, 0), (0.6, 0, 0), (1.2, 0, 0)])
    target = scene.targets[0]
    assert [t.name for t in scene.targets] == ["slide", "nearer"]
    assert np.array_equal(target.frames, slide.frames)
    assert np.array_equal(target.depth, slide.depth)
    assert np.allclose(target.trajectory.world_from_camera, slide.trajectory.world_from_camera)
    assert target.truth is not None and 0.5 < target.truth.visible[-1].mean() < 1


def test_targets_are_relative_to_the_source_of_the_same_moment(tmp_path):
    """A source that moves: its own path is taken off, so a target that moves along has not moved at all."""
    path = [(0, 0, 0), (0.5, 0, 0), (1.0, 0, 0)]
    scene = load_scene(write_scene(tmp_path / "moving", look(path), {"along": look(path)}))
    assert np.allclose(scene.targets[0].trajectory.world_from_camera, np.eye(4))
    assert scene.targets[0].truth is not None and scene.targets[0].truth.visible.all()


def test_other_frames_of_a_source_that_moves_fill_in_by_its_known_motion(tmp_path):
    path = [(0.25 * t - 1.2, 0, 0.04 * t) for t in range(10)]
    beside = [(x + 2.0, y, z + 0.3) for x, y, z in path]
    folder = write_scene(tmp_path / "moving", look(path), {"orbit": look(beside, yaws_deg=[-15.0] * 10)}, kind="orbit")
    scene = load_scene(folder)
    assert scene.clip.moving_camera is not None
    extras = scene_extras(scene)
    assert not extras.unavailable
    assert extras.filled > 0.01 and extras.filled_right > 0.95
    still = load_scene(write_scene(tmp_path / "still", look(path[:1] * 3), {"along": look(path[:3])}))
    assert still.clip.moving_camera is None


def test_a_wall_alone_is_reproduced_where_the_source_saw_it(tmp_path):
    source = look([(0, 0, 0)] * 2, card=False)
    nearer = look([(0, 0, 0), (0, 0, 2.0)], card=False)
    scene = load_scene(write_scene(tmp_path / "wall", source, {"nearer": nearer}))
    (score,) = evaluate_variants(scene, [Variant("endless")])
    last = score.frames[-1]
    assert last.iou == 1.0 and last.false_visible == 0.0
    assert last.psnr > 45 and last.ssim > 0.99
    assert last.reprojection_px < 0.2


def test_the_corner_anchor_shows_up_as_half_a_pixel_of_reprojection_error(tmp_path):
    source = look([(0, 0, 0)] * 2, card=False)
    scene = load_scene(write_scene(tmp_path / "wall", source, {"same": source}))
    rows = evaluate_variants(scene, [Variant("center"), Variant("corner", MeshOptions(pixel_anchor="corner"))])
    center, corner = (r.frames[-1].reprojection_px for r in rows)
    assert center < 0.2
    assert corner == pytest.approx(np.hypot(0.5, 0.5), abs=0.15)


def test_endless_walls_hide_what_removed_faces_show(card_scene):
    """Behind a card the endless mesh hides the wall; without its occluded faces the wall shows."""
    scene = load_scene(card_scene)
    endless, removed = evaluate_variants(scene, [Variant("endless"), Variant("removed", build="removed")])
    a, b = (next(f for f in s.frames if f.target == "slide" and f.frame == 2) for s in (endless, removed))
    assert a.recall < b.recall
    assert a.iou < b.iou


def test_a_variant_that_cannot_be_built_says_why(card_scene):
    scene = load_scene(card_scene)
    impossible = Variant("nothing", build="lace")  # type: ignore[arg-type]
    (score,) = evaluate_variants(scene, [impossible])
    assert not score.frames and "lace" in score.unavailable


def test_perturbed_depth_scores_lower_than_true_depth(card_scene):
    scene = load_scene(card_scene)
    true, noisy = evaluate_variants(scene, [Variant("endless"), Variant("noisy", perturbation="noise")])
    assert (
        summarise(noisy)["by_scene"]["card"]["reprojection_px"] > summarise(true)["by_scene"]["card"]["reprojection_px"]
    )


def test_the_report_and_the_json_hold_the_measured_numbers(card_scene, tmp_path):
    evaluation = evaluate(card_scene.parent, [Variant("endless"), Variant("points", build="points")], title="A & B")
    json_path, html_path = write_evaluation(evaluation, tmp_path / "out")
    data, page = json.loads(json_path.read_text()), html_path.read_text()
    summary = data["variants"]["endless"]["summary"]["by_kind"]["slide"]
    measured = [f.iou for f in evaluation.scores[0].frames if f.target == "slide" and f.frame > 0]
    assert summary["iou"] == pytest.approx(np.mean(measured))
    assert f"<td>{summary['iou']:.3f}</td>" in page
    assert f"<td>{summary['psnr']:.2f}</td>" in page
    assert "A &amp; B" in page
    assert len(re.findall(r"data:image/png;base64,[A-Za-z0-9+/]{1000,}", page)) == 4
    assert len(re.findall(r"data:image/jpeg;base64,[A-Za-z0-9+/]{500,}", page)) == 2
    assert "http" not in re.sub(r"data:image/[^']*", "", page)


def test_orbits_fill_the_tables_by_angle_and_range(tmp_path):
    source = look([(0, 0, 0)] * 2)
    turned = look([(0, 0, 0)] * 2)
    a = np.radians(30)
    poses = turned.trajectory.world_from_camera.copy()
    poses[1, :3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    turned = replace(turned, trajectory=replace(turned.trajectory, world_from_camera=poses))
    scene = load_scene(write_scene(tmp_path / "turn", source, {"pan": turned}, kind="orbit"))
    assert scene.targets[0].angle_deg == pytest.approx([0, 30])
    scores = evaluate_variants(scene, [Variant("endless")])
    summary = summarise(scores[0])
    assert list(summary["by_angle"]) == ["30"]
    assert list(summary["by_range"]) == ["small (30)", "full (+-90)"]
    assert f"{summary['by_angle']['30']['iou']:.3f}" in angle_table(scores).text()


def test_the_ablation_names_every_row_once():
    names = [v.name for v in default_ablation()]
    assert len(names) == len(set(names)) >= 12


def test_a_folder_without_scenes_is_told(tmp_path):
    with pytest.raises(ClipError, match=r"scene\.json"):
        find_scenes(tmp_path)


def test_damaged_scenes_are_told_with_the_file(card_scene):
    (card_scene / "source" / "depth.npz").rename(card_scene / "source" / "kept.npz")
    with pytest.raises(DepthError, match=r"depth\.npz"):
        load_scene(card_scene)
    (card_scene / "source" / "kept.npz").rename(card_scene / "source" / "depth.npz")
    np.savez(card_scene / "slide" / "truth.npz", visible=np.ones((1, 2, 2), bool), unknowable=np.ones((1, 2, 2), bool))
    with pytest.raises(InputError, match=r"truth\.npz"):
        load_scene(card_scene)
    (card_scene / "slide" / "truth.npz").unlink()
    (card_scene / "slide" / "camera.npz").unlink()
    with pytest.raises(ClipError, match="camera"):
        load_scene(card_scene)
    (card_scene / "scene.json").write_text("{")
    with pytest.raises(ClipError, match="JSON"):
        load_scene(card_scene)


def test_a_target_outside_the_source_time_is_told(tmp_path):
    source = look([(0, 0, 0)] * 2)
    late = replace(source, trajectory=replace(source.trajectory, source_time=np.array([0.0, 5.0])))
    folder = write_scene(tmp_path / "late", source, {"late": late})
    with pytest.raises(TrajectoryError, match="source frame 6"):
        load_scene(folder)


def test_target_names_cannot_leave_the_scene_folder(card_scene):
    (card_scene / "scene.json").write_text(json.dumps({"targets": ["../../elsewhere"]}))
    with pytest.raises(ClipError, match="plain folder name"):
        load_scene(card_scene)
