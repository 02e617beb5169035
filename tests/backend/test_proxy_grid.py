"""A proxy grid over the wire: what is sent of it, and what edits of it change in the guides."""

from __future__ import annotations

import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, poses
from backend.test_jobs import picture, run
from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d_ground.grids import grid_of
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.requests import BuildMesh, MeshEdit, MeshSpec, RenderGuides

SIDE = 20


def on_grid(values: np.ndarray) -> np.ndarray:  # [H * W, 3] -> [grid vertices, 3]
    grid = grid_of(WIDTH, HEIGHT, SIDE)
    return values.reshape(HEIGHT, WIDTH, *values.shape[1:])[grid.rows[:, None], grid.columns].reshape(
        -1, *values.shape[1:]
    )


def test_a_proxy_grid_is_sent_with_the_vertices_of_the_mesh(client, send_clip, local_mesh):
    items = run(client, BuildMesh(clip=send_clip(client), mesh=MeshSpec(grid_side=SIDE)))
    info, grid = items["clip_info", -1].json(), grid_of(WIDTH, HEIGHT, SIDE)
    assert (info["width"], info["height"], info["grid_side"]) == (WIDTH, HEIGHT, SIDE)
    assert items["faces", -1].array().shape == (grid.num_faces, 3) and info["num_faces"] == grid.num_faces
    for t in range(FRAMES):
        np.testing.assert_array_equal(items["vertices", t].array(), on_grid(local_mesh.vertices(t)))
        np.testing.assert_array_equal(picture(items["colour", t]), local_mesh.clip.frames[t])
        assert picture(items["visible", t]).shape == (grid.height, grid.width)
    full, whole = (run(client, BuildMesh(clip=send_clip(client), mesh=MeshSpec(grid_side=side))) for side in (WIDTH, 0))
    assert full["clip_info", -1].json()["grid_side"] == 0
    for t in range(FRAMES):
        assert bytes(full["visible", t].data) == bytes(whole["visible", t].data)


def test_edits_of_a_proxy_grid_reach_the_full_mesh_and_the_grid(client, send_clip, local_mesh):
    def sent(values):
        return client.wait_uploaded(client.upload(np.ascontiguousarray(values).tobytes()), 120).ref

    moved = local_mesh.vertices(2) * np.float32(1.25)
    flags = np.full(grid_of(WIDTH, HEIGHT, SIDE).num_faces, 2, np.int8)
    edits = (MeshEdit(frame=2, positions=sent(on_grid(moved))), MeshEdit(frame=1, face_flags=sent(flags)))
    clip, spec = send_clip(client), MeshSpec(grid_side=SIDE, edits=edits)
    shown = run(client, BuildMesh(clip=clip, mesh=spec))
    np.testing.assert_array_equal(shown["vertices", 2].array(), on_grid(moved))
    assert not picture(shown["visible", 1]).any() and picture(shown["visible", 0]).any()
    camera = poses(FRAMES, step=0.1)
    guides = run(client, RenderGuides(clip=clip, trajectory=camera, mesh=spec))
    edited = DWMesh(
        local_mesh.clip, vertex_overrides={2: moved}, face_flags={1: np.full(len(local_mesh.faces), 2, np.int8)}
    )
    wanted = render_guides(edited, camera.unpack())
    for i in range(FRAMES):
        off = np.abs(picture(guides["colour", i]).astype(int) - wanted.colour[i])
        assert off.max() <= 1 and (off > 0).mean() < 0.01, f"frame {i}"
    with pytest.raises(JobFailed, match="do not fit a proxy grid of 20x"):
        wrong = (MeshEdit(frame=2, positions=sent(moved)),)
        run(client, RenderGuides(clip=clip, trajectory=camera, mesh=MeshSpec(grid_side=SIDE, edits=wrong)))


def test_guides_without_edits_are_the_same_bytes_whatever_the_grid(client, send_clip):
    clip, camera = send_clip(client), poses(3, step=0.2)
    plain, proxied = (
        run(client, RenderGuides(clip=clip, trajectory=camera, mesh=MeshSpec(grid_side=side))) for side in (0, SIDE)
    )
    for i in range(3):
        for what in ("colour", "mask"):
            assert bytes(plain[what, i].data) == bytes(proxied[what, i].data)
