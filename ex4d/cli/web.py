"""``ex4d web``: a shot as a page in which one can walk about."""

from pathlib import Path
from typing import Annotated

from ex4d.cli.console import note, say, warn, watched
from ex4d.cli.options import OutputDir, panel
from ex4d.cli.shot import load, warn_of
from ex4d.shots.options import ShotOptions
from ex4d_ground.errors import SettingError

_option = panel("Output")


def web(
    options: ShotOptions,
    output_dir: OutputDir,
    take: Annotated[
        list[Path] | None,
        _option("--take", "A take of this shot (its folder), to switch to and to see its camera; repeat for more."),
    ] = None,
    side: Annotated[int, _option("--side", "Pixels of the longer side of the page's picture, at most.")] = 960,
) -> None:
    """Write a shot as a web page that plays it in depth: look around it with mouse, touch or a headset.

    Writes index.html, which holds everything: it opens by double click or from any web server, and asks for nothing.
    The page also replays the move --cam and those of the takes. One can walk as far as the shot holds.

    Examples:

      ex4d web --input_video shot.mp4 --depth d.npz --cam orbit_left --output_dir page

      ex4d web --input_video shot.mp4 --depth d.npz --cam layout/camera.npz --take shots/010/take_003 --output_dir page
    """
    from ex4d.guides.request import source_frames
    from ex4d.web import Replay, WebOptions, new_page, shot_source, take_source, write_page
    from ex4d_ground.files import made_folder

    chosen = WebOptions(side=side)
    if options.parity or options.mode == "endless":
        raise SettingError("A page has solid occluders; drop --parity and --mode endless.")
    new_page(output_dir)  # before anything that takes long
    with watched() as watch, made_folder(output_dir):
        loaded = load(options, watch)
        chosen.size(loaded.clip.width, loaded.clip.height)
        mesh, move = loaded.mesh(), loaded.trajectory(warn_of)
        if options.other_frames or options.world_memory:
            note("A page shows of each moment its own pixels alone: what other frames saw is left out.")
        sources = [shot_source(mesh)]
        replays = [Replay(options.cam_name, move, source_frames(move, mesh.num_frames).tolist())]
        for folder in take or ():
            source, replay = take_source(folder, mesh, **watch)
            sources.append(source)
            replays.append(replay)
            if source.objects:
                warn(f"{folder}: guide objects are left out of the page: {', '.join(source.objects)}.")
        page = write_page(output_dir, sources, replays, chosen, **watch)
    say(f"{page}  {page.stat().st_size / 1e6:.1f} MB")
