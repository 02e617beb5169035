"""Sections of benchmarks/wan.py about memory plans under a cap, and about starting cold."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from wan_bench import CFG, STEPS, Bench
from wan_models import RandomSources

from ex4d.engines.wan.conditioning import Encoded, GuideVideos
from ex4d.engines.wan.pipeline import WanPipeline
from ex4d.engines.wan.plan import GIB, phases
from ex4d.engines.wan.schedule import Schedule


def memory_plans(bench: Bench) -> dict[str, Any]:
    """A whole (shortened) run of each memory plan under a cap on the allocator, with its time per forward."""
    results: dict[str, Any] = {}
    caps = {"resident": ("fast", 36), "fp8": ("fp8", 18), "offload": ("fast", 12), "offload_fp8": ("fp8", 8)}
    shape = (bench.sizes.frames, bench.sizes.height, bench.sizes.width)
    videos = GuideVideos.from_guides(torch.zeros(*shape, 3).byte().numpy(), torch.ones(shape).bool().numpy())
    for name, (mode, cap) in caps.items():
        if bench.args.plans and name not in bench.args.plans:
            continue
        bench.clear()
        try:
            results[name] = _capped(bench, mode, name.partition("_")[0], cap, videos)
        except Exception as error:  # noqa: BLE001 - the other plans are still worth running
            results[name] = {"error": f"{type(error).__name__}: {error}"}
        finally:
            if bench.device.type == "cuda":
                torch.cuda.set_per_process_memory_fraction(1.0)
        bench.clear()
    return results


def _capped(bench: Bench, mode: Any, memory: str, cap: int, videos: GuideVideos) -> dict[str, Any]:
    if bench.device.type == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap * GIB / total))
    # What the driver would say is free: the cap without what CUDA itself takes of a card.
    plan = bench.plan(mode, memory, cap * GIB)
    peaks: dict[str, Any] = {}
    started = time.perf_counter()
    with WanPipeline(bench.sources, bench.options(mode, plan)) as pipe:
        loaded = time.perf_counter()
        peaks["loading"] = _peak_since(bench)
        encoded = pipe.encode(videos)
        bench.sync()
        done = time.perf_counter()
        peaks["encoding"] = _peak_since(bench)
        latents, seconds = _steps(bench, pipe, encoded)
        peaks["denoising"] = _peak_since(bench)
        del encoded
        decode, _ = bench.timed(lambda: [f.cpu() for f in pipe.frames(latents)], 1, 0)
        peaks["decoding"] = _peak_since(bench)
    expected = phases(plan, mode, bench.size, bench.work())
    return {
        "cap_gib": cap, "plan": str(plan), "resident_blocks": plan.resident_blocks,
        "peak": {key: max(p[key] for p in peaks.values() if p) for key in ("allocated_gib", "reserved_gib")}
        if all(peaks.values()) else None,
        "peaks": peaks, "expected_gib": {k: round(v / GIB, 2) for k, v in asdict(expected).items()},
        "load_s": round(loaded - started, 2), "encode_s": round(done - loaded, 2),
        "forward_ms": round(1000 * seconds, 1), "decode_s": round(decode, 2),
    }  # fmt: skip


def _steps(bench: Bench, pipe: WanPipeline, encoded: Encoded) -> tuple[torch.Tensor, float]:
    """Three guided steps as the engine runs them: the latents, and the seconds of one of the later forwards."""
    times = [time.perf_counter()]

    def on_step(step: int, latents: torch.Tensor) -> None:
        bench.sync()
        times.append(time.perf_counter())

    schedule = Schedule(torch.linspace(1.0, 0.2, 3))
    contexts = bench.conditions().contexts
    latents = pipe.latents(encoded, contexts, bench.noise(), schedule, cfg_scale=CFG, on_step=on_step)
    return latents, min(b - a for a, b in pairwise(times[1:])) / 2


def _peak_since(bench: Bench) -> dict[str, float] | None:
    """The peak since the last call."""
    found = bench.peak()
    if found is not None:
        torch.cuda.reset_peak_memory_stats()
    return found


def cold_start(bench: Bench) -> dict[str, Any]:
    """From starting Python to the end of the first forward, weights read from disk (bf16 shards, files in cache)."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = bench.sources.open("transformer")
        shards: list[dict[str, torch.Tensor]] = [{}]
        for name in sorted(source.sources):
            if sum(t.numel() for t in shards[-1].values()) > 2_400_000_000:
                save_file(shards[-1], root / f"{len(shards)}.safetensors")
                shards.append({})
                shards[-2].clear()
            shards[-1][name] = source.get(name).to("cpu", torch.bfloat16)
        save_file(shards[-1], root / f"{len(shards)}.safetensors")
        shards.clear()
        bench.clear()
        runs = {}
        begun = time.perf_counter()
        for run in ("first", "second"):  # the second finds compiled kernels on disk
            if runs and time.perf_counter() - begun > 75:
                break  # one has to do where it takes so long
            command = [
                sys.executable,
                str(Path(__file__).with_name("wan.py")),
                "--cold-worker",
                folder,
                "--started",
                str(time.time()),
            ]
            command += ["--tiny"] if bench.args.tiny else []
            done = subprocess.run(command, capture_output=True, text=True, timeout=400)
            if done.returncode:
                raise RuntimeError(done.stderr[-600:])
            runs[run] = json.loads(done.stdout.strip().splitlines()[-1])
    return runs


def cold_worker(args: argparse.Namespace) -> None:
    """Runs in its own process for :func:`cold_start`."""
    from ex4d.weights.components import PartFiles
    from ex4d.weights.tensors import TensorFiles

    bench = Bench(args)
    imported = time.time()
    files = TensorFiles(sorted(Path(args.cold_worker).glob("*.safetensors")))

    class FromDisk(RandomSources):
        def open(self, part: Any) -> PartFiles:
            found = super().open(part)
            return found if part != "transformer" else PartFiles(part, files, found.config, found.sources, files.shapes)

    options = bench.options("fast", bench.plan("fast", "resident"))
    with WanPipeline(FromDisk(bench.sizes, bench.device), options) as pipe:
        bench.sync()
        loaded = time.time()
        with pipe.denoiser.shot(bench.conditions(), Schedule.shifted(STEPS)) as shot:
            pipe.denoiser.velocity(shot, bench.noise().to(bench.device), 0)
            bench.sync()
    ended = time.time()
    seconds = {"import_s": imported - args.started, "load_s": loaded - imported, "first_step_s": ended - loaded}
    print(json.dumps({k: round(v, 2) for k, v in {**seconds, "total_s": ended - args.started}.items()}))
