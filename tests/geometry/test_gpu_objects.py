"""Objects beside the mesh and live views on the device, against the CPU's and against whole clips.

They need a CUDA device; ``TRITON_INTERPRET=1 pytest -m gpu tests/geometry/test_gpu_objects.py`` runs them in Python.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.guides import FrameRenderer, GuideObject, render_guides
from ex4d.guides.objects import with_objects
from ex4d.raster import Camera, choose_rasterizer
from ex4d.types import Guides
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import MeshOptions

from .conftest import INTERPRETED, ON_DEVICE, make_clip, make_trajectory, usable_rasterizer
from .source_cameras import travelling, zooming
from .test_objects import BOX_FACES, RED, box, front_square, red

pytestmark = ON_DEVICE
SOLID = MeshOptions(mode="solid", sharpen_edges="off", steady_depth="off")
MODES = [MeshOptions(), MeshOptions(hidden_by="face"), SOLID]
SIZE = (12, 16) if INTERPRETED else (96, 128)
every_mode = pytest.mark.parametrize("options", MODES, ids=["endless", "by face", "solid"])


@pytest.fixture(params=["triton", "nvdiffrast"])
def name(request: pytest.FixtureRequest) -> str:
    usable_rasterizer(request.param)
    return request.param


def shot(options: MeshOptions, frames: int = 3) -> tuple[DWMesh, Trajectory, list[GuideObject]]:
    """A box with colour that moves, one that waits through a lead-in, and a holdout, all before the scene."""
    clip = make_clip(frames=frames, height=SIZE[0], width=SIZE[1])
    places = np.stack([box(2.0, 0.3, x) for x in np.linspace(-0.6, 0.2, frames)])
    moving = GuideObject(places, BOX_FACES, red(places[0]))
    led = GuideObject(places[1:] + np.float32((0.3, 0.5, 0.15)), BOX_FACES[:, ::-1].copy(), red(places[0])).after(1)
    return DWMesh(clip, options), make_trajectory(clip), [moving, led, GuideObject(box(1.7, 0.2, 0.4), BOX_FACES)]


@every_mode
def test_objects_are_drawn_as_on_the_cpu(options: MeshOptions, name: str) -> None:
    mesh, trajectory, objects = shot(options)
    alone, beside = (
        [render_guides(mesh, trajectory, rasterizer=r, objects=each) for r in (name, "cpu")] for each in ((), objects)
    )
    assert [guides.rasterizer for guides in beside] == [name, "cpu"]
    drawn, wanted = beside
    assert 0.1 < wanted.mask.mean() < 0.98
    assert (alone[1].mask != wanted.mask).any()
    # Where two surfaces lie at one depth either may win: such samples differ without the objects as well.
    differ = (drawn.mask != wanted.mask) & (alone[0].mask == alone[1].mask)
    assert differ.mean() <= (2e-4 if name == "triton" else 0.03)
    both = drawn.mask & wanted.mask
    error = np.abs(drawn.colour[both].astype(int) - wanted.colour[both])
    assert error.mean() <= (0.01 if name == "triton" else 4.0)


@every_mode
def test_a_holdout_is_a_hole_and_a_colour_is_exact(options: MeshOptions) -> None:
    usable_rasterizer("triton")
    mesh, _, _ = shot(options)
    clip, vertices = mesh.clip, box(2.0)
    trajectory = make_trajectory(clip, np.tile(np.eye(4), (3, 1, 1)))
    before = render_guides(mesh, trajectory, rasterizer="triton")
    covered = front_square(clip, vertices)
    for colours in (None, red(vertices)):
        objects = [GuideObject(vertices, BOX_FACES, colours)]
        after = render_guides(mesh, trajectory, rasterizer="triton", objects=objects)
        assert (after.mask[:, covered] == (colours is not None)).all()
        assert (after.colour[:, covered] == (0 if colours is None else RED)).all()
        np.testing.assert_array_equal(after.colour[:, ~covered], before.colour[:, ~covered])
        np.testing.assert_array_equal(after.mask[:, ~covered], before.mask[:, ~covered])


@every_mode
def test_joined_surfaces_have_the_cpu_s_vertices_and_faces(options: MeshOptions) -> None:
    from ex4d.guides.gpu_objects import DeviceObjects
    from ex4d.raster.gpu.batch import CameraBatch
    from ex4d.surface.batch import SurfaceBatch
    from ex4d_ground.options import RasterOptions

    device = usable_rasterizer("triton").device
    mesh, trajectory, objects = shot(options)
    cameras = [Camera.of(trajectory, i) for i in range(3)]
    plain = mesh.surface(0)  # of one topology, so that what is joined begins at the same place in each
    batch = SurfaceBatch.of([plain] * 3, device)
    joined = DeviceObjects(objects, device).join(batch, CameraBatch.of(cameras, RasterOptions(), device), range(3))
    for i, camera in enumerate(cameras):
        wanted = with_objects(plain, objects, i, camera)
        np.testing.assert_array_equal(joined.vertices[i].cpu().numpy(), wanted.vertices)
        np.testing.assert_array_equal(joined.colors[i].cpu().numpy(), wanted.colors)
        np.testing.assert_array_equal(joined.faces[i if len(joined.faces) > 1 else 0].cpu().numpy(), wanted.faces)


@every_mode
def test_a_live_view_is_the_clip_s_picture(options: MeshOptions, name: str) -> None:
    mesh, trajectory, objects = shot(options)
    with FrameRenderer(mesh, rasterizer=name) as live:
        assert live.choice.name == name
        for beside in ((), objects):
            whole = render_guides(mesh, trajectory, rasterizer=name, objects=beside)
            for i in (2, 0, 1, 1):
                colour, mask = live.render(i, Camera.of(trajectory, i), beside, index=i)
                np.testing.assert_array_equal(colour, whole.colour[i])
                np.testing.assert_array_equal(mask, whole.mask[i])


def test_live_objects_that_changed_are_uploaded_again() -> None:
    usable_rasterizer("triton")
    mesh, trajectory, objects = shot(MeshOptions())
    moved = [replace(each, vertices=each.vertices + np.float32((0.2, 0, 0))) for each in objects]
    with FrameRenderer(mesh, rasterizer="triton") as live:
        for beside in (objects, moved, objects[:1]):
            _, mask = live.render(0, Camera.of(trajectory, 0), beside)
            whole = render_guides(mesh, trajectory, rasterizer="triton", objects=beside)
            np.testing.assert_array_equal(mask, whole.mask[0])


@pytest.mark.skipif(INTERPRETED, reason="the interpreter is not chosen by itself")
def test_auto_is_triton_here() -> None:
    usable_rasterizer("triton")
    mesh, trajectory, objects = shot(MeshOptions())
    assert choose_rasterizer().name == "triton"
    assert render_guides(mesh, trajectory, objects=objects).rasterizer == "triton"
    with FrameRenderer(mesh) as live:
        assert live.choice.name == "triton"


def assert_drawn_alike(device: Guides, cpu: Guides, name: str) -> None:
    one, other = (np.asarray(guides.mask) for guides in (device, cpu))
    assert other.any()
    assert (one != other).mean() <= (2e-3 if name == "triton" else 0.03)
    both = one & other
    error = np.abs(np.asarray(device.colour)[both].astype(int) - np.asarray(cpu.colour)[both])
    assert error.mean() <= (0.05 if name == "triton" else 4.0)


@every_mode
def test_before_a_source_camera_that_moved_they_and_the_mesh_are_drawn_as_on_the_cpu(
    options: MeshOptions, name: str
) -> None:
    mesh, trajectory, objects = shot(options)
    moving = DWMesh(travelling(mesh.clip), options)
    device, cpu = (render_guides(moving, trajectory, rasterizer=r, objects=objects) for r in (name, "cpu"))
    still = render_guides(mesh, trajectory, rasterizer=name, objects=objects)
    assert_drawn_alike(device, cpu, name)
    assert (np.asarray(device.colour) != still.colour).any()
    with FrameRenderer(moving, rasterizer=name) as live:
        camera = Camera.of(moving.clip.seen_by_source(trajectory), 1)
        colour, _ = live.render(1, camera, objects, index=1)
    np.testing.assert_array_equal(colour, device.colour[1])


def test_a_zoom_is_drawn_as_on_the_cpu(name: str) -> None:
    clip = zooming(height=SIZE[0], width=SIZE[1])
    move = make_trajectory(clip)
    for options in (MeshOptions(), SOLID):
        device, cpu = (render_guides(DWMesh(clip, options), move, rasterizer=r) for r in (name, "cpu"))
        assert_drawn_alike(device, cpu, name)
