"""A shot as a request to a backend: its files uploaded, its camera and mesh in the protocol's words."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from ex4d.cli.console import note
from ex4d.cli.shot import load, tell_eyes, tell_terms, warn_of
from ex4d.clip import read_video
from ex4d.depth import DepthFile, save_depth
from ex4d.progress import Watch
from ex4d.shots.draw import Drawing
from ex4d.shots.filming import filmed
from ex4d.shots.load import LoadedShot, given_lens
from ex4d.shots.options import ShotOptions
from ex4d.shots.take import Stereo
from ex4d.types import Clip
from ex4d_backend.cli.media import ShotFiles, clip_files, shot_files, upload_all, upload_media
from ex4d_backend.cli.received import follow
from ex4d_backend.cli.solve_job import filmed_there, solves_there
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError
from ex4d_ground.files import COLOUR_SUFFIXES
from ex4d_ground.options import MeshOptions
from ex4d_ground.sequences import clip_name
from ex4d_protocol import messages as m
from ex4d_protocol import minors
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import (
    BlobRef,
    ClipSpec,
    EstimateDepth,
    Generate,
    Media,
    MeshEdit,
    MeshSpec,
    RenderGuides,
    SourceCameraSpec,
    TrajectorySpec,
    VideoReading,
)

MakeRequest = Callable[..., RenderGuides | Generate]
"""Called with ``clip``, ``trajectory``, ``mesh`` and ``raster``."""


def check_sendable(shot: ShotOptions) -> None:
    """Refuse what the wire cannot carry, before anything is sent. Raises SettingError."""
    if shot.depth is None and (shot.parity or shot.border_depth is not None):
        what = "--parity" if shot.parity else f"--border_depth {shot.border_depth:g}"
        raise SettingError(
            f"{what} does not reach depth that a backend estimates; estimate it first, with 'ex4d depth VIDEO -o "
            "depth.npz', and give it as --depth."
        )
    if shot.set_video is not None:
        raise SettingError(
            "--set_video does not reach a backend; make the shot with 'ex4d run' on a machine that has both clips."
        )


def request_for(
    client: Client, shot: ShotOptions, make: MakeRequest, watch: Watch, stereo: Stereo | None = None
) -> RenderGuides | Generate:
    """Upload the shot and make its request. Raises the library's errors, and the protocol's."""
    stretched = shot.parity and not shot.keep_size  # frames of another size than those in the file
    there = solves_there(client, shot)
    files = shot_files(shot.input_video, shot.depth, num_frames=shot.num_frames or None)
    # The camera is made here, from the clip's own size, length and nearest depth; the bytes go to the backend.
    if files.depth is None:
        video = upload_media(client, files.video, watch)
        loaded, depth = _estimated(client, shot, files, video, watch, solves=not there)
    elif stretched:
        loaded = load(shot, watch, solves=not there)
        video, depth = (upload_media(client, each, watch) for each in clip_files(loaded.clip))
    else:
        loaded = load(shot, watch, solves=not there)
        video, depth = upload_media(client, files.video, watch), upload_media(client, files.depth, watch)
    k = loaded.clip.intrinsics
    old = minors.lacks(client.welcome, "Generate.layers")  # its takes are 8-bit views that count from 1, and serve
    clip = ClipSpec(
        video=video,
        depth=depth,
        depth_scale=None if stretched else shot.depth_scale,
        depth_channel=None if stretched else shot.depth_channel,
        num_frames=loaded.clip.num_frames if shot.parity else shot.num_frames,
        intrinsics=(k.fx, k.fy, k.cx, k.cy),
        intrinsics_source=k.source[:4096],
        fill_invalid=shot.fill_invalid,
        fps=loaded.clip.fps if stretched else shot.fps,
        reading=VideoReading(
            start_frame=1 if stretched or old else files.start_frame,
            colour_space="" if stretched else shot.colour_space or "",
            ocio=None if stretched or shot.ocio is None else upload_all(client, [shot.ocio], watch)[0],
            fields="deinterlace" if stretched else shot.fields,
        ),
        name=loaded.clip.name[:128],
        source_camera=SourceCameraSpec.of(loaded.clip.source_camera),
    )
    if there:
        found, notes = filmed_there(client, shot, loaded.clip, clip, watch)
        for line in notes:
            note(f"{line.rstrip('.')}.")
        loaded = replace(loaded, clip=found)
        clip = msgspec.structs.replace(clip, source_camera=SourceCameraSpec.of(found.source_camera))
    move = loaded.trajectory(warn_of)
    if stereo is not None:
        eyes = stereo.eyes(loaded.clip, move)
        tell_eyes(eyes, loaded.clip, move)
        make = partial(make, eyes=eyes)
    mesh, trajectory = _mesh(client, loaded, watch), TrajectorySpec.pack(move)
    request = make(clip=clip, trajectory=trajectory, mesh=mesh, raster=Drawing.of(shot).options)
    if old and isinstance(request, Generate):
        return msgspec.structs.replace(request, layers="none")
    return request


def _estimated(
    client: Client, shot: ShotOptions, files: ShotFiles, video: Media, watch: Watch, *, solves: bool
) -> tuple[LoadedShot, Media]:
    """The shot with depth that the backend estimates, and that depth as the backend keeps it for the next job.

    Without ``solves`` a filming camera that is to be estimated is left to the caller.
    Raises ClipError, SettingError, the protocol's errors, OutputError, Cancelled.
    """
    name = clip_name(shot.input_video, COLOUR_SUFFIXES)
    frames, fps = read_video(files.video_source, num_frames=shot.num_frames, **watch)
    depth = np.empty(frames.shape[:3], np.float32)
    info: dict[str, Any] = {}

    def keep(item: ItemReceived) -> None:
        if item.name == "depth":
            depth[item.frame] = item.array()
        else:
            info.update(item.json())

    lens = given_lens(shot)
    used = None if lens is None else lens.at(frames.shape[2], frames.shape[1])
    request = EstimateDepth(
        video=video,
        estimator=shot.estimator or "",
        settings=dict(shot.estimator_settings),
        num_frames=shot.num_frames,
        intrinsics=None if used is None else (used.fx, used.fy, used.cx, used.cy),
        name=name[:128],
    )
    job_id = client.submit(request, title=name)
    follow(client, job_id, keep, watch)
    client.ask(m.AckResults(job_id=job_id))
    tell_terms(info["estimator"], info["title"], info["licence"], research_only=info["research_only"])
    for line in info["warnings"]:
        note(line)
    height, width = frames.shape[1:3]
    used = Intrinsics(*info["intrinsics"], width=width, height=height, source=info["intrinsics_source"])
    note(f"Focal length: {used.fx:.1f} px ({used.fov_deg:.1f} deg), {used.source}.")
    if shot.save_depth is not None:
        file = DepthFile(depth, info["estimator"], info["licence"], info["meaning"], fps, used)
        save_depth(shot.save_depth, file, **watch)
        note(f"Kept the depth: {shot.save_depth}")
    clip = Clip(frames, depth, used, shot.fps or fps, name, info["estimator"], info["licence"])
    clip, notes = filmed(shot, clip, **watch) if solves or not shot.estimates_camera else (clip, ())
    for line in notes:
        note(f"{line.rstrip('.')}.")
    blob = BlobRef(**{name: info["depth"][name] for name in ("sha256", "size", "name")})
    return LoadedShot(shot, clip), Media(kind="npz", blobs=(blob,))


def _mesh(client: Client, shot: LoadedShot, watch: Watch) -> MeshSpec:
    options = msgspec.convert(shot.options.mesh_options(), MeshOptions, from_attributes=True)
    painted = shot.thickness_map()
    if painted is None:
        return MeshSpec(options=options)
    shot.mesh()  # says here what does not fit
    blobs = upload_all(client, [frame.tobytes() for frame in painted.reshape(-1, *painted.shape[-2:])], watch)
    if painted.ndim == 2:
        return MeshSpec(options=options, thickness=blobs[0])
    return MeshSpec(options=options, edits=tuple(MeshEdit(frame=t, thickness=b) for t, b in enumerate(blobs)))
