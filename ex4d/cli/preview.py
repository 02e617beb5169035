"""``ex4d preview``: the whole way to a take with the preview engine, on any machine."""

from ex4d.cli.console import say, watched
from ex4d.cli.options import EngineSettings, OutputDir, Seed
from ex4d.cli.settings import ready_settings
from ex4d.cli.shot import render_shot
from ex4d.shots.options import ShotOptions


def preview(options: ShotOptions, output_dir: OutputDir, seed: Seed = 0, settings: EngineSettings = None) -> None:
    """Render a camera move and fill its holes without a model, in seconds, as a take.

    Writes the next free take_NNN/ (numbered PNGs and take.json) and take_NNN.mp4, both marked engine=preview: it shows
    the move, not what the model will make of it.

    Examples:

      ex4d preview --input_video shot.mp4 --depth d.npz --cam orbit_left --output_dir shots/010

      ex4d preview --input_video plates/ --depth z_exr/ --cam layout/camera_v3.npz --fov 40 --output_dir shots/010
    """
    from ex4d.engines import get_engine
    from ex4d.shots.take import run_engine
    from ex4d.takes import save_take
    from ex4d_ground.files import made_folder

    engine = get_engine("preview")
    chosen = ready_settings(engine.info(), settings)
    with watched() as watch, made_folder(output_dir):
        shot = render_shot(options, watch, settings=chosen, takes=True)
        take = run_engine(engine, shot, settings=chosen, seed=seed, **watch)
        folder = save_take(output_dir, take, **watch)
    say(f"{folder}\n{folder.with_suffix('.mp4')}")
