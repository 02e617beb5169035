"""Fill the docs' tables of measured figures from benchmarks/results: no figure is typed by hand.

    python scripts/docs_figures.py [--check] [--docs docs]

A page marks the place of a table with ``<!-- figures: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import farm_figures

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- figures: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
MODES = ("exact", "fast", "fp8", "turbo")


def main() -> int:
    """Fill or check every page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    stale = []
    for page in sorted(options.docs.glob("*.md")):
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


def results(name: str) -> dict[str, Any]:
    """One file of kept results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def wan_setup() -> str:
    """On what it was measured."""
    where = results("wan_h200")["environment"]
    return (
        f"{where['frames']} frames of {where['size']} on one {where['gpu']} ({where['gpu_gib']:.0f} GiB), "
        f"torch {where['torch']}, CUDA {where['cuda']}, diffusers {where['diffusers']}."
    )


def wan_time() -> str:
    """Time per mode beside the published program's."""
    found = results("wan_h200")
    upstream = found["upstream"]
    rows = [
        (
            "published program",
            f"{upstream['forward_ms']:.0f}",
            "1.00",
            f"{upstream['clip_denoising_s_extrapolated']:.1f} *",
            "",
            "",
        )
    ]
    for mode in MODES:
        one = found[mode]
        whole = found["whole_clip"][mode]
        measured = "clip_denoising_s" in one
        denoising = one["clip_denoising_s"] if measured else one["clip_denoising_s_extrapolated"]
        star = "" if measured else " *"
        guess = " *" if whole["denoising_extrapolated"] else ""
        row = (
            f"`{mode}`",
            f"{one['forward_ms']:.0f}",
            f"{one['forward_ratio']:.2f}",
            f"{denoising:.1f}{star}",
            f"{one['clip_denoising_ratio']:.2f}{star}",
            f"{whole['seconds']:.1f}{guess}",
        )
        rows.append(row)
    head = ("mode", "one forward, ms", "times faster", "denoising a clip, s", "times faster", "whole clip, s")
    return table(head, rows) + (
        "\n\nThe published program's own model code ran in the same process. \\* Extrapolated from one forward. A "
        "whole clip includes encoding and decoding; loading the weights is not in it."
    )


def wan_plans() -> str:
    """Peaks of the memory plans; a plan that failed is shown as such."""
    rows = []
    for name, plan in results("wan_h200")["plans"].items():
        if not isinstance(plan, dict):
            continue
        if "error" in plan:
            cap = re.search(r"([\d.]+) GiB allowed", plan["error"])
            limit = f"{float(cap[1]):g}" if cap else ""
            rows.append((f"`{name}`", limit, "**did not fit**", "", ""))
        else:
            peak = plan["peak"]["reserved_gib"]
            rows.append(
                (
                    f"`{name}`",
                    f"{plan['cap_gib']:g}",
                    f"{peak:.1f}",
                    f"{plan['forward_ms']:.0f}",
                    f"{plan['load_s']:.0f}",
                )
            )
    return table(("plan", "cap, GiB", "peak, GiB", "one forward, ms", "loading, s"), rows) + (
        "\n\nThe allocator was capped at the stated size. The peak is memory reserved by torch."
    )


def wan_cold() -> str:
    """From starting the program to the end of its first forward."""
    runs = results("wan_h200")["cold"]
    rows = [
        (
            "the first time" if name == "first" else "again",
            f"{run['import_s']:.1f}",
            f"{run['load_s']:.1f}",
            f"{run['first_step_s']:.1f}",
            f"{run['total_s']:.0f}",
        )
        for name, run in runs.items()
        if isinstance(run, dict)
    ]
    head = (
        "start of `fast`",
        "importing, s",
        "loading and fusing weights, s",
        "compiling and first forward, s",
        "in all, s",
    )
    return table(head, rows) + (
        "\n\nThe transformer's weights were read from 16-bit files that the system had just written. Encoding "
        "the prompt and the guides is not in it."
    )


def wan_errors() -> str:
    """Error of each mode."""
    errors = results("wan_h200")["errors"]
    rows = []
    for name in ("upstream", *MODES):
        one = errors[name]
        guided = f"{one['guided']:.2%}" if "guided" in one else "no guidance"
        rows.append(("published program" if name == "upstream" else f"`{name}`", f"{one['forward']:.2%}", guided))
    return table(("mode", "one forward", "after guidance"), rows) + (
        f"\n\nRelative error on a random model ({errors['model']}). `fp8` pays for its speed with the largest error."
    )


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


def train_steps() -> str:
    """A training step by what is recomputed, beside plain diffusers + peft, on three cards, and as it is reckoned."""
    cards = [results(name) for name in ("train_h200", "train_h200_x2", "train_h200_third")]
    names = {
        "eager": "diffusers + peft", "compiled": "diffusers + peft, compiled blocks", "full": "`full`",
        "full_offloaded": "`full`, inputs offloaded", "attention": "`attention`",
        "attention_offloaded": "`attention`, inputs offloaded", "products": "`products`",
        "products_eased": "`products`, the last 16 blocks `kept`", "kept": "`kept`",
    }  # fmt: skip
    rows = []
    for section, before in (("peft", ""), ("ours", ""), ("fp8", "8-bit base, ")):
        for kind, name in names.items():
            rows += _step_row(before + name, *(m.get(section, {}).get(kind, {}) for m in cards))
    swapped = cards[1]["card24"]["swapped"]
    rows += _step_row(f"8-bit base, {swapped} of 40 blocks swapped", {}, cards[1]["card24"], {})
    columns = ("recomputed", "s a step", "on another card", "on a third", "TFLOP/s", "peak, GiB", "`doctor` reckons")
    return table(columns, rows)


def _step_row(name: str, *cards: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row where it was measured on any card."""
    measured = [card for card in cards if "seconds" in card]
    if not measured:
        return []
    m = measured[0]
    seconds = [f"{each['seconds']:.2f}" if "seconds" in each else "" for each in cards]
    doctor = f"{m['reckoned_seconds']:.2f} s, {m['reckoned_gib']:.1f} GiB" if "reckoned_gib" in m else ""
    return [(name, *seconds, f"{m['tflop_per_second']:.0f}", f"{m['peak_gib']:.1f}", doctor)]


def train_parallel() -> str:
    """Two processes beside one."""
    found = results("train_h200_x2")["parallel"]
    names = {"one_process": "one GPU", "ddp": "two GPUs, `ddp`", "fsdp2": "two GPUs, `fsdp2`"}
    rows = []
    for kind, name in names.items():
        m = found[kind]
        rows.append((name, f"{m['seconds']:.2f}", f"{m.get('speedup', 1):.2f}", f"{m['peak_gib']:.1f}"))
    return table(("", "s a step of each", "clips a second, times one GPU's", "peak of each, GiB"), rows)


def train_proof() -> str:
    """Losses on true occlusions."""
    names = {"mixture": "both kinds of masks", "mixture_without_geometry": "both, geometry set to zero",
             "rendering": "rendering masks", "tracking": "tracking masks"}  # fmt: skip
    runs = results("train_proof_h200")["runs"]
    rows = [
        (name, f"{runs[kind]['held_out_hidden']:.3f}", f"{runs[kind]['psnr_hidden']:.1f}",
         f"{100 * runs[kind]['sharpness_hidden']:.0f} %") for kind, name in names.items()
    ]  # fmt: skip
    return table(("trained on", "loss, hidden pixels", "PSNR there, dB", "sharpness there, of the truth's"), rows)


def train_masks() -> str:
    """Simulated masks beside true occlusions."""
    found = results("train_masks")
    sorts = [sort for sort in ("blender", "procedural") if sort in found]
    names = {"truth": "true occlusions", "rendering": "rendering masks, solid",
             "rendering_endless": "rendering masks, endless", "tracking": "tracking masks"}  # fmt: skip
    rows = []
    for sort in sorts:
        for kind, name in names.items():
            of = found[sort]["kinds"][kind]
            figures = (of["hidden"], of["persistence"], sum(of["area_by_size"][-2:]))
            rows.append((sort.capitalize(), name, *(f"{100 * share:.0f} %" for share in figures)))
    return table(
        ("scenes", "masks", "hidden", "of which hidden in the next frame", "area in holes above 10 % of the picture"),
        rows,
    )


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
        f"\n\n{clip} on {measured['threads']} cores, where other programs ran too (load {load:.0f}): "
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
        names = ("today", "estimated", "true")
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
    "wan-setup": wan_setup,
    "wan-time": wan_time,
    "wan-plans": wan_plans,
    "wan-cold": wan_cold,
    "wan-errors": wan_errors,
    "backend-guides": backend_guides,
    "footage-costs": footage_costs,
    "hd-costs": hd_costs,
    "train_steps": train_steps,
    "train_parallel": train_parallel,
    "train_proof": train_proof,
    "train_masks": train_masks,
    "holes": holes,
    "eval-memory": eval_memory,
    "world-memory": world_memory,
    "moving": moving,
    "farm-needs": lambda: farm(farm_figures.needs),
    "farm-growth": lambda: farm(farm_figures.growth),
}

if __name__ == "__main__":
    sys.exit(main())
