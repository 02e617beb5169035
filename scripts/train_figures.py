"""Tables of the training's benchmarks for docs_figures.py."""

from __future__ import annotations

from typing import Any

from figure_tables import results, table


def steps() -> str:
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


def parallel() -> str:
    """Two processes beside one."""
    found = results("train_h200_x2")["parallel"]
    names = {"one_process": "one GPU", "ddp": "two GPUs, `ddp`", "fsdp2": "two GPUs, `fsdp2`"}
    rows = []
    for kind, name in names.items():
        m = found[kind]
        rows.append((name, f"{m['seconds']:.2f}", f"{m.get('speedup', 1):.2f}", f"{m['peak_gib']:.1f}"))
    return table(("", "s a step of each", "clips a second, times one GPU's", "peak of each, GiB"), rows)


def proof() -> str:
    """Losses on true occlusions."""
    names = {"mixture": "both kinds of masks", "mixture_without_geometry": "both, geometry set to zero",
             "rendering": "rendering masks", "tracking": "tracking masks"}  # fmt: skip
    runs = results("train_proof_h200")["runs"]
    rows = [
        (name, f"{runs[kind]['held_out_hidden']:.3f}", f"{runs[kind]['psnr_hidden']:.1f}",
         f"{100 * runs[kind]['sharpness_hidden']:.0f} %") for kind, name in names.items()
    ]  # fmt: skip
    return table(("trained on", "loss, hidden pixels", "PSNR there, dB", "sharpness there, of the truth's"), rows)


def masks() -> str:
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
