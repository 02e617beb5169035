"""What an export of a shot's geometry comes to, checked before anything is written."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.arrays import Int64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.files import frame_name, plain_name
from ex4d_ground.grids import Grid

from ..camera import exporters
from ..edit import collect
from ..scene import axes, cameras, linked, materials, shot
from ..work import files, pc2
from ..work.errors import AddonError

PANEL = "Other Programs"
"""The part of the Clip panel where it begins and is told about."""
ALEMBIC, USD = "ALEMBIC", "USD"
KINDS = (
    (ALEMBIC, "Alembic (.abc)", "One file; Alembic holds no materials, so the pictures beside it are assigned by hand"),
    (USD, "USD (.usda)", "With a material that finds the pictures beside it; the geometry is in a .usdc file"),
)
EXPORTERS = {ALEMBIC: ("alembic_export", "Alembic"), USD: ("usd_export", "USD")}
"""Blender's operator for a format, and what it is called; a distribution's Blender may lack both."""
GRIDS = (
    ("1", "Full", "Every vertex of the shot's mesh"),
    ("2", "Half", "Every second vertex to the side and down: a quarter of the size"),
    ("3", "Third", "Every third vertex to the side and down: a ninth of the size"),
)
WHOLE_FOLDER, WORK_FOLDER, FRAMES_FOLDER = "whole", "work", "frames"
"""Folders on the way: what becomes the export, what it is made of; and in it the pictures."""
PICTURES_FOLDER = "pictures"
"""Where a video's frames are written on the way."""
SOURCE_CAMERA, SHOT_CAMERA = "SourceCamera", "ShotCamera"
NAMES = {
    SOURCE_CAMERA: "The shot has no source camera in this scene; it is left out of the file.",
    SHOT_CAMERA: "The shot has no camera of its own yet; the file has the source camera alone.",
}
"""Cameras in the file, and what there is to say where one is lacking."""
NAMED_BY = {"1": "full", "2": "half", "3": "third"}
_BYTES_PER_FACE = 3 * 4 + 4 + 3 * 8
"""Three vertices, a count, and three corners' UV."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where the clip's own pictures come from: a folder of numbered ones, or the video."""

    folder: Path
    suffix: str
    """"" if they are to be taken from ``video``."""
    visible: Path
    """The folder that says which pixels show."""
    video: Path

    def of(self, index: int) -> tuple[Path, Path]:
        """The picture of a source frame, counted from 0, and what is visible in it."""
        return self.folder / frame_name(index, self.suffix), self.visible / frame_name(index)


@dataclass(frozen=True, eq=False)
class GeometryPlan:
    """An export on its way. Holds no Blender data."""

    shot_id: str
    kind: str
    title: str
    """How the files begin, with the frame rate."""
    target: Path
    """The folder that the files go to; there is none of that name yet."""
    rate: tuple[int, float]
    """Blender's fps and fps_base: frames a second are their quotient."""
    frame_start: int
    num_frames: int
    grid: Grid
    """Which of the clip's pixels are vertices."""
    vertices: Int64  # [grid vertices], in the shot's mesh
    size: tuple[int, int]
    """Width and height of the clip in pixels."""
    picture: cameras.Picture
    """What the cameras' lenses fill."""
    pictures: Pictures
    moves: dict[str, Trajectory] = field(default_factory=dict)
    """By the name in the file: every camera, in the shot's space; see :func:`with_cameras`."""
    clips: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By the same name: nearest and farthest that the camera sees."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the artist should know, each a sentence."""
        return tuple(words for name, words in NAMES.items() if name not in self.moves)

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.rate[0] / self.rate[1]

    @property
    def frames(self) -> range:
        """The scene's frames."""
        return range(self.frame_start, self.frame_start + self.num_frames)


def planned(context: bpy.types.Context, target: bpy.types.Object, kind: str, step: str, folder: Path) -> GeometryPlan:
    """What exporting the shot ``target`` to a new folder below ``folder`` comes to, its cameras not yet read.

    Raises AddonError.
    """
    require_exporter(kind)
    require_whole(target)
    pc2.read_pc2(shot.cache_of(target))
    scene, props = context.scene, target.ex4d
    fitting, vertices = coarser(shot.grid_of(target), int(step))
    rate = scene.render.fps, scene.render.fps_base
    title = f"{plain_name(target.name)}_{fps_words(rate[0] / rate[1])}fps"
    place = files.free_path(folder / f"{title}_{kind.lower()}_{NAMED_BY[step]}")
    plan = GeometryPlan(
        shot_id=props.shot_id,
        kind=kind,
        title=title,
        target=place,
        rate=rate,
        frame_start=props.frame_start,
        num_frames=props.num_frames,
        grid=fitting,
        vertices=vertices,
        size=(props.width, props.height),
        picture=cameras.Picture.of(scene),
        pictures=pictures_of(target),
    )
    for below in handled_by_blender(plan):
        files.require_short(folder, below)
    _require_room(plan, folder)
    return plan


def handled_by_blender(plan: GeometryPlan) -> tuple[str, ...]:
    """The longest paths below the chosen folder that Blender itself writes or reads."""
    staging = files.free_folder(plan.target.parent, files.UNFINISHED).name
    picture = frame_name(plan.num_frames - 1)
    return (
        f"{staging}/{WHOLE_FOLDER}/{geometry_name(plan)}",
        f"{staging}/{WORK_FOLDER}/{PICTURES_FOLDER}/{picture}",
        f"{plan.target.name}/{FRAMES_FOLDER}/visible.{picture}",
    )


def geometry_name(plan: GeometryPlan) -> str:
    """The file with the mesh and the cameras."""
    return f"{plan.title}{'.abc' if plan.kind == ALEMBIC else '_geometry.usdc'}"


def with_cameras(context: bpy.types.Context, target: bpy.types.Object, plan: GeometryPlan) -> GeometryPlan:
    """``plan`` with the cameras of the shot, which plays through once for each. Raises AddonError."""
    own = ((SOURCE_CAMERA, target.ex4d.source_camera), (SHOT_CAMERA, target.ex4d.camera))
    used = {name: camera for name, camera in own if camera is not None and camera.name in context.scene.objects}
    return replace(
        plan,
        moves={name: cameras.sample(context, target, camera) for name, camera in used.items()},
        clips={name: (camera.data.clip_start, camera.data.clip_end) for name, camera in used.items()},
    )


def require_whole(target: bpy.types.Object) -> None:
    """Raise AddonError unless the shot's mesh has come, is not being edited and plays its frames. Reads no file."""
    if target.ex4d.arriving or target.ex4d.num_frames < 1:
        raise AddonError(f"Only the first frame of '{target.name}' is here yet; wait until the clip is imported.")
    collect.require_playing(collect.whole_mesh(target))


def require_exporter(kind: str) -> None:
    """Raise AddonError if this Blender was built without what writes that format."""
    has = dir(bpy.ops.wm)
    other = next((f"{what}, or " for each, (name, what) in EXPORTERS.items() if each != kind and name in has), "")
    name, what = EXPORTERS[kind]
    exporters.exporter(bpy.ops.wm, name, what, f"use {other}a Blender that was built with {what}")


def coarser(grid: Grid, step: int) -> tuple[Grid, Int64]:
    """Every ``step``-th column and row of ``grid``, and which of its vertices they are.

    Both outermost lines on each side stay: the border is the mesh's outermost line, and nothing else.
    """
    columns, rows = (_lines(count, step) for count in (grid.width, grid.height))
    return Grid(grid.columns[columns], grid.rows[rows]), (rows[:, None] * grid.width + columns).ravel()


def _lines(count: int, step: int) -> Int64:
    ends = [line for line in (0, 1, count - 2, count - 1) if 0 <= line < count]
    return np.unique(np.concatenate([np.arange(1, count - 1, step), np.array(ends)]))


def pictures_of(target: bpy.types.Object) -> Pictures:
    """Where the shot's pictures lie. Raises AddonError if one is gone."""
    folder, props = shot.folder_of(target), target.ex4d
    colour, visible = folder / files.COLOUR_FOLDER, folder / files.VISIBLE_FOLDER
    suffix = next((each for each in (".png", ".jpg") if (colour / frame_name(0, each)).exists()), "")
    found = Pictures(colour, suffix, visible, linked.absolute(props.video_path, target))
    if not suffix and not materials.movie_frames(found.video):
        raise AddonError(f"The clip's frames are neither in {colour} nor in {found.video}; import the clip again.")
    needed = [path for index in range(props.num_frames) for path in found.of(index)[0 if suffix else 1 :]]
    lost = next((path for path in needed if not path.is_file()), None)
    if lost is not None:
        raise AddonError(f"{lost} is not there any more; import the clip again.")
    return found


def uv(plan: GeometryPlan) -> np.ndarray:  # [grid vertices, 2] float32
    """Where each vertex lies in the clip's picture; v points up."""
    return axes.uv_of(plan.grid, width=plan.size[0], height=plan.size[1])


def size_of(target: bpy.types.Object, step: str) -> tuple[int, int]:
    """How many vertices an export has, and about how many bytes its files take with the pictures."""
    grid, _ = coarser(shot.grid_of(target), int(step))
    props = target.ex4d
    colour = shot.folder_of(target) / files.COLOUR_FOLDER
    pictures = next((p.stat().st_size for s in (".png", ".jpg") if (p := colour / frame_name(0, s)).is_file()), 0)
    pictures = (pictures or 2 * props.width * props.height) * props.num_frames
    return grid.num_vertices, _mesh_bytes(grid, props.num_frames) + pictures


def _mesh_bytes(grid: Grid, num_frames: int) -> int:
    return num_frames * grid.num_vertices * 12 + grid.num_faces * _BYTES_PER_FACE


def _require_room(plan: GeometryPlan, folder: Path) -> None:
    """Raise AddonError if the disk cannot hold the files and the mesh once more, from which they are written."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    needed = 2 * _mesh_bytes(plan.grid, plan.num_frames)
    if there is not None and (free := shutil.disk_usage(there).free) < needed:
        raise AddonError(
            f"{folder} has {files_words(free)} free, writing the geometry needs about {files_words(needed)}; free some "
            "space or choose another folder or a coarser grid."
        )


def fps_words(fps: float) -> str:
    """A frame rate as it stands in names: 24, 23.976."""
    return f"{fps:.3f}".rstrip("0").rstrip(".")


def files_words(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"
