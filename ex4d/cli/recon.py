"""``ex4d recon``: clip and depth to guide videos, as EX-4D's own reconstruction step does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ex4d.cli.console import say, watched
from ex4d.cli.options import OutputDir, panel
from ex4d.cli.shot import render_shot
from ex4d.progress import check
from ex4d.shots.options import ShotOptions
from ex4d_ground.errors import SettingError

if TYPE_CHECKING:
    from ex4d.types import Clip
    from ex4d_ground.cameras import Trajectory

_output = panel("Output")
_published = panel("Of EX-4D's program", show_default=False)


@dataclass(frozen=True)
class PublishedFlags:
    """Flags of EX-4D's own ``recon.py`` that only its users need."""

    only_first_frame: Annotated[
        int, _published("--only_first_frame", "1: the mesh of frame 0 in every frame, as the path is followed.")
    ] = 0
    filter_type: Annotated[
        str,
        _published(
            "--filter_type", "Which faces are occluded: angle (by their smallest angle), or boundary (by their slope)."
        ),
    ] = "angle"
    use_dwmesh: Annotated[int, _published("--use_dwmesh", "Only 1, a watertight mesh, can be had.")] = 1
    input_size: Annotated[int | None, _published("--input_size", "Has no effect there, and has none here.")] = None

    def check(self, options: ShotOptions) -> None:
        """Raise SettingError for what cannot be had."""
        for name, value in (("only_first_frame", self.only_first_frame), ("use_dwmesh", self.use_dwmesh)):
            if value not in (0, 1):
                raise SettingError(f"--{name} is 0 or 1, got {value}.")
        if not self.use_dwmesh:
            raise SettingError("--use_dwmesh 0 asks for a mesh with holes, which is not built here; drop it.")
        if self.filter_type not in ("angle", "boundary"):
            raise SettingError(f"--filter_type is angle or boundary, got {self.filter_type!r}.")
        if self.filter_type == "boundary" and not options.parity:
            raise SettingError("--filter_type boundary belongs to the published mesh; give --parity too, or drop it.")


def recon(
    options: ShotOptions,
    published: PublishedFlags,
    output_dir: OutputDir,
    save_mesh: Annotated[bool, _output("--save_mesh", "Also DW-Mesh.ply: the mesh of frame 0.")] = False,
    save_camera: Annotated[
        bool, _output("--save_camera", "Also camera_CAM.npz: EX-4D's layout, or ours where the lens changes.")
    ] = False,
    lossless: Annotated[
        bool,
        _output(
            "--lossless", "Also guides_CAM.npz, exact: 'rgba', uint8, frames x height x width x 4, the mask in alpha."
        ),
    ] = False,
) -> None:
    """Render the colour and mask guides of a camera move through a clip.

    Writes color_CAM.mp4 and mask_CAM.mp4, and on request DW-Mesh.ply, camera_CAM.npz and guides_CAM.npz.

    Examples:

      ex4d recon --input_video shot.mp4 --depth shot_depth.npz --cam 90 --output_dir out --save_mesh --save_camera

      ex4d recon --input_video plates/ --depth z_exr/ --cam orbit_left --amount 60 --fov 40 --output_dir out --lossless

      ex4d recon --input_video shot.mp4 --depth d.npz --cam layout/camera_v3.npz --output_dir out
    """
    from ex4d.dwmesh import export_ply
    from ex4d.engines.guide_videos import write_guides
    from ex4d.shots.draw import write_guides_file
    from ex4d_ground.camera_files import save_camera as write_camera
    from ex4d_ground.files import staged_folder

    published.check(options)
    name = options.cam_name
    with watched() as watch, staged_folder(output_dir) as staging:
        shot = render_shot(
            options, watch, still=bool(published.only_first_frame), by_slope=published.filter_type == "boundary"
        )
        write_guides(staging, shot.guides, name, fps=shot.clip.fps, **watch)
        if save_mesh:
            export_ply(shot.mesh, 0, staging / "DW-Mesh.ply")
        if save_camera:
            write_camera(
                staging / f"camera_{name}.npz", shot.trajectory, layout=camera_layout(shot.trajectory, shot.clip)
            )
        if lossless:
            write_guides_file(staging / f"guides_{name}.npz", shot.guides, **watch)
        check(watch.get("cancel"))
        written = sorted(p.name for p in staging.iterdir())
    seen = 100 * shot.guides.coverage
    say(f"Coverage: {seen.mean():.1f} % on average, {seen.min():.1f} % in frame {seen.argmin() + 1}.")
    for file in written:
        say(str(output_dir / file))


def camera_layout(trajectory: Trajectory, clip: Clip) -> Literal["ex4d", "ex4d-blender"]:
    """EX-4D's layout for a move that it can hold (one centred lens, no retiming, a clip whose camera stood still), else
    ours.
    """
    import numpy as np

    lens = trajectory.intrinsics
    centred = np.allclose(lens[:, 2:], (trajectory.width / 2, trajectory.height / 2))
    plays = np.array_equal(trajectory.source_time, np.arange(len(trajectory)))
    fits = centred and plays and np.ptp(lens, axis=0).max() == 0 and clip.moving_camera is None
    return "ex4d" if fits else "ex4d-blender"
