"""A shot on the command line: loaded and drawn by the library, with a word on what is worth knowing on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.cli.console import frame_ranges, note, warn
from ex4d.progress import Watch
from ex4d.shots.options import ShotOptions
from ex4d_ground.errors import in_words
from ex4d_ground.files import told_of_folder

if TYPE_CHECKING:
    from ex4d.guides import OnGuide
    from ex4d.shots.draw import RenderedShot
    from ex4d.shots.load import LoadedShot
    from ex4d.shots.take import Stereo
    from ex4d.types import Clip
    from ex4d_ground.cameras import Trajectory
    from ex4d_ground.descriptions import EstimatorInfo
    from ex4d_ground.stereo import Eyes

    WatchedBy = Callable[[Clip, Trajectory], OnGuide]


def render_shot(
    options: ShotOptions,
    watch: Watch,
    *,
    settings: Mapping[str, Any] | None = None,
    still: bool = False,
    by_slope: bool = False,
    takes: bool = False,
    pictures: Callable[[int], Collection[int]] | None = None,
    watched_by: WatchedBy | None = None,
) -> RenderedShot:
    """Load, build and draw a shot; warn about frames that show nothing.

    ``settings`` are those of the engine that it is for, all of them; None is for no engine in particular.
    ``still`` shows frame 0 in every frame. ``by_slope`` hides the faces of an endless mesh that EX-4D's filter
    "boundary" does. ``takes`` says that an engine follows, ``pictures`` which of so many frames' pictures are needed.
    ``watched_by`` is asked, before anything is drawn, whom to show every guide.
    """
    how: dict[str, Any] = {"still": still, "by_slope": by_slope, "takes": takes, "pictures": pictures}
    how["watched_by"] = watched_by
    return render_eyes(options, watch, settings=settings, **how)[0]


def render_eyes(
    options: ShotOptions,
    watch: Watch,
    *,
    settings: Mapping[str, Any] | None = None,
    stereo: Stereo | None = None,
    kept: Path | None = None,
    still: bool = False,
    by_slope: bool = False,
    takes: bool = True,
    pictures: Callable[[int], Collection[int]] | None = None,
    watched_by: WatchedBy | None = None,
) -> list[RenderedShot]:
    """The shot for an engine with these ``settings``, and the right eye's if there is one.

    ``kept`` is how the paths begin of depth and guides that are kept, and taken from there if they are there already.
    """
    import numpy as np

    from ex4d.engines.shot import KNOWN_FIRST
    from ex4d.shots.draw import Drawing, draw_shot, kept_in_file
    from ex4d.shots.parity import steep_faces
    from ex4d.shots.resume import with_kept_depth

    if kept is not None:
        kept_depth = Path(f"{kept}-depth.npz")
        options = with_kept_depth(options, kept_depth)
        if options.depth == kept_depth:
            note(f"Going on with the depth in {kept_depth}.")
    known = bool(settings and settings.get(KNOWN_FIRST))
    kept_guides = None if pictures is None else lambda count: len(pictures(count))
    with nullcontext() if kept is None else told_of_folder(kept, "the depth to go on with"):
        loaded = load(options, watch, takes=takes, known=known, guides=kept_guides)
    mesh, move = loaded.mesh(), loaded.trajectory(warn_of)
    if still:
        move = replace(move, source_time=np.zeros(len(move)))
    if by_slope:
        mesh.face_flags.update(
            {t: steep_faces(mesh.vertices(t), mesh.faces) for t in set(move.source_time.astype(int))}
        )
    shots = []
    moves = [move]
    if stereo is not None:
        eyes = stereo.eyes(loaded.clip, move)
        tell_eyes(eyes, loaded.clip, move)
        moves.append(eyes.right(move))
    for eye, trajectory in enumerate(moves):
        path = None if kept is None else Path(f"{kept}-{eye}.npz")
        keep = path and kept_in_file(path, lambda path: note(f"Going on with the guides in {path}."))
        shown = None if watched_by is None else watched_by(mesh.clip, trajectory)
        how: dict[str, Any] = {"settings": settings, "keep": keep, "pictures": pictures, "on_frame": shown}
        shot = draw_shot(mesh, trajectory, Drawing.of(options), **how, **watch)
        tell_drawn(shot)
        shots.append(shot)
    return shots


def tell_eyes(eyes: Eyes, clip: Clip, move: Trajectory) -> None:
    """Say how far the eyes stand apart and what parallax that makes; warn where eyes would not bear it."""
    from ex4d.shots.take import comfort

    seen = comfort(eyes, clip, move)
    where = f"converging at depth {eyes.convergence[0]:.4g}" if eyes.convergence else "parallel"
    note(f"Eyes: {eyes.distance[0]:.4g} apart, {where}; the left one is the move's camera. {seen.text}.")
    for line in seen.warnings:
        warn(line)


def load(
    options: ShotOptions,
    watch: Watch,
    *,
    takes: bool = False,
    solves: bool = True,
    known: bool = False,
    guides: Callable[[int], int] | None = None,
) -> LoadedShot:
    """Load the shot; say what the run takes and where depth and lens come from; warn of depth behind the border.

    ``takes``, ``known`` and ``guides`` as of :func:`ex4d.shots.load.load_shot`. Without ``solves`` a filming camera
    that is to be estimated is left to the caller.
    """
    from ex4d.clip.depth_hints import border_hint
    from ex4d.depth import get_estimator
    from ex4d.dwmesh.still import camera_moves
    from ex4d.shots.load import load_shot

    if options.depth is None:
        announce(get_estimator(options.estimator_name).info(), options.estimator_settings)
    parts: dict[str, Any] = {"takes": takes, "solves": solves, "known": known, "guides": guides}
    loaded = load_shot(options, **parts, on_needs=lambda needs: note(f"{needs.text}."), **watch)
    for line in loaded.estimated.details() if loaded.estimated else ():
        note(line)
    for line in loaded.notes:
        note(f"{line.rstrip('.')}.")
    if options.save_depth is not None:
        note(f"Kept the depth: {options.save_depth}")
    if loaded.filled is not None and loaded.filled.count:
        note(f"Filled depth in {loaded.filled.describe()}.")
    clip, lens = loaded.clip, loaded.clip.intrinsics
    hint = "; give --fov, --focal or --lens_from if you know better" if lens.is_assumed else ""
    note(f"Focal length: {lens.fx:.1f} px ({lens.fov_deg:.1f} deg), {lens.source}{hint}.")
    if clip.view is not None:
        said = " (assumed: the file does not say)" if clip.view.space.assumed else ""
        note(f"Colours: {clip.view.space}{said}.")
    if options.source_camera is None and not options.parity and camera_moves(clip.frames):
        note(
            "The camera that filmed seems to move, and the new one goes along with it; with --source_camera estimate "
            "it goes its own way."
        )
    if clip.depth_licence:
        note(f"Depth: {clip.depth_source}; licence: {clip.depth_licence}.")
    behind = border_hint(clip.depth, options.mesh_options().border_depth, clip.sky_from)
    if behind is not None:
        warn(in_words(*behind, "cli"))
    return loaded


def warn_of(sentence: str) -> None:
    """A warning from a sentence without full stop."""
    warn(f"{sentence}.")


def announce(info: EstimatorInfo, settings: Mapping[str, Any]) -> None:
    """Name the estimator and its licence before it runs; warn if it, or what ``settings`` choose, is restricted."""
    tell_terms(info.name, info.title, info.licence_text, research_only=info.research_only)
    if info.restricts(settings) and not info.research_only:
        chosen = ", ".join(f"{k}={v}" for k, v in settings.items() if f"{k}={v}" in info.research_only_with)
        warn(f"{info.name} with {chosen} is for research only; with its own default it may be used commercially.")


def tell_terms(estimator: str, title: str, licence: str, *, research_only: bool) -> None:
    """Name what estimates depth, and its licence; warn if it is not for production."""
    from ex4d.depth import DEFAULT_ESTIMATOR

    note(f"Depth is estimated by {title}; licence: {licence}.")
    if research_only:
        warn(f"{estimator} is for research only; {DEFAULT_ESTIMATOR} may be used commercially.")


def tell_drawn(shot: RenderedShot) -> None:
    """What drew the guides, the lead-in if there is one, and a warning about frames that show nothing."""
    from ex4d.shots.take import sound_of

    note(f"Guides: drawn by the rasterizer '{shot.rasterizer}'.")
    if shot.plan.message:
        note(shot.plan.message)
    silent = sound_of(shot)[1]
    if silent:
        note(silent)
    empty = shot.guides.empty_frames()
    if empty:
        warn(
            f"The camera sees nothing of the clip in {len(empty)} of {len(shot.trajectory)} frames "
            f"(coverage 0 in frames {frame_ranges(empty)}); move it nearer to the source camera there."
        )
