"""Tables of the README and of benchmarks/README.md for docs_figures.py."""

from __future__ import annotations

from typing import Any

from figure_tables import results, table

SIZES = {"512x512": "512x512", "576x1024": "1024x576", "1152x2048": "2048x1152"}
"""Sections of guides_gpu.json are named height x width."""


def how_fast() -> str:
    """The README's: one figure for each part."""
    cpu, gpu = results("guides_cpu")["endless"], results("guides_gpu")["sections"]
    live, imported, wan = results("live")["full"], results("blender_import"), results("wan_h200")
    ms = {kind: f"{gpu[f'512x512/triton{kind}']['clip']['median_ms']:.0f} ms" for kind in ("", "/solid")}
    times = {name: wan[name]["clip_denoising_ratio"] for name in ("exact", "fast", "fp8", "turbo")}
    return table(
        ("what", "measured"),
        [
            (
                "guides of the whole clip on two CPU cores",
                f"{cpu['total_s']:.2f} s, {cpu['times_faster_than_embree']:.0f} times as fast as Embree on the same "
                "mesh",
            ),
            (
                "the same on one NVIDIA H200, clip and guides on the device",
                f"{ms['']}, with solid occluders {ms['/solid']}",
            ),
            (
                "on it through command line, backend and Blender, which take the GPU by themselves",
                "[measured per job and while dragging](docs/td.md#guides-on-a-gpu)",
            ),
            ("from a camera change in Blender to its live picture", f"{live['p95_ms']:.0f} ms, 95 % of the time"),
            ("import into Blender", f"{imported['import_s']:.1f} s, while Blender stays responsive"),
            (
                "`wan`, the model's own time beside the published program's code, on one H200",
                f"{times['exact']:.1f} times as fast (`exact`, `fast`), {times['fp8']:.2f} (`fp8`), "
                f"{times['turbo']:.0f} (`turbo`, an experiment)",
            ),
        ],
    )


def guides_gpu() -> str:
    """A whole clip on a GPU, by size, rasterizer and kind of mesh."""
    sections, rows = results("guides_gpu")["sections"], []
    for size, shown in SIZES.items():
        for name in ("triton", "nvdiffrast"):
            endless = sections[f"{size}/{name}"]
            for meshes, one in (("endless", endless), ("solid", sections[f"{size}/{name}/solid"])):
                ratio = one["clip"]["median_ms"] / endless["clip"]["median_ms"]
                rows.append(
                    (
                        shown,
                        name,
                        meshes,
                        f"{one['clip']['median_ms']:.1f}",
                        f"{ratio:.2f}" if meshes == "solid" else "",
                        str(one["frames_per_batch"]),
                        f"{one['peak_allocated_gib']:.2f}",
                        f"{one['taken_from_device_gib']:.2f}",
                        f"{one['one_frame']['median_ms']:.2f}",
                        f"{one['to_host_arrays']['median_ms']:.0f}",
                    )
                )
    memory = ("frames a batch", "memory allocated, GiB", "taken from the device, GiB")
    head = ("width x height", "rasterizer", "meshes", "clip, ms", "solid / endless", *memory)
    return table((*head, "one frame, ms", "arrays to arrays, ms"), rows)


def depth_memory() -> str:
    """What estimating depth holds at most, by the clip's length."""
    rows = [
        (
            str(run["frames"]),
            f"{run['peak_array_bytes'] / 1e6:.2f}",
            f"{run['peak_tensor_bytes'] / 1e6:.2f}",
            f"{run['peak_rss_mib']:.0f}",
        )
        for run in results("depth_memory")["runs"]
    ]
    return table(("frames", "arrays, MB", "tensors, MB", "resident, MiB"), rows)


def guides_cpu() -> str:
    """A whole clip and single frames on the CPU."""
    found = [results("guides_cpu")[kind] for kind in ("endless", "solid")]

    def row(what: str, *values: float, digits: int) -> tuple[str, ...]:
        return (what, *(f"{value:.{digits}f}" for value in values))

    return table(
        ("what", "endless", "solid"),
        [
            row("our whole clip, s", *(one["total_s"] for one in found), digits=2),
            row(
                "one frame of a changed camera, ms", *(one["single_frame_ms"]["new_camera"] for one in found), digits=1
            ),
            row("one new frame, ms", *(one["single_frame_ms"]["new_frame"] for one in found), digits=1),
        ],
    )


def live() -> str:
    """From a camera change to its picture."""
    found = results("live")
    named = {
        "full size": found["full"],
        "reduced (256x256)": found["reduced"],
        "while dragging, age of the picture": found["drag"],
        "full size, holes filled as the preview fills them": found["preview"]["full"],
        "reduced, filled": found["preview"]["reduced"],
        "while dragging, filled": found["preview"]["drag"],
    }
    rows = [(name, f"{one['p50_ms']:.0f}", f"{one['p95_ms']:.0f}") for name, one in named.items()]
    return table(("picture", "half arrive within, ms", "95 % within, ms"), rows)


def backend() -> str:
    """Transfers and small requests, without and with encryption."""
    found = results("backend")
    kinds, bars = (found["plain"], found["curve"]), found["bars"]

    def both(what: str, said: Any, bar: str = "") -> tuple[str, ...]:
        return (what, *(said(kind) for kind in kinds), bar)

    def within(name: str) -> Any:
        return lambda kind: f"{kind[name]['p50']:.1f}, {kind[name]['p99']:.1f}"

    bar = f"{bars['round_trip_p99_ms']:g}"
    return table(
        ("what", "plain", "CURVE", "bar"),
        [
            both(
                "share of what bare pyzmq moves",
                lambda kind: f"{kind['share_of_bare']:.2f}",
                f"{bars['share_of_bare']:g}",
            ),
            both(
                "backend, bare pyzmq, GB/s",
                lambda kind: f"{kind['backend_gb_s']['median']:.2f}, {kind['bare_pyzmq_gb_s']['median']:.2f}",
            ),
            both(
                "upload, hashed on both sides and on the disk for good, GB/s",
                lambda kind: f"{kind['upload_gb_s']['median']:.2f}",
            ),
            both("small request while sending, half and 99 % within, ms", within("round_trip_while_sending_ms"), bar),
            both(
                "small request while receiving, half and 99 % within, ms", within("round_trip_while_receiving_ms"), bar
            ),
            both(
                "cancel accepted, 99 % within, ms",
                lambda kind: f"{kind['cancel_accepted_ms']['p99']:.1f}",
                f"{bars['cancel_p99_ms']:g}",
            ),
            both("memory of the server, MiB", lambda kind: f"{kind['server_resident_mib']:.0f}"),
        ],
    )


def blender() -> str:
    """Import and playback in Blender."""
    found, layers = results("blender_import"), results("blender_layers")
    ticks = found["tick_ms"]
    return table(
        ("what", "measured"),
        [
            ("import, first and again", f"{found['import_s']:.2f} s, {found['import_again_s']:.2f} s"),
            ("longest tick, 99 % of them below", f"{ticks['max']:.1f} ms, {ticks['p99']:.1f} ms"),
            (
                "a frame step, ours and a bare PC2 modifier's",
                f"{found['frame_step_ms']:.2f} ms, {found['bare_pc2_frame_step_ms']:.2f} ms "
                f"({found['frame_step_ratio']:.2f} times)",
            ),
            (
                "a frame step with three edit layers, and without",
                f"{layers['frame_ms']['median']:.2f} ms, {layers['frame_without_layers_ms']['median']:.2f} ms",
            ),
        ],
    )
