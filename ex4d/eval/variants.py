"""What is compared: ways to turn a clip into a surface, each with a name for tables and reports."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.eval.perturb import PERTURBATIONS, perturbed
from ex4d.surface import Surface
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions

Build = Literal["mesh", "removed", "points"]
SurfaceOf = Callable[[int], Surface]


@dataclass(frozen=True)
class Variant:
    """One row of an ablation.

    ``angles_only`` measures the frames of orbits that the table by angle is made of, and no other: for long tables.
    ``build``: "mesh" is the library's own DW-mesh with ``options``; "removed" drops its occluded faces; "points" draws
    every pixel as a square of its own at its depth. ``perturbation`` names a fault of :mod:`ex4d.eval.perturb`.
    """

    name: str
    options: MeshOptions = field(default_factory=MeshOptions)
    build: Build = "mesh"
    perturbation: str = ""
    seed: int = 0
    angles_only: bool = False


def surfaces(variant: Variant, clip: Clip) -> SurfaceOf:
    """A function from source frame to surface. Raises SettingError if this version cannot build the variant."""
    if variant.perturbation:
        clip = replace(clip, depth=perturbed(np.asarray(clip.depth), variant.perturbation, seed=variant.seed))
    if variant.build == "points":
        return lambda t: point_squares(clip, t)
    mesh = DWMesh(clip, variant.options)
    if variant.build == "removed":
        return lambda t: without_occluded(mesh, t)
    if variant.build == "mesh":
        return mesh.surface
    raise SettingError(f"A variant is built as mesh, removed or points, got {variant.build!r}.")


def without_occluded(mesh: DWMesh, t: int) -> Surface:
    """The grid's visible faces alone, opaque to the last vertex: what is behind an object shows through its rim."""
    colors = mesh.colors(t).copy()
    colors[:, 3] = 255
    faces = mesh.faces[~mesh.face_occluded(t)]
    return Surface(mesh.vertices(t), colors, np.ascontiguousarray(faces))


def point_squares(clip: Clip, t: int) -> Surface:
    """Every pixel as two triangles that face the source camera and fill the pixel exactly there."""
    height, width = clip.height, clip.width
    k = clip.lens(t)
    row, column = np.mgrid[0:height, 0:width].reshape(2, -1).astype(np.float32)
    depth = clip.depth[t].reshape(-1)
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    vertices = np.empty((height * width, 4, 3), np.float32)
    for i, (dx, dy) in enumerate(corners):
        vertices[:, i] = np.stack(
            [(column + dx - k.cx) / k.fx * depth, (row + dy - k.cy) / k.fy * depth, depth], axis=1
        )
    colors = np.full((height * width, 4, 4), 255, np.uint8)
    colors[..., :3] = clip.frames[t].reshape(-1, 1, 3)
    first = (4 * np.arange(height * width, dtype=np.int32))[:, None, None]
    faces = first + np.array([[0, 2, 1], [1, 2, 3]], np.int32)
    return Surface(vertices.reshape(-1, 3), colors.reshape(-1, 4), np.ascontiguousarray(faces.reshape(-1, 3)))


def with_source_coordinates(surface: Surface, clip: Clip, t: int, *, vertex_is_pixel: bool) -> Surface:
    """The same surface of frame ``t``, its red and green being the x and y of the source point whose colour it shows.

    Both are shares of the picture's width and height. ``vertex_is_pixel``: the first vertices carry the colours of
    the clip's pixels in order, wherever their anchor lies; any further ones lie on the ray of what they show, and so
    do all of a solid mesh, whose grid has a ring around the picture.
    """
    shares = _projected_shares(surface.vertices, clip.lens(t))
    ringed = surface.grid_height == clip.height + 2
    if vertex_is_pixel and not ringed:
        row, column = np.mgrid[0 : clip.height, 0 : clip.width].reshape(2, -1) + 0.5
        shares[: clip.height * clip.width] = np.stack([column / clip.width, row / clip.height], axis=1)
    colors = surface.colors.copy()
    colors[:, :2] = np.round(255 * shares.clip(0, 1)).astype(np.uint8)
    return replace(surface, colors=colors)


def _projected_shares(vertices: Float32, k: Intrinsics) -> Float32:  # [V, 2]
    z = np.maximum(vertices[:, 2], 1e-6)
    x = (vertices[:, 0] / z * k.fx + k.cx) / k.width
    y = (vertices[:, 1] / z * k.fy + k.cy) / k.height
    return np.stack([x, y], axis=1).astype(np.float32)


def main_variants() -> tuple[Variant, ...]:
    """What is compared in full: our default, our endless mesh, the published program."""
    return (
        Variant("solid", MeshOptions(mode="solid")),
        Variant("endless"),
        Variant("published (parity)", MeshOptions.ex4d_parity()),
    )


def default_ablation() -> tuple[Variant, ...]:
    """The table that says what each choice is worth, after :func:`main_variants`; measured at the table's angles."""
    endless, solid = MeshOptions(), MeshOptions(mode="solid")
    rows = [
        Variant("removed", build="removed"),
        Variant("points", build="points"),
        *(Variant(f"solid, {s:.0%} of depth", structs.replace(solid, thickness=s)) for s in (0.0, 0.05, 0.1)),
        Variant("solid, other frames", structs.replace(solid, other_frames=True)),
        Variant("solid, corner", structs.replace(solid, pixel_anchor="corner")),
        *(Variant(f"solid, jump {j:g}", structs.replace(solid, edge_jump=j)) for j in (0.005, 0.02, 0.05)),
        *(Variant(f"solid, angle {a:g} deg", structs.replace(solid, min_angle_deg=a)) for a in (1.0, 5.0, 10.0)),
        Variant("endless, corner", structs.replace(endless, pixel_anchor="corner")),
        Variant("endless, hidden by face", structs.replace(endless, hidden_by="face")),
        *(Variant(f"endless, angle {a:g} deg", structs.replace(endless, min_angle_deg=a)) for a in (1.0, 5.0, 10.0)),
        *(Variant(f"endless, border {b:g}", structs.replace(endless, border_depth=b)) for b in (40.0, 1000.0)),
        Variant("endless, caps shown", structs.replace(endless, hide_caps=False)),
    ]
    for fault in PERTURBATIONS:
        rows += [
            Variant(f"solid, {fault}", solid, perturbation=fault),
            Variant(f"endless, {fault}", endless, perturbation=fault),
        ]
    as_given = structs.replace(solid, sharpen_edges="off", steady_depth="off")
    unsharpened = structs.replace(solid, sharpen_edges="off")
    unsteadied = structs.replace(solid, steady_depth="off")
    rows += [
        Variant("solid as given, drift+blur", as_given, perturbation="drift+blur"),
        Variant("solid not sharpened, drift+blur", unsharpened, perturbation="drift+blur"),
        Variant("solid not steadied, drift+blur", unsteadied, perturbation="drift+blur"),
        Variant("removed, drift+blur", build="removed", perturbation="drift+blur"),
    ]
    return tuple(replace(row, angles_only=True) for row in rows)
