"""A shot as it is asked for: video, depth, camera move, lens and mesh; checked as a whole before any work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import structs

from ex4d.option_text import OptionText
from ex4d_ground.arrays import FAR
from ex4d_ground.errors import ClipError, DepthError, SettingError, TrajectoryError
from ex4d_ground.footage import FASTEST_RATE, SLOWEST_RATE, Fields
from ex4d_ground.sequences import is_named

if TYPE_CHECKING:
    from ex4d.clip.colours import ColourChoice
    from ex4d_ground.options import MeshOptions

_ANY_SIZE = (512, 512)
"""Stands in for the clip's, which is not known yet, where a camera file is only looked at."""
_NARROWEST = 1e-4
"""Degrees: the view of a telescope, and still a focal length that can be drawn."""

DEFAULT_MODE = "solid"
"""Occluders of a shot unless it says otherwise: docs/decisions/0009."""

ESTIMATE = "estimate"
"""In place of a source camera's file."""
STABILISE = "stabilise"
"""In place of a preset: the source camera's own move without its shake."""
LONGEST_SHAKE_S = 600.0
CamAxes = Literal["auto", "world", "source"]
Rasterizer = Literal["auto", "cpu", "triton", "nvdiffrast"]


OPTION_HELP = {
    "Source": """
input_video: The clip: a video file, or a sequence of images: their folder, the first file, or a pattern such as
    plate.%04d.png or plate.####.png.
depth: Its depth along the view axis: .npz, .npy, or a sequence of 16-bit PNGs (with {depth_scale}) or of EXRs. Colour
    and depth sequences belong together by the numbers or time stamps of their files. Without {depth} it is estimated:
    see {estimator}.
estimator: What estimates depth where {depth} is not given: a name of 'ex4d depth list', which also says what each
    one's licence allows. Default: depth-anything-v2; depthcrafter with {parity}.
estimator_settings: Estimator setting as name=value; repeat for more.
save_depth: Keep the estimated depth in this .npz, to give as {depth} the next time.
num_frames: Use only the first N frames. Default: all; with {parity} at most 49, and 0 is all.
fps: Frame rate. Default: the video's own; 15 for a folder of PNGs.
colour_space: What the numbers of the video mean, where it does not say so or is wrong: srgb, rec709, rec2020, p3,
    linear, linear-rec2020, linear-p3, acescg, aces, pq, hlg, or a name of OpenColorIO's, such as a camera's log curve.
ocio: The OpenColorIO configuration that {colour_space} is a name of. Default: that of $OCIO, else OpenColorIO's own.
fields: What becomes of interlaced video: 'deinterlace' makes the two fields of a frame one picture, 'refuse' says no.
    Default: deinterlace.
fill_invalid: Fill NaN, zero or negative depth from what surrounds it instead of refusing it. (Infinity is sky.)
depth_scale: Length of one step of whole-number depth, e.g. 0.001 for millimetres; multiplies any other depth.
depth_channel: Channel, pass or part of an EXR to use where its name does not say that it is depth, or several do.
""",
    "Camera": """
cam: Camera move: a preset (30, 60, 90, 180, zoom_in, zoom_out, orbit_left, ...; a wrong name lists all), a camera
    file (.npz, transforms.json, COLMAP's model, or poses as text: TUM, KITTI, 7-Scenes), or 'stabilise': the move of
    {source_camera} without what shakes faster than {amount} seconds (1 if not given).
parity: Exactly what EX-4D's published program does: 49 frames, stretched to multiples of 64 pixels and at most 1024,
    focal length 500 px, mesh corners on pixel corners, border at 100, vertices on 1/16 pixel, over-long moves at
    lengths other than 49, frame 0 is the source frame.
keep_size: With {parity}: leave the frames at the clip's own size.
fov: Horizontal field of view of the clip, in degrees. Default: the lens that the depth file, the clip, its estimator or
    {source_camera} names, else 54.22.
focal: Focal length of the clip in pixels, instead of {fov}.
fy: Vertical focal length in pixels, beside {focal} or {fov}. Default: as the horizontal one.
cx: Where the view axis meets the picture, in pixels from its left edge, beside {focal} or {fov}. Default: the middle.
cy: The same from its upper edge.
lens_from: A file that knows the clip's lens, instead of {fov}: a .blend (its active camera), an image or a video whose
    metadata say it, a camera file as {cam} takes it, or the matrix K as .txt or .npy.
amount: How far the preset goes, e.g. 60 (degrees) for orbit_left. Default: the preset's own.
border_depth: Depth at which the mesh is closed behind the scene; deeper parts of the clip are hidden. Default: 100.
mode: What is behind things: 'solid' (finite thickness; keeps far more of the clip) or 'endless' (as published, sheets
    that reach the background). Default: solid; endless with {parity}.
thickness: How far things reach behind their rim: 'auto', a share of the depth such as 8%, or a length in the depth's
    unit. Default: auto.
thickness_map: Thickness per pixel in the depth's unit, NaN where {thickness} decides: .npy, or .npz with the key
    'thickness', of height x width for all frames or frames x height x width.
other_frames: Show behind things the background that other frames saw, where the camera stands still or
    {source_camera} says how it moves. Shadows there are those of other moments. Off by default.
world_memory: {other_frames}, and beside the picture what the camera saw at any other time, where {source_camera} says
    how it moves. Of things that stand still it takes what two frames agree on, or one alone could see. Off by default.
source_camera: How the camera that filmed the clip moved: a camera file as {cam} takes it, with one pose per frame in
    the depth's unit, such as 'ex4d solve' writes, or 'estimate', to do that here. Then the new camera and what is added
    stand in one world, that of the clip's first frame. Default: the clip's camera is taken to stand still.
source_matte: With {source_camera} estimate: a video or a folder of images, white where something moves by itself.
set_video: With {world_memory}: another clip of the same place, which it remembers as well. A video or a sequence.
set_depth: Its depth, in the same unit; what {depth_scale}, {depth_channel}, {fill_invalid} and {fields} say of the
    clip's files is said of these, too.
set_camera: How the camera moved that filmed it: a camera file with its lens and one pose per frame, in the world of the
    file that {source_camera} is; without {source_camera}, in that of the clip's camera.
cam_axes: Where the camera that filmed moves: whether {cam} goes its way in the 'world', or relative to the 'source'
    camera of the same moment, shake and all. Default: as the camera file says; presets in the world.
rasterizer: What draws the guides: cpu, or on a CUDA device triton or nvdiffrast (for research only). Default: auto,
    which is triton where it runs, else cpu.
""",
}
"""What each option of a shot is, by kind: the documentation of :class:`ShotOptions`, and a command line's help."""


@dataclass(frozen=True)
class ShotOptions:
    """Everything a shot's guides depend on, as :data:`OPTION_HELP` says; :meth:`check` refuses what cannot work."""

    input_video: Path
    cam: str
    depth: Path | None = None
    estimator: str | None = None
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)
    save_depth: Path | None = None
    num_frames: int | None = None
    fps: float | None = None
    colour_space: str | None = None
    ocio: Path | None = None
    fields: Fields = "deinterlace"
    fill_invalid: bool = False
    depth_scale: float | None = None
    depth_channel: str | None = None
    parity: bool = False
    keep_size: bool = False
    fov: float | None = None
    focal: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    lens_from: Path | None = None
    amount: float | None = None
    border_depth: float | None = None
    mode: str | None = None
    thickness: str | None = None
    thickness_map: Path | None = None
    other_frames: bool = False
    world_memory: bool = False
    source_camera: Path | None = None
    source_matte: Path | None = None
    set_video: Path | None = None
    set_depth: Path | None = None
    set_camera: Path | None = None
    cam_axes: CamAxes = "auto"
    rasterizer: Rasterizer = "auto"

    @property
    def camera_file(self) -> Path | None:
        """The camera file that ``cam`` names, or None if it names a preset."""
        from ex4d.trajectory import PRESETS

        path = Path(self.cam)
        if self.cam in PRESETS or self.cam == STABILISE:  # also where a folder of that name lies about
            return None
        return path if path.suffix.lower() in (".npz", ".json") or len(path.parts) > 1 or path.exists() else None

    @property
    def estimates_camera(self) -> bool:
        """Whether the camera that filmed is to be estimated."""
        return self.source_camera == Path(ESTIMATE)

    @property
    def cam_name(self) -> str:
        """The camera's name as it stands in output file names (letters, digits, dot, dash, underscore)."""
        name = self.camera_file.stem.removeprefix("camera_") if self.camera_file else self.cam
        return re.sub(r"[^\w.-]", "_", name) or "camera"

    @property
    def colour(self) -> ColourChoice:
        """What is said of the video's colours."""
        from ex4d.clip.colours import ColourChoice

        return ColourChoice(self.colour_space or "", self.ocio)

    @property
    def focal_px(self) -> float | None:
        """The focal length that is asked for, in pixels."""
        from ex4d.shots.parity import FOCAL_PX

        return FOCAL_PX if self.parity else self.focal

    @property
    def estimator_name(self) -> str:
        """What estimates the depth where none is given."""
        from ex4d.depth import DEFAULT_ESTIMATOR
        from ex4d.shots.parity import ESTIMATOR

        return self.estimator or (ESTIMATOR if self.parity else DEFAULT_ESTIMATOR)

    def check(self) -> None:
        """Raise the error of the first option that cannot work, before anything is read or written."""
        self._check_lens()
        self._check_numbers()
        self._check_colour()
        self._check_camera()
        self.mesh_options()
        self._check_source_camera()
        self._check_depth()
        for path, error, what in (
            (self.input_video, ClipError, "video"),
            (self.depth, DepthError, "depth"),
            (self.lens_from, ClipError, "lens"),
            (self.thickness_map, ClipError, "thickness map"),
            (self.source_matte, ClipError, "matte"),
            (self.set_video, ClipError, "set's video"),
            (self.set_depth, DepthError, "set's depth"),
            (self.set_camera, TrajectoryError, "set's camera"),
        ):
            if path is not None and not is_named(path):
                raise error(f"There is no file or folder {path}; check the path of the {what}.")

    def _check_lens(self) -> None:
        lenses = (self.fov, self.focal, self.lens_from)
        if sum(value is not None for value in lenses) > 1:
            raise _refused("{fov}, {focal} and {lens_from} exclude each other; give one of them.")
        if self.parity and (*lenses, self.border_depth) != (None,) * 4:
            raise _refused(
                "{parity} fixes the focal length and the border; drop {fov}, {focal}, {lens_from} and {border_depth}."
            )
        if self.keep_size and not self.parity:
            raise _refused("{keep_size} belongs to {parity}, which alone changes the size; drop {keep_size}.")
        for name in ("fy", "cx", "cy"):
            if getattr(self, name) is not None and self.fov is None and self.focal is None:
                raise _refused(f"{{{name}}} belongs to {{focal}} or {{fov}}; give one of them, or drop {{{name}}}.")
        remembers = self.other_frames or self.world_memory
        solid = (self.thickness, self.thickness_map, self.source_camera) != (None,) * 3 or remembers
        if self.parity and (self.mode not in (None, "endless") or solid):
            raise _refused(
                "{parity} is the published endless mesh; drop {mode}, {thickness}, {thickness_map}, {other_frames}, "
                "{world_memory} and {source_camera}."
            )

    def _check_numbers(self) -> None:
        if self.fov is not None and not 0 < self.fov < 180:
            raise _refused(f"{{fov}} must lie between 0 and 180 degrees, got {self.fov:g}.")
        if self.fov is not None and self.fov < _NARROWEST:
            raise _refused(f"{{fov}} must be at least {_NARROWEST:g} degrees, got {self.fov:g}.")
        for name in ("cx", "cy"):
            value = getattr(self, name)
            if value is not None and not abs(value) < 1e6:
                raise _refused(f"{{{name}}} must be a place in the picture, in pixels, got {value:g}.")
        lengths = dict.fromkeys(("focal", "fy", "depth_scale", "border_depth"), (1 / FAR, FAR))
        for name, (least, most) in {**lengths, "fps": (SLOWEST_RATE, FASTEST_RATE)}.items():
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise _refused(f"{{{name}}} must be a positive number, got {value:g}.")
            if value is not None and not least <= value <= most:
                raise _refused(f"{{{name}}} must be between {least:g} and {most:g}, got {value:g}.")
        if self.num_frames is not None and self.num_frames < 2 and not (self.parity and self.num_frames == 0):
            raise _refused(f"{{num_frames}} must be at least 2, got {self.num_frames}.")

    def _check_colour(self) -> None:
        if self.ocio is not None and self.colour_space is None:
            raise _refused("{ocio} says where {colour_space} is looked up; give both or neither.")
        if self.parity and self.colour_space is not None:
            raise _refused("{parity} reads pictures as the published program does; drop {colour_space}.")
        self.colour.space  # noqa: B018 - raises for a name that nobody knows

    def _check_camera(self) -> None:
        from ex4d.trajectory import PRESETS
        from ex4d_ground.camera_files import load_camera

        if self.camera_file is not None:
            if self.amount is not None:
                raise _refused("{amount} belongs to presets; a camera file goes as far as it goes: drop {amount}.")
            load_camera(self.camera_file, size=_ANY_SIZE)
            return
        if self.cam == STABILISE:
            self._check_stabilise()
            return
        info = PRESETS.get(self.cam)
        if info is None:
            names = ", ".join((*PRESETS, STABILISE))
            raise SettingError(f"There is no camera {self.cam!r}; choose one of {names}, or give a camera file.")
        if self.amount is not None and not info.minimum <= self.amount <= info.maximum:
            raise _refused(
                f"{{amount}} of {self.cam} must be between {info.minimum:g} and {info.maximum:g} ({info.unit}), "
                f"got {self.amount:g}."
            )

    def _check_stabilise(self) -> None:
        if self.source_camera is None:
            raise _refused(
                f"{{cam}} {STABILISE} smooths the filming camera's own move; say with {{source_camera}} how it moved."
            )
        if self.amount is not None and not 0 <= self.amount <= LONGEST_SHAKE_S:
            raise _refused(
                f"{{amount}} of {STABILISE} must be between 0 and {LONGEST_SHAKE_S:g} (seconds), got {self.amount:g}."
            )

    def _check_source_camera(self) -> None:
        if self.source_matte is not None and not self.estimates_camera:
            raise _refused("{source_matte} is for {source_camera} estimate; give both, or drop {source_matte}.")
        given = [value is not None for value in (self.set_video, self.set_depth, self.set_camera)]
        if any(given) and not (all(given) and self.world_memory):
            raise _refused("{set_video}, {set_depth} and {set_camera} belong together and to {world_memory}; give all.")
        if any(given) and (self.estimates_camera or str(self.set_camera) == ESTIMATE):
            raise _refused(
                "An estimated camera has a world of its own, in which nobody knows where {set_camera} is; solve both "
                "clips together and give the files as {source_camera} and {set_camera}."
            )
        if self.source_camera is None:
            if self.cam_axes != "auto":
                raise _refused(
                    "{cam_axes} counts where {source_camera} says how the clip's camera moved; give that too."
                )
        elif not self.estimates_camera:
            from ex4d_ground.camera_files import load_camera

            load_camera(self.source_camera, size=_ANY_SIZE)

    def _check_depth(self) -> None:
        from ex4d.depth import get_estimator

        if self.depth is not None:
            if self.estimator is not None or self.estimator_settings or self.save_depth is not None:
                raise _refused(
                    "{depth} is finished depth, so {estimator}, {estimator_settings} and {save_depth} do not apply; "
                    "drop them."
                )
            return
        if self.depth_scale is not None or self.depth_channel is not None:
            raise _refused("{depth_scale} and {depth_channel} belong to a depth file; give {depth} or drop them.")
        if self.save_depth is not None and self.save_depth.suffix.lower() != ".npz":
            text = f"{{save_depth}} writes an .npz, got the name {self.save_depth.name}; end it in .npz."
            raise DepthError(OptionText(text))
        get_estimator(self.estimator_name).info().validated(self.estimator_settings)

    def mesh_options(self) -> MeshOptions:
        """How the mesh is built. Raises SettingError."""
        from ex4d_ground.options import MeshOptions

        if self.parity:
            return MeshOptions.ex4d_parity()
        given: dict[str, Any] = {"mode": self.mode or DEFAULT_MODE, "world_memory": self.world_memory}
        given["other_frames"] = self.other_frames or self.world_memory
        for name in ("world_memory", "other_frames", "thickness_map", "thickness"):
            if getattr(self, name) and given["mode"] == "endless":
                raise _refused(f"{{{name}}} belongs to solid occluders; drop {{mode}} endless or {{{name}}}.")
        if self.border_depth is not None:
            given["border_depth"] = self.border_depth
        options = MeshOptions(**given)
        if self.thickness is None:
            return options
        thickness, unit = parse_thickness(self.thickness)
        return structs.replace(options, thickness=thickness, thickness_unit=unit)


def parse_thickness(text: str) -> tuple[float | Literal["auto"], Literal["share", "depth"]]:
    """``auto``, a share of the depth as ``8%``, or a length in the depth's unit. Raises SettingError."""
    text = text.strip()
    if text == "auto":
        return "auto", "share"
    try:
        number = float(text.removesuffix("%"))
    except ValueError as error:
        raise _refused(f"{{thickness}} is 'auto', a share such as 8%, or a length, got {text!r}.") from error
    return (number / 100, "share") if text.endswith("%") else (number, "depth")


def _refused(text: str) -> SettingError:
    return SettingError(OptionText(text))
