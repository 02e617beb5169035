"""How fast the wan engine runs beside the original program, and in how much memory. JSON out.

    python benchmarks/wan.py --upstream PATH [--out results.json] [--only SECTION ...] [--tiny]

PATH is a checkout of EX-4D; its own transformer code is run from there. All weights are random numbers of the true
shapes (speed and memory do not depend on their values); ``--tiny`` runs the same script small, on any CPU. A section
that fails leaves its error in the JSON and the others go on. Figures named ``extrapolated`` are the measured time of
one step times the number of steps.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from wan_models import RandomSources, Sizes, load_upstream, real_sizes, tiny_sizes

from ex4d.generate.wan.conditioning import GuideVideos
from ex4d.generate.wan.denoiser import FLOAT32, Conditions, WanDenoiser
from ex4d.generate.wan.loading import TransformerPlan, load_transformer
from ex4d.generate.wan.pipeline import PipelineOptions, WanPipeline
from ex4d.generate.wan.plan import GIB, MemoryPlan, Mode, ModelSize, Workload, plans
from ex4d.generate.wan.sampling import denoise, initial_noise
from ex4d.generate.wan.schedule import Schedule

START = time.time()
STEPS, CFG = 25, 5.0


class Bench:
    """What all sections share."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.device = torch.device("cpu" if args.tiny else "cuda")
        self.sizes: Sizes = tiny_sizes() if args.tiny else real_sizes()
        self.sources = RandomSources(self.sizes, self.device)
        self.results: dict[str, Any] = {"args": {k: str(v) for k, v in vars(args).items()}}
        self.outputs: dict[str, torch.Tensor] = {}  # CFG velocity of the first step, by program

    @property
    def size(self) -> ModelSize:
        return ModelSize.of(self.sizes.transformer)

    def work(self, branches: int = 2) -> Workload:
        return Workload(self.sizes.tokens, self.sizes.height * self.sizes.width, branches)

    def conditions(self, branches: int = 2) -> Conditions:
        g = torch.Generator().manual_seed(7)
        shape, t = self.sizes.latent_shape, self.sizes.transformer
        y = torch.cat([torch.zeros(1, 4, *shape[2:]), torch.randn(1, 16, *shape[2:], generator=g)], dim=1)
        y[:, :4, 0] = 1
        tokens = 0.1 * torch.randn(1, self.sizes.dim, shape[2], shape[3] // 2, shape[4] // 2, generator=g)
        contexts = []
        for length in (22, 105)[:branches]:
            context = torch.zeros(1, 512, t["text_dim"])
            context[:, :length] = 0.1 * torch.randn(1, length, t["text_dim"], generator=g)
            contexts.append(context)
        return Conditions(y, torch.randn(1, 257, t["image_dim"], generator=g), tokens, tuple(contexts))

    def noise(self) -> torch.Tensor:
        return initial_noise(0, self.sizes.latent_shape)

    def plan(self, mode: Mode, memory: str, free: int | None = None, branches: int = 2) -> MemoryPlan:
        free = free or (1 << 50)
        return plans(mode, memory, self.size, self.work(branches), free)[0]  # type: ignore[arg-type]

    def options(self, mode: Mode, plan: MemoryPlan) -> PipelineOptions:
        return PipelineOptions(mode, plan, self.device, prefer_cudnn=self.args.attention == "cudnn")

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clear(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> dict[str, float] | None:
        if self.device.type != "cuda":
            return None
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {"allocated_gib": round(allocated / GIB, 2), "reserved_gib": round(reserved / GIB, 2)}

    def timed(self, run: Callable[[], Any], repeats: int = 3, warm: int = 1) -> tuple[float, Any]:
        """Median seconds of ``repeats`` runs after ``warm`` others, and the last run's result."""
        result, seconds = None, []
        for index in range(warm + repeats):
            self.sync()
            started = time.perf_counter()
            result = run()
            self.sync()
            if index >= warm:
                seconds.append(time.perf_counter() - started)
        return statistics.median(seconds), result

    def upstream_ms(self) -> float | None:
        return self.results.get("upstream", {}).get("forward_ms")


def section_environment(bench: Bench) -> dict[str, Any]:
    import diffusers
    import peft
    import transformers

    found: dict[str, Any] = {
        "python": sys.version.split()[0], "torch": torch.__version__, "diffusers": diffusers.__version__,
        "transformers": transformers.__version__, "peft": peft.__version__, "cpus": os.cpu_count(),
        "frames": bench.sizes.frames, "size": f"{bench.sizes.width}x{bench.sizes.height}", "tokens": bench.sizes.tokens,
    }  # fmt: skip
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu_gib": round(properties.total_memory / GIB, 1),
                  "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    return found


def section_attention(bench: Bench) -> dict[str, Any]:
    """Self-attention of one block by each of torch's backends, in milliseconds."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    heads, channels = bench.sizes.transformer["num_attention_heads"], bench.sizes.transformer["attention_head_dim"]
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    q = torch.randn(1, bench.sizes.tokens, heads, channels, device=bench.device, dtype=dtype).transpose(1, 2)
    results: dict[str, Any] = {}
    names = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION,
             "efficient": SDPBackend.EFFICIENT_ATTENTION, "default": None}  # fmt: skip
    for name, backend in names.items():
        try:
            with sdpa_kernel(backend) if backend is not None else nullcontext():
                for keys in (bench.sizes.tokens, 512, 257):
                    k = torch.randn(1, keys, heads, channels, device=bench.device, dtype=dtype).transpose(1, 2)
                    run = lambda k=k: torch.nn.functional.scaled_dot_product_attention(q, k, k)  # noqa: E731
                    results[f"{name}_{keys}"] = round(1000 * bench.timed(run, 10, 2)[0], 3)
        except RuntimeError as error:
            results[name] = str(error).splitlines()[0]
    return results


def section_upstream(bench: Bench) -> dict[str, Any]:
    """The original program's transformer as it runs: bf16 weights, autocast, LoRA beside the weights."""
    cpu = bench.device.type == "cpu"
    model = load_upstream(bench.args.upstream, bench.sources, torch.float32 if cpu else torch.bfloat16)
    conditions = bench.conditions()
    y, clip = conditions.y.to(bench.device), conditions.clip_fea.to(bench.device)
    ray = conditions.geometry.to(bench.device)
    contexts = [[c[0, :n].to(bench.device)] for c, n in zip(conditions.contexts, (22, 105), strict=True)]
    latents, timestep = bench.noise().to(bench.device), torch.tensor([1000.0], device=bench.device)

    def forward(branch: int) -> torch.Tensor:
        with torch.no_grad(), nullcontext() if cpu else torch.autocast("cuda", torch.bfloat16):
            return model(latents, timestep=timestep, context=contexts[branch], seq_len=bench.sizes.tokens,
                         clip_fea=clip, y=y, ray_latent=ray)  # fmt: skip

    seconds, positive = bench.timed(lambda: forward(0))
    negative = forward(1)
    bench.outputs["upstream"] = (negative + CFG * (positive - negative)).float().cpu()
    peak = bench.peak()
    return {
        "forward_ms": round(1000 * seconds, 1),
        "clip_denoising_s_extrapolated": round(2 * STEPS * seconds, 2),
        "peak": peak,
    }


def section_reference(bench: Bench) -> dict[str, Any]:
    """One step in float32 throughout: what the errors are measured against."""
    source = bench.sources.open("transformer")
    plan = TransformerPlan(bench.device, torch.float32, conditioning_on_device=True)
    model = load_transformer(source, plan, loras=[(bench.sources.ex4d().lora, 1.0)])
    denoiser = WanDenoiser(model, device=bench.device, precision=FLOAT32)
    started = time.perf_counter()
    with denoiser.shot(bench.conditions(), Schedule.shifted(STEPS)) as shot:
        bench.outputs["float32"] = _first_velocity(denoiser, shot, bench.noise().to(bench.device)).cpu()
    del model, denoiser
    return {"seconds": round(time.perf_counter() - started, 1)}


def _first_velocity(denoiser: WanDenoiser, shot: Any, latents: torch.Tensor) -> torch.Tensor:
    positive, negative = (denoiser.velocity(shot, latents, 0, branch) for branch in (0, 1))
    return negative + CFG * (positive - negative)


def measure_mode(bench: Bench, mode: Mode, *, full: bool) -> dict[str, Any]:
    """One mode with everything resident: load, first forward, forward, denoising."""
    branches = 1 if mode == "turbo" else 2
    steps = 4 if mode == "turbo" else STEPS
    schedule = Schedule.shifted(steps)
    started = time.perf_counter()
    options = bench.options(mode, bench.plan(mode, "resident", branches=branches))
    with WanPipeline(bench.sources, options) as pipe:
        bench.sync()
        loaded = time.perf_counter()
        noise = bench.noise().to(bench.device)
        with pipe.denoiser.shot(bench.conditions(branches), schedule) as shot:
            bench.sync()
            prepared = time.perf_counter()
            pipe.denoiser.velocity(shot, noise, 0)
            bench.sync()
            first = time.perf_counter()
            seconds, _ = bench.timed(lambda: pipe.denoiser.velocity(shot, noise, 0), 5)
            if branches == 2:
                bench.outputs[mode] = _first_velocity(pipe.denoiser, shot, noise).cpu()
            clip: dict[str, Any] = {"clip_denoising_s_extrapolated": round(branches * steps * seconds, 2)}
            if full or mode == "turbo":
                cfg = CFG if branches == 2 else 1.0
                taken, _ = bench.timed(lambda: denoise(pipe.denoiser, shot, noise, schedule, cfg_scale=cfg), 1, 0)
                clip["clip_denoising_s"] = round(taken, 2)
            if bench.args.profile and bench.device.type == "cuda":
                clip["profile"] = _profile(lambda: pipe.denoiser.velocity(shot, noise, 0))
        found = {
            "load_s": round(loaded - started, 2), "shot_s": round(prepared - loaded, 2),
            "first_forward_s": round(first - prepared, 2), "forward_ms": round(1000 * seconds, 1), **clip,
            "plan": str(options.plan), "peak": bench.peak(),
        }  # fmt: skip
    return found | _ratios(bench, found)


def _ratios(bench: Bench, found: dict[str, Any]) -> dict[str, Any]:
    upstream = bench.results.get("upstream", {})
    if "forward_ms" not in upstream:
        return {}
    clip = found.get("clip_denoising_s", found["clip_denoising_s_extrapolated"])
    return {
        "forward_ratio": round(upstream["forward_ms"] / found["forward_ms"], 3),
        "clip_denoising_ratio": round(upstream["clip_denoising_s_extrapolated"] / clip, 2),
    }


def _profile(run: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds by kernel, the twenty longest."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as taken:
        run()
        torch.cuda.synchronize()
    rows = sorted(taken.key_averages(), key=lambda row: -row.self_device_time_total)
    return {row.key[:90]: round(row.self_device_time_total / 1000, 2) for row in rows[:20]}


def section_errors(bench: Bench) -> dict[str, Any]:
    """Relative error of each program's first guided velocity against float32."""
    reference = bench.outputs["float32"]
    return {
        name: float(f"{float((found - reference).norm() / reference.norm()):.3e}")
        for name, found in bench.outputs.items()
        if name != "float32"
    }


def section_codec(bench: Bench) -> dict[str, Any]:
    """Encoding the guides and decoding the clip, in the modes' two precisions."""
    results: dict[str, Any] = {}
    shape = (bench.sizes.frames, bench.sizes.height, bench.sizes.width)
    mask = torch.rand(shape).numpy() > 0.3
    colour = (torch.rand(*shape, 3) * 255).byte().numpy()
    videos = GuideVideos.from_guides(colour, mask)
    for mode in ("fast", "exact"):
        bench.clear()
        with WanPipeline(_WithoutBlocks(bench), bench.options(mode, bench.plan(mode, "resident"))) as pipe:
            encode, _ = bench.timed(lambda pipe=pipe: pipe.encode(videos), 1, 1)
            encode_peak = bench.peak()
            bench.clear()
            latents = bench.noise()
            decode, _ = bench.timed(lambda pipe=pipe, latents=latents: list(pipe.frames(latents)), 1, 1)
            results[mode] = {"encode_s": round(encode, 2), "decode_s": round(decode, 2),
                             "encode_peak": encode_peak, "decode_peak": bench.peak()}  # fmt: skip
    return results


def _WithoutBlocks(bench: Bench) -> RandomSources:
    """The sources with a one-block transformer of the same width, where only the other parts matter."""
    from dataclasses import replace

    configs = {**bench.sizes.configs, "transformer": {**bench.sizes.transformer, "num_layers": 1}}
    return RandomSources(replace(bench.sizes, configs=configs), bench.device)


def section_plans(bench: Bench) -> dict[str, Any]:
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
    plan = bench.plan(mode, memory, cap * GIB)
    started = time.perf_counter()
    schedule = Schedule.shifted(STEPS)
    times: list[float] = []
    with WanPipeline(bench.sources, bench.options(mode, plan)) as pipe:
        loaded = time.perf_counter()
        encoded = pipe.encode(videos)
        bench.sync()
        done = time.perf_counter()
        noise = bench.noise().to(bench.device)
        with pipe.denoiser.shot(bench.conditions(), schedule) as shot:
            for step in range(3):
                bench.sync()
                begun = time.perf_counter()
                _first_velocity(pipe.denoiser, shot, noise)
                bench.sync()
                times.append((time.perf_counter() - begun) / 2)
                del step
        decode, _ = bench.timed(lambda: [f.cpu() for f in pipe.frames(noise)], 1, 0)
        del encoded
        return {
            "cap_gib": cap, "plan": str(plan), "resident_blocks": plan.resident_blocks, "peak": bench.peak(),
            "load_s": round(loaded - started, 2), "encode_s": round(done - loaded, 2),
            "forward_ms": round(1000 * min(times[1:]), 1), "decode_s": round(decode, 2),
        }  # fmt: skip


def section_cold(bench: Bench) -> dict[str, Any]:
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
        for run in ("first", "second"):
            command = [sys.executable, __file__, "--cold-worker", folder, "--started", str(time.time())]
            command += ["--tiny"] if bench.args.tiny else []
            done = subprocess.run(command, capture_output=True, text=True, timeout=400)
            if done.returncode:
                raise RuntimeError(done.stderr[-600:])
            runs[run] = json.loads(done.stdout.strip().splitlines()[-1])
    return runs


def cold_worker(args: argparse.Namespace) -> None:
    """Runs in its own process for :func:`section_cold`."""
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


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "environment": section_environment,
    "attention": section_attention,
    "upstream": section_upstream,
    "exact": lambda bench: measure_mode(bench, "exact", full="exact" in bench.args.full),
    "fast": lambda bench: measure_mode(bench, "fast", full="fast" in bench.args.full),
    "fp8": lambda bench: measure_mode(bench, "fp8", full="fp8" in bench.args.full),
    "turbo": lambda bench: measure_mode(bench, "turbo", full=True),
    "codec": section_codec,
    "plans": section_plans,
    "reference": section_reference,
    "errors": section_errors,
    "cold": section_cold,
}


def _with_second_try(bench: Bench, section: Callable[[Bench], dict[str, Any]]) -> dict[str, Any]:
    """If a section fails with cuDNN's attention, the rest of the benchmark runs with torch's default, and says so."""
    try:
        return section(bench)
    except (RuntimeError, NotImplementedError) as error:
        if bench.args.attention != "cudnn" or "out of memory" in str(error):
            raise
        bench.args.attention = "default"
        first = f"{type(error).__name__}: {error}"[-800:]
    bench.clear()
    return {**section(bench), "failed_with_cudnn": first}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--out", type=Path, default=Path("wan.json"))
    parser.add_argument("--only", nargs="+", choices=sorted(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--full", nargs="*", default=["fast", "fp8"], help="modes whose whole clip is denoised")
    parser.add_argument("--plans", nargs="*", default=[], help="memory plans to try (default: all)")
    parser.add_argument("--profile", action="store_true", help="list the longest kernels of each mode")
    parser.add_argument("--attention", choices=["cudnn", "default"], default="cudnn")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--cold-worker", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cold_worker:
        cold_worker(args)
        return
    bench = Bench(args)
    for name in (n for n in SECTIONS if n in args.only):
        bench.clear()
        started = time.perf_counter()
        try:
            if name == "upstream" and args.upstream is None:
                raise ValueError("--upstream PATH was not given")
            found = _with_second_try(bench, SECTIONS[name])
        except Exception as error:  # noqa: BLE001 - the other sections are still worth running
            found = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-1500:]}
        found["section_s"] = round(time.perf_counter() - started, 1)
        bench.results[name] = found
        args.out.write_text(json.dumps(bench.results, indent=1) + "\n")
        print(
            f"[{time.time() - START:6.1f} s] {name}: {json.dumps({k: v for k, v in found.items() if k != 'profile'})}"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
