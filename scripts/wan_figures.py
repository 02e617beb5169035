"""Tables of the wan engine's benchmarks for docs_figures.py."""

from __future__ import annotations

import re

from figure_tables import results, table

MODES = ("exact", "fast", "fp8", "turbo")


def setup() -> str:
    """On what it was measured."""
    where = results("wan_h200")["environment"]
    return (
        f"{where['frames']} frames of {where['size']} on one {where['gpu']} ({where['gpu_gib']:.0f} GiB), "
        f"torch {where['torch']}, CUDA {where['cuda']}, diffusers {where['diffusers']}."
    )


def time() -> str:
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
            f"{upstream['peak']['reserved_gib']:.1f}",
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
            f"{one['peak']['reserved_gib']:.1f}",
        )
        rows.append(row)
    times = ("one forward, ms", "times faster", "denoising a clip, s", "times faster", "whole clip, s")
    return table(("mode", *times, "GPU memory, GiB"), rows) + (
        "\n\nThe published program's own model code ran in the same process. \\* Extrapolated from one forward. A "
        "whole clip includes encoding and decoding; loading the weights is not in it."
    )


def plans() -> str:
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


def cold() -> str:
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


def errors() -> str:
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


def parallel() -> str:
    """One clip on two GPUs beside one of them, and the bars they are held to."""
    two = results("wan_parallel_h200")["two"]
    branches, tokens = (
        "a guided step, prompt and negative prompt side by side",
        "a single run, its tokens shared (Ulysses)",
    )
    parts = [
        (mode, what, two[mode][kind])
        for mode in MODES[:3]
        for what, kind in ((branches, "branches"), (tokens, "ulysses"))
    ]
    parts.append(("turbo", "denoising a clip, four runs", two["turbo"]["clip"]))
    rows = [
        (
            f"`{mode}`: {what}",
            f"{one['alone_ms']:,.0f} ms",
            f"{one['shared_ms']:,.0f} ms",
            f"{one['times_faster']:.2f}",
            f"{one['bar']:g}" if "bar" in one else "",
        )
        for mode, what, one in parts
    ]
    whole, bar = two["whole_clip"]["turbo"], f"{two['turbo']['clip']['bar']:g}"
    alone, shared = (f"{whole[name]:.2f} s" for name in ("alone_s", "shared_s"))
    what = "`turbo`: a whole clip, encoding and decoding with it"
    rows.append((what, alone, shared, f"{whole['times_faster']:.2f}", bar))
    return table(("", "one GPU", "two", "times faster", "bar"), rows)
