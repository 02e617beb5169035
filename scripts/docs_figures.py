"""Fill the docs' tables of measured figures from benchmarks/results.

    python scripts/docs_figures.py [--check] [--pages PAGE ...]

Without ``--pages`` those of docs/, the README and that of the benchmarks. A page marks the place of a table with
``<!-- figures: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_figures
import farm_figures
import train_figures
import wan_figures
from figure_tables import results, table

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "benchmarks" / "README.md"]
BLOCK = re.compile(r"(<!-- figures: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Fill or check every page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    parser.add_argument("--pages", type=Path, nargs="+", default=PAGES)
    options = parser.parse_args()
    stale = []
    for page in options.pages:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale.append(page)
            if not options.check:
                page.write_text(new, encoding="utf-8")
    if options.check and stale:
        print(f"{', '.join(map(str, stale))} not up to date; run: python scripts/docs_figures.py", file=sys.stderr)
        return 1
    return 0


def filled(text: str) -> str:
    """A page with its tables. Raises KeyError for a table that there is not."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m['name']]().strip()}\n\n{m[4]}", text)


def blender_versions() -> str:
    """How many tests of each feature passed in each Blender version; failed and skipped ones are named, too."""
    found = results("blender_versions")
    features = ("import", "move", "guides", "live", "edits", "paint", "takes", "exports", "reopen", "colours", "other")

    def said(counts: dict[str, int]) -> str:
        more = [f"{counts[kind]} {kind}" for kind in ("failed", "skipped") if counts.get(kind)]
        return ", ".join([str(counts.get("passed", 0)), *more])

    rows = [(name, *(said(each["features"].get(name, {})) for each in found.values())) for name in features]
    pythons = ("*Python*", *(each["python"] for each in found.values()))
    head = ("tests that passed", *(each["blender"] for each in found.values()))
    return table(head, [pythons, *rows])


def backend_guides() -> str:
    """Guides and live views through a backend, by what draws them."""
    measured = results("backend_guides_h200")
    rows = [
        (
            f"clip of {job['size']}, {job['mode']}",
            job["drawn_by"],
            f"{job['guides_ms']:.0f}",
            f"{job['whole_ms'] / 1000:.1f}",
        )
        for job in measured["jobs"]
        if job["asked"] != "auto"
    ]
    drags = [drag for drag in measured["drag"] if drag["asked"] != "auto"]
    dragged = [
        (drag["asked"], f"{drag['camera_to_picture_ms']['median']:.0f}", f"{drag['camera_to_picture_ms']['p95']:.0f}")
        for drag in drags
    ]
    head = ("RenderGuides, 49 frames", "drawn by", "guides, ms", "whole job, s")
    return (
        f"One {measured['device'][0]} with {measured['cores']} CPU cores, one server, one run "
        f"(`benchmarks/backend_guides.py`).\n\n{table(head, rows)}\n\n"
        "The rest of a job is making PNGs and sending them. A camera dragged all the time over a clip of "
        f"{drags[0]['size']}, from the request to the picture in the client:\n\n"
        + table(("drawn by", "median, ms", "95 %, ms"), dragged)
    )


def holes() -> str:
    """How right filled holes of a depth camera are, beside the nearest valid pixel."""
    measured = results("holes_kinect")
    sets = [(f"recording, frames {each['frames']}", each) for each in measured["recording"]]
    sets += [(each["frames"], each) for each in measured["made"]]
    keys = ("too_near", "too_far", "median_error")
    rows = [(name, *(f"{each['nearest'][key]:.2f} → {each['ours'][key]:.2f} %" for key in keys)) for name, each in sets]
    return table(("nearest pixel → ours", "too near", "too far", "median error"), rows)


def footage_costs() -> str:
    """Time, memory and disk of guides and of a preview take, on a processor alone."""
    measured = results("footage_costs")
    names = {"recon": "guides", "preview": "guides and a preview take"}
    rows = [
        (
            f"{row['width']}x{row['height']}, {row['frames']} frames",
            f"{names[row['command']]} (`ex4d {row['command']}`)",
            f"{row['seconds']:.0f}",
            f"{row['memory_mib'] / 1024:.1f}",
            f"{row['disk_mib']:.0f}",
        )
        for row in measured["rows"]
    ]
    return table(("clip", "what", "seconds", "memory at most, GiB", "left on disk, MiB"), rows) + (
        f"\n\nOne run of each on a machine of {measured['cores']} processor cores, without a GPU, reading the clip and "
        f"writing the results included.{_beside(measured)}"
    )


def hd_costs() -> str:
    """Processor time, wall time and memory of HD and 4K shots; of the version before in brackets, where measured."""
    measured = results("hd")
    names = {
        "recon": "guides (`ex4d recon`)", "preview": "guides and a preview take (`ex4d preview`)",
        "filled": "the same, `known_first=no`", "coverage": "coverage (`ex4d coverage`)",
        "still": "a preview take of a filming camera that stands still, its holes filled with the place",
    }  # fmt: skip

    def said(row: dict[str, Any], name: str, scale: float, digits: int) -> str:
        before = f" ({row['baseline'][name] / scale:.{digits}f})" if "baseline" in row else ""
        return f"{row['now'][name] / scale:.{digits}f}{before}"

    rows = [
        (
            f"{row['width']}x{row['height']}, {row['frames']:,} frames",
            names[row["command"]],
            said(row, "cpu_seconds", 1, 0),
            said(row, "wall_seconds", 1, 0),
            said(row, "memory_mib", 1024, 2),
            said(row, "disk_mib", 1, 0),
        )
        for row in measured["rows"]
        if "width" in row
    ]
    head = ("clip", "what", "processor seconds", "seconds", "memory at most, GiB", "left on disk, MiB")
    bracket = " In brackets: the version before." if any("baseline" in row for row in measured["rows"]) else ""
    return table(head, rows) + (
        f"\n\nOne run of each on a machine of {measured['cores']} processor cores, without a GPU, reading the clip and "
        f"writing the results included.{bracket}{_beside(measured)}"
    )


def _beside(measured: dict[str, Any]) -> str:
    """What else ran, by the average load of the minute before."""
    load = measured["load_before"]
    return "" if load < 2 else f" Other programs were running too (load {load:.0f}): an idle machine is faster."


def eval_memory() -> str:
    """Guides with and without what the camera saw at other times, scene by scene."""
    measured = results("eval_memory")
    depths, variants = measured["scores"], ("solid", "other frames", "world memory")

    def cells(scene: dict[str, dict[str, float]], depth: str) -> tuple[str, ...]:
        shown = [f"{scene[v]['iou']:.3f} ({100 * scene[v]['false_visible']:.1f} %)" for v in variants]
        right = [f"{100 * scene[v]['right']:.0f}" for v in variants] if depth == "true" else []
        return (*shown, " / ".join(right), " / ".join(f"{scene[v]['psnr']:.1f}" for v in variants))

    rows = [
        (scene, "true" if depth == "true" else "drift and blur", *cells(found, depth))
        for depth, scenes in depths.items()
        for scene, found in scenes.items()
    ]
    head = ("scene", "depth", *variants, "right surface, %", "PSNR, dB")
    views, angle = measured["views_per_scene"], measured["angle_deg"]
    return f"{table(head, rows)}\n\nMean of {views} views a scene, {angle} degrees from that moment's source camera."


def eval_memory_other_seeds() -> str:
    """The same of other seeds' scenes: what the mask is worth with true depth and with depth made worse."""
    measured = {seed: results(f"eval_memory_seed{seed}")["scores"] for seed in (23, 31, 47)}
    variants = ("other frames", "world memory")

    def cells(scenes: dict[str, dict[str, dict[str, float]]], scene: str) -> list[str]:
        return [f"{scenes[scene][v]['iou']:.3f} ({100 * scenes[scene][v]['false_visible']:.1f} %)" for v in variants]

    rows = [
        (scene, str(seed), *(cell for scenes in depths.values() for cell in cells(scenes, scene)))
        for scene in next(iter(measured.values()))["true"]
        for seed, depths in measured.items()
    ]
    return table(("scene", "seed", *variants, *(f"{v}, drift and blur" for v in variants)), rows)


def world_memory() -> str:
    """What world memory costs on a processor alone."""
    measured = results("world_memory")
    rows = [
        (name, f"{way['seconds']:.1f}", f"{way['cpu_seconds']:.1f}", f"{way['peak_mib']:.0f}")
        for name, way in measured["ways"].items()
        if "cpu_seconds" in way
    ]
    head = ("guides", "seconds", "processor seconds", "memory beyond the clip, MiB")
    clip, load = f"{measured['frames']} frames of {measured['size']}", measured["load_before"]
    return table(head, rows) + (
        f"\n\n{clip} on {measured['threads']} cores, whose load average was {load:.1f} before: "
        "`benchmarks/world_memory.py`."
    )


def moving() -> str:
    """The estimate of the filming camera, move by move."""
    rows = []
    for row in results("eval_moving_seed11")["rows"]:
        path = row["ate_of_path"]
        ate = f"{row['ate_of_depth']:.2f} %" + (f" ({path:.2f} %)" if path is not None else "")
        shown = (ate, f"{row['rotation_deg']:.3f}°", f"{row['swim_median']:.2f} / {row['swim_95']:.2f} %")
        if row["failure"]:
            shown = ("says that it failed", "–", "–")
        lens = row["lens"] if row["lens"] == "given" else f"looked for: {row['focal']:.1f} % off"
        lens = lens if row["focal_known"] else "looked for: says unknown"
        names = ("still", "estimated", "true")
        seen = " / ".join(f"{row[f'psnr_{name}']:.1f}" for name in names) if "psnr_true" in row else "–"
        depth = row["depth"] + (", matte" if row["matte"] else "")
        rows.append((row["move"], depth, lens, *shown, seen, f"{row['core_seconds_a_frame']:.2f} s"))
    head = ("move", "depth", "lens", "ATE of depth (of path)", "rotation", "swim median / 95 %")
    text = table((*head, "locked-off PSNR: still / estimated / true", "core time a frame"), rows)
    seeds = ("eval_moving_seed11", "eval_moving_seed12")
    judged = {results(name)["settings"]["seed"]: results(name)["rows"] for name in seeds}
    met = "; ".join(f"{sum(row['met'] for row in each)} of {len(each)} of seed {seed}" for seed, each in judged.items())
    return f"{text}\n\nRows that meet their bar: {met}."


def farm(part: Callable[[dict[str, Any]], tuple[tuple[str, ...], list[tuple[str, ...]], str]]) -> str:
    """A table of the farm's simulation."""
    head, rows, text = part(results("farm_plan"))
    return f"{table(head, rows)}\n\n{text}"


TABLES: dict[str, Callable[[], str]] = {
    "blender_versions": blender_versions,
    "wan-setup": wan_figures.setup,
    "wan-time": wan_figures.time,
    "wan-plans": wan_figures.plans,
    "wan-cold": wan_figures.cold,
    "wan-errors": wan_figures.errors,
    "wan-parallel": wan_figures.parallel,
    "how-fast": bench_figures.how_fast,
    "guides-gpu": bench_figures.guides_gpu,
    "depth-memory": bench_figures.depth_memory,
    "guides-cpu": bench_figures.guides_cpu,
    "live": bench_figures.live,
    "backend": bench_figures.backend,
    "blender": bench_figures.blender,
    "backend-guides": backend_guides,
    "footage-costs": footage_costs,
    "hd-costs": hd_costs,
    "train_steps": train_figures.steps,
    "train_parallel": train_figures.parallel,
    "train_proof": train_figures.proof,
    "train_masks": train_figures.masks,
    "holes": holes,
    "eval-memory": eval_memory,
    "eval-memory-other-seeds": eval_memory_other_seeds,
    "world-memory": world_memory,
    "moving": moving,
    "farm-needs": lambda: farm(farm_figures.needs),
    "farm-growth": lambda: farm(farm_figures.growth),
}

if __name__ == "__main__":
    sys.exit(main())
