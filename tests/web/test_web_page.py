"""The web page in a real browser: against the guides of our own renderer, and without a request to anybody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium_page import Page, Seen, opened
from page_cases import drawn_while_playing, facts_of

from ex4d.clip import load_clip
from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.trajectory import preset
from ex4d.types import Clip
from ex4d.web import WebOptions, shot_source, write_page
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

EXAMPLES = Path(__file__).parents[2] / "examples"
DIRECTIONS = ("orbit_left", "orbit_right", "orbit_up", "orbit_down")


def one_view(move: Trajectory, i: int, t: int) -> Trajectory:
    return replace(
        move,
        world_from_camera=move.world_from_camera[[i]],
        intrinsics=move.intrinsics[[i]],
        source_time=np.array([float(t)]),
    )


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


def beside(mask: np.ndarray) -> np.ndarray:
    """Pixels that are true or touch one that is."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def shift_px(clip: Clip, t: int, disparity: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """How far each pixel's place in the view from ``pose`` is off, in pixels."""
    k = clip.intrinsics
    x, y = np.meshgrid((np.arange(k.width) + 0.5 - k.cx) / k.fx, (np.arange(k.height) + 0.5 - k.cy) / k.fy)

    def lands(w: np.ndarray) -> np.ndarray:
        point = (np.stack([x, y, np.ones_like(x)], axis=-1) / w[..., None] - pose[:3, 3]) @ pose[:3, :3]
        return point[..., :2] / point[..., 2:] * (k.fx, k.fy)

    return np.linalg.norm(lands(disparity) - lands(1 / clip.depth[t]), axis=-1)


def against_the_guide(page: Page, clip: Clip, mesh: DWMesh, name: str, t: int) -> tuple[Seen, np.ndarray]:
    """Look from 20 degrees: picture and depth meet their bars; what is seen, and where the solid guide shows."""
    move = preset(name, clip, amount=20)
    pose = move.world_from_camera[-1]
    off = shift_px(clip, t, page.disparity(), pose)
    assert off.mean() <= 0.1
    assert np.percentile(off, 99) <= 1.5
    guide = render_guides(mesh, one_view(move, -1, t), rasterizer="cpu")
    mask, view = guide.mask[0], page.seen(pose, clip.intrinsics)
    both = view.sure & mask
    assert decibels(view.colour[both], guide.colour[0][both]) >= 31
    return view, mask


def test_a_page_shows_what_the_solid_guide_shows_and_asks_for_nothing(small, chromium) -> None:
    clip, mesh, path = small
    with opened(chromium, path) as page:
        page.is_quiet()
        k = clip.intrinsics
        for t in (0, 4, 2):
            page.show(t)
            view = page.seen(np.eye(4), k)
            assert view.sure.all()
            assert np.abs(view.colour.astype(float) - clip.frames[t]).mean() <= 2
        for name in DIRECTIONS:
            view, guide = against_the_guide(page, clip, mesh, name, 2)
            assert (view.shown & guide).sum() > 0.98 * guide.sum(), "the page shows less than the guide"
            assert (view.sure & guide).sum() > 0.9 * guide.sum(), "the page puts too much in doubt"
            assert not (view.sure & ~beside(guide)).any(), "the page shows what the solid mesh hides"
        page.is_quiet()


def test_a_replay_shows_frame_and_pose_of_one_moment(small, chromium) -> None:
    """Every picture that is drawn while a move plays, also of one that stops the clip: pose i only with its frame."""
    path = small[2]
    facts = facts_of(path)
    with opened(chromium, path, width=160, height=160) as page:
        for number, replay in enumerate(facts["replays"], start=1):
            page.run(f"ex4d.replay({number})")
            drawn = drawn_while_playing(page)
            assert len({index for _, index, _ in drawn}) >= 3, "the move did not play"
            for frame, index, x in drawn:
                assert frame == replay["frames"][index]
                assert x == pytest.approx(replay["poses"][index][3], abs=1e-5)
        page.is_quiet()


def test_a_moving_camera_leaves_the_world_where_it_is(tmp_path, chromium) -> None:
    """What stands still in the world stays in a still view while the camera that filmed it goes by."""
    side, count = 96, 3
    k = Intrinsics.from_fov(side, side, 50)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = [0, 0.25, 0.5]
    columns = np.mgrid[:side, :side][1].astype(np.float32) + 0.5
    frames = []
    for pose in poses:  # a wall at depth 5 with stripes that are fixed to it
        x = (columns - k.cx) / k.fx * 5 + pose[0, 3]
        frames.append(np.repeat((128 + 90 * np.sin(6 * x))[..., None], 3, axis=2).astype(np.uint8))
    camera = SourceCamera.of(poses, k)
    clip = Clip(np.stack(frames), np.full((count, side, side), 5, np.float32), k, 10.0, "wall", source_camera=camera)
    path = write_page(tmp_path / "page", [shot_source(DWMesh(clip, MeshOptions(mode="solid")))], [])
    with opened(chromium, path) as page:
        page.is_quiet()
        views = []
        for t in range(count):
            page.show(t)
            views.append(page.seen(np.eye(4), k))
        for view in views[1:]:
            both = view.sure & views[0].sure
            assert 0.5 < both.mean() < 1, "it does not stand where it was filmed"
            assert np.abs(view.colour[both].astype(float) - views[0].colour[both]).mean() <= 3


def test_a_telephone_walks_by_touch_up_to_the_limit_and_without_motion(small, chromium) -> None:
    """A finger that goes on turns the view until the page says that there is no more; nothing glides afterwards."""
    phone = {"has_touch": True, "is_mobile": True, "device_scale_factor": 3, "reduced_motion": "reduce"}
    with opened(chromium, small[2], width=360, height=640, **phone) as page:
        page.is_quiet()
        assert page.run("ex4d.walk.orbit.enableDamping") is False
        assert page.run("document.documentElement.scrollWidth") <= 360, "it is cut off at the side"
        assert page.run("document.querySelector('footer').getBoundingClientRect().bottom") <= 640
        assert page.run("document.getElementById('view').width") == 720, "more than two pixels of a pixel are wasted"
        box = "document.querySelector('{}').getBoundingClientRect().{}"
        assert page.run(box.format("header p", "right")) <= page.run(box.format("#limit", "left")), "words are covered"
        finger = page.page.context.new_cdp_session(page.page)
        for _ in range(4):
            finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 20, "y": 250}]})
            for x in range(60, 341, 40):
                finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": 250}]})
            finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert page.run("-ex4d.walk.angles()[0]") == pytest.approx(page.run("ex4d.facts.limits.left"), abs=0.3)
        page.page.wait_for_selector("body.at-limit")
        page.is_quiet()


def test_without_webgl_2_one_sentence_says_so(small, chromium) -> None:
    none = """const get = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind.startsWith("webgl") ? null : get.call(this, kind, ...more);
      };"""
    with opened(chromium, small[2], first=none) as page:
        assert not page.works
        assert "needs WebGL 2" in page.page.inner_text("#failed")
        assert page.asked == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_example_clip_as_a_page_meets_every_bar(tmp_path, chromium) -> None:
    clip = load_clip(EXAMPLES / "clip.mp4", EXAMPLES / "depth.npz")
    mesh = DWMesh(clip, MeshOptions(mode="solid"))
    path = write_page(tmp_path / "page", [shot_source(mesh)], [], WebOptions(side=512))
    assert path.stat().st_size <= 2_000_000
    with opened(chromium, path) as page:
        for t in (0, 24, 48):
            page.show(t)
            view = page.seen(np.eye(4), clip.intrinsics)
            assert view.sure.all()
            assert np.abs(view.colour.astype(float) - clip.frames[t]).mean() <= 2
            for name in DIRECTIONS:
                view, guide = against_the_guide(page, clip, mesh, name, t)
                assert (view.shown & guide).sum() > 0.98 * guide.sum()
                assert (view.sure & guide).sum() > 0.91 * guide.sum()
                assert not (view.sure & ~beside(guide)).any(), "the page shows what the solid mesh hides"
        page.is_quiet()
