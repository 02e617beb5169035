from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from ex4d import Clip, Guides
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, engine_names, get_engine, list_engines
from ex4d.guides import render_guides
from ex4d.progress import CancelToken
from ex4d.trajectory import preset, source_times
from ex4d_ground import stages
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import Cancelled, MissingExtraError, SettingError, ShapeError

SIZE = 96
FRAMES = 7
LENS = Intrinsics.from_fov(SIZE, SIZE)
WALL, BALL = np.array([40, 90, 160]), np.array([220, 60, 20])


def make_clip(speed: float = 0.0) -> Clip:
    """A bluish wall with fine stripes, and an orange ball in front that moves by ``speed`` pixels a frame."""
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    depth = np.full((FRAMES, SIZE, SIZE), 8.0, np.float32)
    for t in range(FRAMES):
        ball = (x - 40 - speed * t) ** 2 + (y - 48) ** 2 < 16**2
        frames[t] = WALL + 12 * (x // 3 % 2)[..., None]
        frames[t][ball] = BALL
        depth[t][ball] = 3.0
    return Clip(frames, depth, LENS)


CLIP = make_clip()


def request(name: str = "orbit_right", *, amount: float = 30.0, clip: Clip = CLIP, depth: bool = True, **settings):
    move = preset(
        name,
        num_frames=FRAMES,
        intrinsics=LENS,
        near_depth=4.85,
        amount=amount,
        source_time=source_times("play", num_frames=FRAMES, num_source_frames=FRAMES),
    )
    return GenerateRequest(render_guides(DWMesh(clip), move), move, clip if depth else None, settings, seed=3)


def run(wanted: GenerateRequest, **options) -> np.ndarray:
    return get_engine("preview").generate(wanted, **options)


@pytest.mark.parametrize("fill", ["world", "background", "nearest", "none"])
@pytest.mark.parametrize("depth", [True, False])
def test_visible_pixels_are_kept_exactly(fill, depth):
    wanted = request(depth=depth, fill=fill)
    out = run(wanted)
    assert wanted.guides.coverage.min() < 0.9
    np.testing.assert_array_equal(out[wanted.guides.mask], wanted.guides.colour[wanted.guides.mask])
    assert out.shape == wanted.guides.colour.shape and out.dtype == np.uint8


@pytest.mark.parametrize("move", ["orbit_right", "orbit_left", "orbit_up"])
@pytest.mark.parametrize("depth", [True, False])
def test_holes_beside_an_object_take_the_wall_s_colours_not_the_object_s(move, depth):
    wanted = request(move, amount=20, depth=depth, softness=1.0)
    out = run(wanted).astype(float)
    for i in range(2, FRAMES):
        filled = out[i][~wanted.guides.mask[i]]
        orange = filled[:, 0] > filled[:, 2]
        assert orange.mean() < 0.03


def test_depth_carried_by_the_guides_serves_as_well_as_the_clip_s():
    wanted = request(amount=20)
    near = (wanted.guides.colour[..., 0] > 150) & wanted.guides.mask
    depth = np.where(near, 3.0, 8.0).astype(np.float32) * wanted.guides.mask
    out = run(replace(wanted, clip=None, guides=replace(wanted.guides, depth=depth))).astype(float)
    holes = out[2:][~wanted.guides.mask[2:]]
    assert (holes[:, 0] > holes[:, 2]).mean() < 0.03


@pytest.mark.parametrize("depth", [True, False])
def test_a_still_camera_over_a_still_picture_never_shimmers(depth):
    moving = request(amount=25, depth=depth)
    still = np.full(FRAMES, FRAMES - 1)
    move = moving.trajectory
    held = replace(
        moving,
        guides=Guides(moving.guides.colour[still], moving.guides.mask[still]),
        trajectory=replace(move, world_from_camera=move.world_from_camera[still], source_time=np.zeros(FRAMES)),
    )
    out = run(held)
    assert not moving.guides.mask[-1].all()
    assert (out == out[0]).all()


def test_background_seen_earlier_comes_back_where_the_subject_now_hides_it():
    """Mark one patch of the wall; the ball moves over it while the camera shows a hole there."""
    base = make_clip(speed=4.0)
    frames = base.frames.copy()
    wall = base.depth > 5
    patch = np.zeros((SIZE, SIZE), bool)
    patch[40:56, 66:78] = True
    frames[wall & patch] = [10, 230, 30]
    clip = replace(base, frames=frames)
    wanted = request("truck_right", amount=0.3, clip=clip)

    def greenish(out: np.ndarray) -> int:
        hole = ~wanted.guides.mask[-1]
        return int((hole & (out[-1, ..., 1].astype(int) > out[-1, ..., 2] + 40)).sum())

    remembered = greenish(run(replace(wanted, settings={"temporal": 0.9, "softness": 1.0})))
    forgotten = greenish(run(replace(wanted, settings={"temporal": 0.0, "softness": 1.0})))
    assert remembered > forgotten + 10


def test_temporal_blending_makes_the_fill_steadier():
    def change(temporal: float) -> float:
        wanted = request("orbit_right", amount=30, temporal=temporal, fill="background")
        out, hole = run(wanted).astype(float), ~wanted.guides.mask
        both = hole[3:] & hole[2:-1]
        return float(np.abs(np.diff(out[2:], axis=0))[both].mean())

    assert change(0.9) < change(0.0)


@pytest.mark.parametrize("depth", [True, False])
def test_the_number_of_threads_changes_no_byte(depth, monkeypatch):
    outcomes = []
    for threads in (1, 4):
        monkeypatch.setattr("ex4d.engines.preview_painter.thread_count", lambda n=threads: n)
        outcomes.append(run(request(depth=depth)))
    np.testing.assert_array_equal(*outcomes)


def test_the_same_request_gives_the_same_bytes():
    np.testing.assert_array_equal(run(request()), run(request()))


def test_frames_arrive_in_order_each_once_and_are_final():
    arrived: list[tuple[int, np.ndarray]] = []
    steps = []
    out = run(request(), on_frame=lambda i, f: arrived.append((i, f.copy())), on_progress=steps.append)
    assert [i for i, _ in arrived] == list(range(FRAMES))
    np.testing.assert_array_equal(np.stack([f for _, f in arrived]), out)
    painting = [s for s in steps if s.stage == stages.PREVIEW]
    assert [s.done for s in painting] == list(range(FRAMES + 1)) and {s.total for s in painting} == {FRAMES}


def test_cancel_stops_before_the_next_frame():
    token, seen = CancelToken(), []

    def stop(i: int, frame: np.ndarray) -> None:
        seen.append(i)
        if i == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        run(request(), on_frame=stop, cancel=token)
    assert seen == [0, 1, 2]


def test_marked_holes_are_tinted_and_visible_pixels_are_not():
    wanted = request(mark_holes=1.0)
    out = run(wanted)
    assert (out[~wanted.guides.mask] == [255, 0, 128]).all()
    np.testing.assert_array_equal(out[wanted.guides.mask], wanted.guides.colour[wanted.guides.mask])


def test_no_fill_leaves_holes_black():
    wanted = request(fill="none")
    assert (run(wanted)[~wanted.guides.mask] == 0).all()


@pytest.mark.parametrize("fill", ["world", "background", "nearest", "none"])
@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 2, 33), (2, 31, 17)])
@pytest.mark.parametrize("seen", [0.0, 0.5, 1.0])
def test_any_size_and_any_coverage_is_filled(fill, shape, seen):
    n, h, w = shape
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < seen
    colour = (rng.integers(0, 255, (*shape, 3)) * mask[..., None]).astype(np.uint8)
    lens = Intrinsics.from_fov(max(w, 2), max(h, 2))
    move = replace(
        preset("truck_right", num_frames=n, intrinsics=lens, near_depth=2.0), width=w, height=h
    )  # as small as a picture can be
    out = run(GenerateRequest(Guides(colour, mask), move, settings={"fill": fill}))
    assert out.shape == colour.shape
    np.testing.assert_array_equal(out[mask], colour[mask])


def test_bad_settings_and_shapes_are_refused_with_the_value():
    wanted = request()
    for settings, words in (({"fill": "magic"}, "'magic'"), ({"softness": 2}, "2"), ({"blur": 1}, "no setting 'blur'")):
        with pytest.raises(SettingError, match=words):
            run(replace(wanted, settings=settings))
    with pytest.raises(ShapeError, match="render the guides with this move"):
        run(replace(wanted, guides=Guides(wanted.guides.colour[:3], wanted.guides.mask[:3])))


def test_the_engine_says_that_it_is_a_preview():
    info = get_engine("preview").info()
    assert info.is_preview and info.available and info.licence == "Apache-2.0"
    assert {s.name for s in info.settings} == {"fill", "known_first", "softness", "temporal", "mark_holes", "planes"}
    assert all(s.help.endswith(".") and s.validated(s.default) == s.default for s in info.settings)


def test_every_engine_is_listed_even_where_its_extra_is_missing(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a))
    infos = {info.name: info for info in list_engines()}
    assert list(infos) == engine_names() == ["preview", "wan"]
    assert not infos["wan"].available and infos["wan"].remedy.values["command"] == "pip install '.[wan]'"
    assert infos["preview"].available
    with pytest.raises(MissingExtraError, match="torch not found"):
        get_engine("wan")


def test_an_unknown_engine_names_those_there_are():
    with pytest.raises(SettingError, match=r"'sora'.*preview, wan"):
        get_engine("sora")
