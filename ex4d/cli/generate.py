"""``ex4d generate``: guides in, finished video out, with EX-4D's own flags."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ex4d.cli.console import say, watched
from ex4d.cli.devices import DevicesOption, on_devices
from ex4d.cli.options import EngineSettings, Seed, panel, require_between, require_frames
from ex4d.cli.settings import ready_settings
from ex4d_ground.camera_files import MAX_SIDE
from ex4d_ground.errors import SettingError
from ex4d_ground.footage import FASTEST_RATE, SLOWEST_RATE

_option, _needed, _path = panel(None), panel(None, show_default=False), panel("Model files")


def generate(
    context: typer.Context,
    color_video: Annotated[Path, _needed("--color_video", "Colour guide.")],
    mask_video: Annotated[Path, _needed("--mask_video", "Mask guide: white is shown.")],
    output_video: Annotated[Path, _needed("--output_video", "Result, .mp4.")],
    height: Annotated[int, _option("--height", "Height; 0 keeps the guide's own.")] = 512,
    width: Annotated[int, _option("--width", "Width; 0 keeps the guide's own.")] = 512,
    num_frames: Annotated[int, _option("--num_frames", "Frames, picked evenly; 0 takes all.")] = 49,
    device: Annotated[str, _option("--device", "auto, cuda or cpu.")] = "auto",
    devices: DevicesOption = None,
    seed: Seed = 0,
    num_inference_steps: Annotated[int, _option("--num_inference_steps", "Denoising steps.")] = 25,
    settings: EngineSettings = None,
    fps: Annotated[float, _option("--fps", "Frame rate of the result.")] = 15.0,
    root: Annotated[Path | None, _path("--root", "Weights folder. Default: $EX4D_WEIGHTS.")] = None,
    ex4d_path: Annotated[Path | None, _path("--ex4d_path", "EX-4D's checkpoint.")] = None,
    text_encoder_path: Annotated[Path | None, _path("--text_encoder_path", "T5, .pth.")] = None,
    vae_path: Annotated[Path | None, _path("--vae_path", "VAE, .pth.")] = None,
    clip_path: Annotated[Path | None, _path("--clip_path", "CLIP, .pth.")] = None,
    dit_dir: Annotated[Path | None, _path("--dit_dir", "Folder with the base model's shards.")] = None,
) -> None:
    """Generate the video for a colour and a mask guide with the EX-4D model.

    The flags are those of EX-4D's own generate.py; anything else the engine can do is a --set name=value.

    Examples:

      ex4d generate --color_video render_180.mp4 --mask_video mask_180.mp4 --output_video out.mp4

      ex4d generate --color_video c.mp4 --mask_video m.mp4 --output_video o.mp4 --set mode=fp8 --set composite=true
    """
    from ex4d.clip import write_video
    from ex4d.engines import get_engine
    from ex4d.engines.base import GenerateRequest
    from ex4d.engines.guide_videos import read_guides
    from ex4d.trajectory import static
    from ex4d_ground.cameras import Intrinsics

    on_devices(devices, context)
    if (height == 0) != (width == 0):
        raise SettingError(f"Give both --height and --width, or 0 for both; got {height} and {width}.")
    for flag, side in (("--height", height), ("--width", width)):
        require_between(side, 0, MAX_SIDE, flag)
    require_frames(num_frames, 0)
    require_between(fps, SLOWEST_RATE, FASTEST_RATE, "--fps")
    get_engine("wan")  # says which packages are missing, if any
    from ex4d.engines.wan import WanEngine
    from ex4d.weights import WanWeights

    tokenizer = text_encoder_path.parent / "google" / "umt5-xxl" if text_encoder_path is not None else None
    own = {"base": dit_dir, "ex4d": ex4d_path, "tokenizer": tokenizer if tokenizer and tokenizer.is_dir() else None}
    weights = replace(WanWeights.under(root), **{name: path for name, path in own.items() if path is not None})
    weights = weights.with_part("vae", vae_path).with_part("image_encoder", clip_path)
    engine = WanEngine(weights.with_part("text_encoder", text_encoder_path))
    steps_and_device = [f"steps={num_inference_steps}", f"device={device}"]
    chosen = ready_settings(engine.info(), [*steps_and_device, *(settings or [])])
    with watched() as watch:
        size = (width, height) if width else None
        guides, _ = read_guides(color_video, mask_video, num_frames=num_frames or None, size=size, **watch)
        count, rows, columns = guides.mask.shape
        # Guides do not say which camera saw them; the engine does not ask.
        camera = static(num_frames=count, intrinsics=Intrinsics.from_fov(columns, rows))
        request = GenerateRequest(guides, camera, settings=chosen, seed=seed, fps=fps)
        frames = engine.generate(request, **watch)
        metadata = {"comment": f"engine=wan mode={chosen['mode']} seed={seed}"}
        write_video(output_video, frames, fps=fps, metadata=metadata, cancel=watch.get("cancel"))
    say(str(output_video))
