"""``ex4d generate``: guides in, finished video out, with EX-4D's own flags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ex4d.cli.console import cancel_on_signals, progress_bars, say
from ex4d.cli.settings import parse_settings
from ex4d.errors import SettingError, WeightsError

if TYPE_CHECKING:
    from ex4d.weights import WanWeights

HELP = """Generate the video for a colour and a mask guide with the EX-4D model.

The flags are those of EX-4D's own generate.py; anything else the engine can do is a --set name=value.

Examples:

  ex4d generate --color_video render_180.mp4 --mask_video mask_180.mp4 --output_video out.mp4

  ex4d generate --color_video c.mp4 --mask_video m.mp4 --output_video o.mp4 --set mode=fp8 --set composite=true
"""

_PATHS = "Model files"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("generate", help=HELP)(generate)


def generate(
    color_video: Annotated[Path, typer.Option("--color_video", help="Colour guide.", show_default=False)],
    mask_video: Annotated[Path, typer.Option("--mask_video", help="Mask guide: white is shown.", show_default=False)],
    output_video: Annotated[Path, typer.Option("--output_video", help="Result, .mp4.", show_default=False)],
    height: Annotated[int, typer.Option("--height", help="Height; 0 keeps the guide's own.")] = 512,
    width: Annotated[int, typer.Option("--width", help="Width; 0 keeps the guide's own.")] = 512,
    num_frames: Annotated[int, typer.Option("--num_frames", help="Frames, picked evenly; 0 takes all.")] = 49,
    device: Annotated[str, typer.Option("--device", help="auto, cuda or cpu.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Same inputs and seed: same frames.")] = 0,
    num_inference_steps: Annotated[int, typer.Option("--num_inference_steps", help="Denoising steps.")] = 25,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Engine setting as name=value; repeat for more. A wrong name lists all."),
    ] = None,
    fps: Annotated[float, typer.Option("--fps", help="Frame rate of the result.")] = 15.0,
    root: Annotated[
        Path | None, typer.Option("--root", help="Weights folder. Default: $EX4D_WEIGHTS.", rich_help_panel=_PATHS)
    ] = None,
    ex4d_path: Annotated[
        Path | None, typer.Option("--ex4d_path", help="EX-4D's checkpoint.", rich_help_panel=_PATHS)
    ] = None,
    text_encoder_path: Annotated[
        Path | None, typer.Option("--text_encoder_path", help="T5, .pth.", rich_help_panel=_PATHS)
    ] = None,
    vae_path: Annotated[Path | None, typer.Option("--vae_path", help="VAE, .pth.", rich_help_panel=_PATHS)] = None,
    clip_path: Annotated[Path | None, typer.Option("--clip_path", help="CLIP, .pth.", rich_help_panel=_PATHS)] = None,
    dit_dir: Annotated[
        Path | None, typer.Option("--dit_dir", help="Folder with the base model's shards.", rich_help_panel=_PATHS)
    ] = None,
) -> None:
    """Check the flags, read the guides, run the engine, write the video; the help text is ``HELP``."""
    from ex4d.clip import write_video
    from ex4d.generate import get_engine
    from ex4d.generate.base import GenerateRequest
    from ex4d.generate.guide_videos import read_guides
    from ex4d.trajectory import static
    from ex4d.types import Intrinsics

    if (height == 0) != (width == 0):
        raise SettingError(f"Give both --height and --width, or 0 for both; got {height} and {width}.")
    if not 0 < fps < float("inf"):
        raise SettingError(f"--fps must be a positive number, got {fps:g}.")
    get_engine("wan")  # says which packages are missing, if any
    weights = _weights(root, ex4d_path, dit_dir, text_encoder_path, vae_path, clip_path)
    engine, chosen = _engine(weights, [f"steps={num_inference_steps}", f"device={device}", *(settings or [])])
    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        guides, _ = read_guides(
            color_video, mask_video, num_frames=num_frames or None, size=(width, height) if width else None,
            on_progress=on_progress, cancel=cancel,
        )  # fmt: skip
        count, rows, columns = guides.mask.shape
        # Guides do not say which camera saw them; the engine does not ask.
        camera = static(num_frames=count, intrinsics=Intrinsics.from_fov(columns, rows))
        request = GenerateRequest(guides, camera, settings=chosen, seed=seed, fps=fps)
        frames = engine.generate(request, on_progress=on_progress, cancel=cancel)
        comment = f"engine=wan mode={chosen['mode']} seed={seed}"
        write_video(output_video, frames, fps=fps, metadata={"comment": comment}, cancel=cancel)
    say(str(output_video))


def _engine(weights: WanWeights, pairs: list[str]) -> tuple[Any, dict[str, Any]]:
    """The engine on these weights, and all its settings. Raises SettingError, WeightsError."""
    from ex4d.generate.wan import WanEngine

    engine = WanEngine(weights)
    info = engine.info()
    chosen = parse_settings(info, pairs)
    if not info.available:
        raise WeightsError(info.missing)
    return engine, chosen


def _weights(
    root: Path | None,
    ex4d: Path | None,
    transformer: Path | None,
    text_encoder: Path | None,
    vae: Path | None,
    clip: Path | None,
) -> WanWeights:
    """The usual weights, with the parts that were given their own paths taken from there."""
    from ex4d.weights import WanWeights

    weights = WanWeights.under(root)
    if transformer is not None:
        weights = replace(weights, base=transformer)
    if ex4d is not None:
        weights = replace(weights, ex4d=ex4d)
    weights = weights.with_part("vae", vae).with_part("image_encoder", clip).with_part("text_encoder", text_encoder)
    tokenizer = text_encoder.parent / "google" / "umt5-xxl" if text_encoder is not None else None
    return replace(weights, tokenizer=tokenizer) if tokenizer is not None and tokenizer.is_dir() else weights
