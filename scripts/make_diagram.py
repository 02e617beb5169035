"""Draw the flow of the project as an SVG that needs no network and no fonts of its own.

python scripts/make_diagram.py [--output docs/images/flow.svg]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1000, 470
BOX_WIDTH, BOX_HEIGHT = 330, 78
LEFT, RIGHT = 40, WIDTH - 40 - BOX_WIDTH
INK, QUIET, PAPER = "#22252b", "#5d6470", "#fbfbf9"
BLENDER, BACKEND, ARROW = "#e3873c", "#3f7fb5", "#7a828f"
FONT = "font-family='Helvetica, Arial, DejaVu Sans, sans-serif'"


@dataclass(frozen=True)
class Step:
    """One box: where it is, what it is called and what happens in it."""

    x: int
    y: int
    colour: str
    number: str
    title: str
    lines: tuple[str, ...]


STEPS = (
    Step(LEFT, 92, BLENDER, "1", "Import a clip", ("a video and its depth", "(a file, or estimated)")),
    Step(RIGHT, 92, BACKEND, "2", "DW-mesh", ("one closed grid mesh per frame,", "lens and scale of the source")),
    Step(LEFT, 222, BLENDER, "3", "Edit and keyframe",
         ("fix depth in layers, paint occlusion,", "move any Blender camera")),
    Step(RIGHT, 222, BACKEND, "4", "Guides and coverage",
         ("what the new camera sees of the clip,", "and what it does not")),
    Step(RIGHT, 352, BACKEND, "5", "Engine fills the rest",
         ("preview: no model, any machine", "wan: Wan 2.1 with EX-4D, on a GPU")),
    Step(LEFT, 352, BLENDER, "6", "Take",
         ("frames as a video texture, compared,", "exported, repeatable from its seed")),
)  # fmt: skip


def main() -> int:
    """Write the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "flow.svg")
    options = parser.parse_args()
    options.output.write_text(drawing(), encoding="utf-8")
    return 0


def drawing() -> str:
    """The whole SVG."""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' "
        "role='img' aria-label='From a clip in Blender over the backend to a take in Blender'>"
    )
    parts = [head, f"<rect width='{WIDTH}' height='{HEIGHT}' rx='14' fill='{PAPER}'/>", marker()]
    parts += lane(LEFT - 18, "Blender", "your workstation, any graphics card", BLENDER)
    parts += lane(RIGHT - 18, "Backend", "the same machine, or one with a GPU", BACKEND)
    parts += [box(step) for step in STEPS]
    right_edge, y = LEFT + BOX_WIDTH, BOX_HEIGHT // 2
    parts += [
        across(right_edge, RIGHT, 92 + y - 14, "video and depth, as bytes"),
        across(RIGHT, right_edge, 92 + y + 22, "mesh and footage"),
        across(right_edge, RIGHT, 222 + y - 14, "camera move, changed frames"),
        across(RIGHT, right_edge, 222 + y + 22, "coverage, guides"),
        across(RIGHT, right_edge, 352 + y, "finished frames, as they come"),
        down(RIGHT + BOX_WIDTH // 2, 222 + BOX_HEIGHT, 352),
        down(LEFT + BOX_WIDTH // 2, 92 + BOX_HEIGHT, 222),
        text(WIDTH // 2, 44, "one protocol over ZeroMQ", size=13, colour=QUIET, anchor="middle"),
        text(WIDTH // 2, 62, "bytes, never paths", size=13, colour=QUIET, anchor="middle"),
        text(WIDTH // 2, 80, "encrypted between machines", size=13, colour=QUIET, anchor="middle"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def marker() -> str:
    """The arrows' head."""
    return (
        "<defs><marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='8' markerHeight='8' "
        f"orient='auto-start-reverse'><path d='M0 0 L10 5 L0 10 z' fill='{ARROW}'/></marker></defs>"
    )


def lane(x: int, title: str, subtitle: str, colour: str) -> list[str]:
    """One side's frame with its name."""
    width, bottom = BOX_WIDTH + 36, HEIGHT - 22
    return [
        f"<rect x='{x}' y='22' width='{width}' height='{bottom - 22}' rx='12' fill='{colour}' fill-opacity='0.09' "
        f"stroke='{colour}' stroke-opacity='0.5'/>",
        text(x + 18, 56, title, size=22, weight="bold", colour=colour),
        text(x + 18, 77, subtitle, size=14, colour=QUIET),
    ]


def box(step: Step) -> str:
    """One step."""
    x, y = step.x, step.y
    parts = [
        f"<rect x='{x}' y='{y}' width='{BOX_WIDTH}' height='{BOX_HEIGHT}' rx='9' fill='white' stroke='{step.colour}' "
        "stroke-width='1.6'/>",
        f"<circle cx='{x + 26}' cy='{y + 26}' r='14' fill='{step.colour}'/>",
        text(x + 26, y + 31, step.number, size=15, weight="bold", colour="white", anchor="middle"),
        text(x + 50, y + 31, step.title, size=17, weight="bold"),
    ]
    parts += [text(x + 50, y + 50 + 17 * i, line, size=13.5, colour=QUIET) for i, line in enumerate(step.lines)]
    return "\n".join(parts)


def across(start: int, end: int, y: int, label: str) -> str:
    """An arrow between the sides with its label above."""
    inset = 8 if end > start else -8
    return (
        arrow(f"M{start + inset} {y} H{end - inset}")
        + "\n"
        + text((start + end) // 2, y - 7, label, size=13, anchor="middle")
    )


def down(x: int, start: int, end: int) -> str:
    """An arrow from one step to the one below."""
    return arrow(f"M{x} {start + 6} V{end - 6}")


def arrow(path: str) -> str:
    """A line with a head at its end."""
    return f"<path d='{path}' stroke='{ARROW}' stroke-width='2' fill='none' marker-end='url(#head)'/>"


def text(
    x: float, y: float, content: str, *, size: float, weight: str = "normal", colour: str = INK, anchor: str = "start"
) -> str:
    """One line of text."""
    return (
        f"<text x='{x}' y='{y}' {FONT} font-size='{size}' font-weight='{weight}' fill='{colour}' "
        f"text-anchor='{anchor}'>{escape(content)}</text>"
    )


if __name__ == "__main__":
    sys.exit(main())
