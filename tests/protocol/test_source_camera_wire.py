"""The camera that filmed on the wire: whole, absent where it stood still, and said otherwise to older servers."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ex4d_ground.errors import ShapeError, TrajectoryError
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.takes import describe, source_camera_from, source_camera_record
from ex4d_protocol import minors
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.live import LiveView
from ex4d_protocol.requests import (
    BuildMesh,
    Generate,
    MeshSpec,
    ObjectSpec,
    RenderGuides,
    SolveCamera,
    SourceCameraSpec,
)
from protocol.examples import BLOB, CLIP
from protocol.filmed_clips import FILMED, LENS, NEW, OLD, ZOOMED, camera, move

replace = msgspec.structs.replace


def test_a_camera_travels_whole_and_one_that_stands_still_not_at_all():
    spec = SourceCameraSpec.of(camera())
    assert spec is not None
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=SourceCameraSpec).unpack()
    np.testing.assert_array_equal(again.world_from_camera, camera().world_from_camera)
    np.testing.assert_array_equal(again.intrinsics, camera().intrinsics)
    assert (again.width, again.height, again.origin) == (320, 200, "tracked")
    assert SourceCameraSpec.of(SourceCamera.still(5, LENS)) is None and SourceCameraSpec.of(None) is None
    assert b"source_camera" not in msgspec.msgpack.encode(CLIP)


def test_what_is_no_camera_is_refused_by_name():
    spec = FILMED.source_camera
    assert spec is not None
    with pytest.raises(ShapeError, match="intrinsics has 8 bytes"):
        replace(spec, intrinsics=bytes(8)).unpack()
    with pytest.raises(TrajectoryError, match="frame 1 is not rigid"):
        replace(spec, world_from_camera=bytes(5 * 128)).unpack()


@pytest.mark.parametrize("welcome", [NEW, None])
def test_a_server_that_knows_it_gets_it(welcome):
    request = RenderGuides(clip=FILMED, trajectory=move())
    assert minors.adapted(request, welcome) is request
    minors.require(request, NEW)


def test_an_older_server_is_told_each_camera_relative_to_the_one_that_filmed_its_frame():
    request = RenderGuides(clip=FILMED, trajectory=move())
    told = minors.adapted(request, OLD)
    assert told.clip == CLIP
    minors.require(told, OLD)
    positions = told.trajectory.unpack().world_from_camera[:, 0, 3]
    assert positions.tolist() == [0.0, -0.5, -1.0]
    view = LiveView(view="v", sequence=1, clip=FILMED, trajectory=move())
    assert minors.adapted(view, OLD).trajectory == told.trajectory
    assert minors.adapted(BuildMesh(clip=FILMED), OLD) == BuildMesh(clip=CLIP)
    bare = RenderGuides(clip=CLIP, trajectory=move())
    assert minors.adapted(bare, OLD) is bare


def test_memory_of_a_camera_that_stood_still_is_left_out_for_a_server_that_knows_none():
    """It shows no more than other frames do. A take says what it was made with, so it is refused."""
    first = replace(OLD, minor=1)
    with_it, without = (
        MeshSpec(options=MeshOptions(mode="solid", other_frames=True, world_memory=memory)) for memory in (True, False)
    )
    view = LiveView(view="v", sequence=1, clip=CLIP, trajectory=move(), mesh=with_it)
    guides = RenderGuides(clip=CLIP, trajectory=move(), mesh=with_it)
    for request in (view, guides):
        assert minors.adapted(request, first) == replace(request, mesh=without)
        minors.require(minors.adapted(request, first), first)
        assert minors.adapted(request, OLD) is request
    take = Generate(clip=CLIP, trajectory=move(), engine="preview", mesh=with_it)
    with pytest.raises(RequestRefused, match="world memory"):
        minors.require(minors.adapted(take, first), first)


@pytest.mark.parametrize(
    "request_",
    [
        RenderGuides(clip=ZOOMED, trajectory=move()),
        RenderGuides(clip=FILMED, trajectory=move(), objects=(ObjectSpec(vertices=BLOB, faces=BLOB),)),
        RenderGuides(
            clip=FILMED, trajectory=move(), mesh=MeshSpec(options=MeshOptions(mode="solid", other_frames=True))
        ),
        Generate(clip=FILMED, trajectory=move(), engine="preview"),
        BuildMesh(clip=ZOOMED),
    ],
    ids=["zoom", "objects", "other frames", "take", "grid of a zoom"],
)
def test_what_an_older_server_cannot_be_told_is_refused(request_):
    told = minors.adapted(request_, OLD)
    assert told is request_
    with pytest.raises(RequestRefused, match=r"would leave out how the filming camera moved, new in 1\.3"):
        minors.require(told, OLD)


def test_an_older_server_estimates_no_camera():
    with pytest.raises(RequestRefused, match="would leave out estimating how the filming camera moved"):
        minors.require(SolveCamera(clip=CLIP), OLD)


def test_a_move_past_the_end_of_the_camera_is_refused_in_a_sentence():
    past = replace(move(), source_time=np.array([0.0, 2.0, 9.0]).tobytes())
    with pytest.raises(RequestRefused, match="shows source frame 10, the source camera has 5 frames"):
        minors.adapted(RenderGuides(clip=FILMED, trajectory=past), OLD)


def test_a_take_notes_the_camera_and_reads_it_again():
    record = source_camera_record(camera(zoom=True))
    info = replace(describe("preview"), clip={"source_camera": msgspec.json.decode(msgspec.json.encode(record))})
    again = info.source_camera
    assert again is not None and again.origin == "tracked"
    np.testing.assert_array_equal(again.intrinsics, camera(zoom=True).intrinsics)
    assert describe("preview").source_camera is None
    with pytest.raises(TrajectoryError, match="damaged"):
        source_camera_from({"width": 3})
