"""Tables of the farm's simulation for docs_figures.py: what a show needs, and where the bottleneck moves."""

from __future__ import annotations

from typing import Any

Rows = list[tuple[str, ...]]


def needs(found: dict[str, Any]) -> tuple[tuple[str, ...], Rows, str]:
    """Head, rows and a sentence: GPUs, disk and network by shots a day."""
    assumed = found["assumed"]
    head = ("mode", "shots a day", "GPUs", "busy", "90 % begin within, s", "stored a day, GB", "kept, TB")
    head += ("network, GB a day", "not sent twice")
    rows = [
        (
            row["mode"],
            f"{row['shots_a_day']:,}",
            str(row["gpus"]),
            f"{row['gpu_use']:.0%}",
            f"{row['wait_90_s']:.0f}",
            f"{row['stored_gb_a_day']:.0f}",
            f"{row['stored_gb_kept'] / 1000:.1f}",
            f"{row['network_gb']:.0f}",
            f"{row['saved_share']:.0%}",
        )
        for row in found["needs"]
    ]
    text = (
        f"Shots of 49 frames of 512x512, {assumed['takes_a_shot']} takes each, coming at random over "
        f"{assumed['day_h']:.0f} hours; takes and clips are kept for {assumed['keep_days']:.0f} days."
    )
    return head, rows, text


def growth(found: dict[str, Any]) -> tuple[tuple[str, ...], Rows, str]:
    """Head, rows and a sentence: takes an hour by GPUs, warm and with a process a task, and what holds them back."""
    head = ("GPUs",)
    modes = list(dict.fromkeys(row["mode"] for row in found["growth"]))
    rows = []
    for gpus in dict.fromkeys(row["gpus"] for row in found["growth"]):
        line = [f"{gpus:,}"]
        for mode in modes:
            for warm in (True, False):
                row = next(r for r in found["growth"] if (r["mode"], r["warm"], r["gpus"]) == (mode, warm, gpus))
                mark = " (server)" if row["held_back_by"] == "server" else ""
                line.append(f"{row['takes_an_hour']:,.0f}{mark}")
        rows.append(tuple(line))
    for mode in modes:
        head += (f"{mode}, warm", f"{mode}, a process a task")
    return (
        head,
        rows,
        'Takes an hour of a queue that is never empty; "server" where the one server, not the GPUs, sets the pace.',
    )
