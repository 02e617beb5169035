"""Make the gallery: its pictures from the example clip, and docs/gallery.md with the command under each.

    python scripts/make_gallery.py [--work out/gallery] [--output docs]

Every command that the page shows is run for its picture. What the commands write is kept in ``--work`` and not made
again until the command changes (or the folder is deleted).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from docs_cli import wrapped
from picture_tools import CLIP, ROOT, captioned, labelled_rows, read_guides, run_ex4d, save_animation
from PIL import Image

from ex4d.clip import read_video
from ex4d.export.anaglyph import anaglyph
from ex4d.pictures import checkered
from ex4d.takes import read_take
from ex4d.trajectory import PRESETS

MODE = ("--mode", "solid")
SHOWN = (0, 12, 24, 36, 48)
INTRO = """# Gallery

<!-- Written by scripts/make_gallery.py: change that, not this page. -->

Everything here is made from `examples/clip.mp4` and its depth by the commands shown, on a CPU. The checker pattern is
what the new camera does not see of the clip: an engine has to fill it. The percentage is the coverage, the share of the
frame that the clip really shows. Results are by the `preview` engine, which has no model: it shows in holes
what else the clip shows, and carries its floor and walls on.
"""


@dataclass(frozen=True)
class Group:
    """Camera moves that share a picture."""

    name: str
    title: str
    text: str
    moves: tuple[str, ...]


GROUPS = (
    Group(
        "orbits",
        "Orbits",
        "The camera circles the target and really reaches the angle. The target is on the source's view axis, at the "
        "nearest point of the first frame.",
        ("orbit_left", "orbit_right", "orbit_up", "orbit_down", "sway"),
    ),
    Group(
        "moves",
        "Trucks, pedestals and cranes",
        "Straight moves. Trucks and pedestals keep the camera's direction, cranes hold the target.",
        ("truck_left", "truck_right", "pedestal_up", "pedestal_down", "crane_up", "crane_down"),
    ),
    Group(
        "lens",
        "Zooms and lenses",
        "Moves along the view axis, and changes of the focal length.",
        ("zoom_in", "zoom_out", "vertigo_in", "vertigo_out", "lens_zoom", "static"),
    ),
    Group(
        "published",
        "EX-4D's own curves",
        "The curves of the published program.",
        ("30", "60", "90", "180", "180_outer"),
    ),
)


def main() -> int:
    """Write the pictures and the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("out/gallery"), help="where the commands write")
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    images = options.output / "images"
    images.mkdir(parents=True, exist_ok=True)
    check_groups()
    parts = [INTRO, *(make(options.work, images) for make in (occluders, coverage, bullet_time, stereo))]
    parts.append(web_page())
    parts.append("## Camera moves\n\nEach row shows frames 1, 13, 25, 37 and 49 of 49.\n")
    parts += [moves(group, options.work, images) for group in GROUPS]
    (options.output / "gallery.md").write_text("\n".join(parts), encoding="utf-8")
    return 0


def check_groups() -> None:
    """Every move has its place. Raises SystemExit."""
    shown = [name for group in GROUPS for name in group.moves]
    if sorted(shown) != sorted(PRESETS):
        raise SystemExit(f"The gallery's groups and the moves differ: {sorted(set(shown) ^ set(PRESETS))}.")


def guides(name: str, *arguments: str, work: Path, cam: str) -> tuple[str, np.ndarray, np.ndarray]:
    """The command, colour and mask of one move."""
    folder = work / name
    command = ("recon", *CLIP, *arguments, "--output_dir", str(folder), "--lossless")
    shown = run_ex4d(*command, output=ROOT / folder)
    colour, mask = read_guides(ROOT / folder / f"guides_{cam}.npz")
    return shown, colour, mask


def occluders(work: Path, images: Path) -> str:
    """Endless against solid occluders, animated."""
    source = read_video(ROOT / "examples" / "clip.mp4")[0]
    made = {
        mode: guides(f"occluders_{mode}", "--cam", "orbit_right", "--amount", "30", "--mode", mode, work=work,
                     cam="orbit_right")
        for mode in ("endless", "solid")
    }  # fmt: skip
    frames = []
    for i in range(len(source)):
        tiles, captions = [source[i]], [("Source", f"frame {i + 1}")]
        for mode, (_, colour, mask) in made.items():
            tiles.append(checkered(colour[i], mask[i]))
            captions.append((f"--mode {mode}", f"{mask[i].mean():.0%}"))
        frames.append(captioned(tiles, captions, width=340))
    save_animation(frames, images / "endless-solid.webp", milliseconds=80, quality=66)
    frames[-1].save(images / "endless-solid.jpg", quality=86, optimize=True)
    means = {mode: mask.mean() for mode, (_, _, mask) in made.items()}
    commands = "\n".join(wrapped(shown) for shown, _, _ in made.values())
    return section(
        "Endless and solid occluders",
        "As published, every object blocks everything behind it, however far away: an *endless* wall. *Solid* "
        "occluders have a finite thickness, so more of the clip stays. Over this move the clip covers "
        f"{means['endless']:.0%} of the frames with endless and {means['solid']:.0%} with solid occluders. How much of "
        "that is true is a question for the [evaluation](evaluation.md).",
        "endless-solid.webp",
        "Source, endless and solid occluders under a 30 degree orbit",
        commands,
    )


def coverage(work: Path, images: Path) -> str:
    """The coverage plot of a wide move."""
    folder = work / "coverage"
    shown = run_ex4d("coverage", *CLIP, "--cam", "90", *MODE, "--output_dir", str(folder), output=ROOT / folder)
    plot = Image.open(ROOT / folder / "coverage_90.png").convert("RGB")
    plot.save(images / "coverage-plot.png", optimize=True)
    return section(
        "Coverage before generating",
        "The curve shows how much of each frame the clip really covers. Where it runs low, the engine invents most of "
        "the frame. Blue is where a floor or a wall of the clip goes on, grey has to be invented.",
        "coverage-plot.png",
        "Coverage over the frames of a 90 degree move, with guides of a few frames under the curve",
        wrapped(shown),
    )


def bullet_time(work: Path, images: Path) -> str:
    """The clip stands still while the camera swings around."""
    camera = work / "bullet.npz"
    script = ["examples/bullet_time.py", "examples/clip.mp4", "examples/depth.npz", str(camera)]
    subprocess.run([sys.executable, *script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    arguments = ("--cam", str(camera), *MODE)
    shown, colour, mask = guides("bullet", *arguments, work=work, cam="bullet")
    frames = (8, 16, 28, 40, 56)
    tiles = [checkered(colour[i], mask[i]) for i in frames]
    captions = [(f"frame {i + 1}", "stands still" if 16 <= i < 41 else "plays") for i in frames]
    captioned(tiles, captions, width=230).save(images / "bullet-time.jpg", quality=86, optimize=True)
    return section(
        "Bullet time",
        "The source time is part of a move: here the clip plays, stands still while the camera swings, and plays on. "
        "In Blender, keyframe the *Source Frame* for the same.",
        "bullet-time.jpg",
        "The clip plays, stands still while the camera swings around, and plays on",
        f"{wrapped(' '.join(('python', *script)))}\n{wrapped(shown)}",
    )


def stereo(work: Path, images: Path) -> str:
    """A stereo pair by the preview engine."""
    folder = work / "stereo"
    arguments = ("run", *CLIP, "--cam", "static", "--engine", "preview", "--stereo", "auto")
    shown = run_ex4d(*arguments, "--output_dir", str(folder), output=ROOT / folder)
    take = read_take(ROOT / folder / "take_001")
    assert take.right is not None
    left, right = take.frames[24], take.right.frames[24]
    both = anaglyph(*(eye.astype(np.float32) / np.float32(255) for eye in (left, right)))
    pictures = [left, right, np.rint(both * 255).astype(np.uint8)]
    captions = [("Left eye", "frame 25"), ("Right eye", ""), ("Anaglyph", "red-cyan")]
    captioned(pictures, captions, width=400).save(images / "stereo.jpg", quality=86, optimize=True)
    return section(
        "Stereo",
        "Two cameras, as far apart as the clip's depth asks for, and both in one picture: [stereo](stereo.md).",
        "stereo.jpg",
        "Left eye, right eye, and the anaglyph of both",
        wrapped(shown),
    )


def web_page() -> str:
    """The shot as a page; ``make_web_picture.py`` films it."""
    return section(
        "Web page",
        "The clip as a [web page](web.md), filmed in a browser: looking around while it plays, as far as the clip "
        "holds, and then through the camera of a move. What the clip does not show stays empty.",
        "web-page.webp",
        "A browser shows the clip from other sides while it plays",
        wrapped(" ".join(("ex4d web", *CLIP, "--cam orbit_left --amount 20 --side 320 --output_dir out/web_picture"))),
    )


def moves(group: Group, work: Path, images: Path) -> str:
    """One group's contact sheet."""
    rows = []
    for name in group.moves:
        arguments = ("--cam", name, *MODE)
        _, colour, mask = guides(name, *arguments, work=work, cam=name)
        info = PRESETS[name]
        plain = info.published or info.maximum <= info.minimum
        lines = ["" if plain else f"{info.amount:g} {info.unit}", f"mean coverage {mask.mean():.0%}"]
        rows.append((name, [line for line in lines if line], [checkered(colour[i], mask[i]) for i in SHOWN]))
    command = wrapped(" ".join(("ex4d recon", *CLIP, "--cam $cam", *MODE, f"--output_dir {work}/$cam", "--lossless")))
    loop = f"for cam in {' '.join(group.moves)}; do\n  {command.replace(chr(10), chr(10) + '  ')}\ndone"
    picture = f"gallery-{group.name}.jpg"
    labelled_rows(rows, width=170, label=230).save(images / picture, quality=84, optimize=True)
    text = f"{group.text}\n\n{table(group.moves)}"
    return section(group.title, text, picture, f"Guides of {', '.join(group.moves)}", loop, level=3)


def table(names: Sequence[str]) -> str:
    """What each move is, in the library's words."""
    lines = ["| move | what it does | amount |", "|---|---|---|"]
    for name in names:
        info = PRESETS[name]
        amount = (
            ""
            if info.maximum <= info.minimum
            else f"{info.amount:g} ({info.minimum:g} to {info.maximum:g}), {info.unit}"
        )
        lines.append(f"| `{name}` | {info.help} | {amount} |")
    return "\n".join(lines)


def section(title: str, text: str, picture: str, alt: str, commands: str, *, level: int = 2) -> str:
    """A heading, a paragraph, a picture and the commands that made it."""
    return f"{'#' * level} {title}\n\n{text}\n\n![{alt}](images/{picture})\n\n```\n{commands}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
