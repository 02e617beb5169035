"""How much faster several GPUs make one clip than one of them, where the time goes, what more would give. JSON out.

    python benchmarks/wan_parallel.py [--devices cuda:0+1] [--out results.json] [--only SECTION ...] [--tiny]

Random weights of the true 14B shapes, 49 frames of 512x512. Each row is measured twice in the same run with the same
loaded model: by the first GPU alone while the others wait, and by all together. ``--tiny`` runs the same script small
on processes of any CPU (``--devices cpu+cpu``): that shows that it works, not how fast anything is. With ``--only``,
what an earlier run wrote to ``--out`` stays there, and the sections that reckon read it.

Figures named ``reckoned`` are no measurements: alone's time divided, plus what is exchanged at the measured speed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from wan_bench import CFG, STEPS, Bench  # noqa: E402
from wan_time import without_blocks  # noqa: E402

from ex4d.device_names import Devices  # noqa: E402
from ex4d.engines.group import Group  # noqa: E402
from ex4d.engines.launch import launch, show_only  # noqa: E402
from ex4d.engines.members import joined  # noqa: E402
from ex4d.engines.wan.conditioning import GuideVideos  # noqa: E402
from ex4d.engines.wan.cost_model import exchanged_bytes  # noqa: E402
from ex4d.engines.wan.denoiser import Conditions  # noqa: E402
from ex4d.engines.wan.division import Division, divided  # noqa: E402
from ex4d.engines.wan.pipeline import WanPipeline  # noqa: E402
from ex4d.engines.wan.plan import Mode  # noqa: E402
from ex4d.engines.wan.sampling import Whole, denoise  # noqa: E402
from ex4d.engines.wan.schedule import Schedule  # noqa: E402
from ex4d.engines.wan.sharing import Sharing  # noqa: E402

BARS = {"branches": {"exact": 1.90, "fast": 1.90}, "ulysses": {"exact": 1.7, "fast": 1.7}, "clip": {"turbo": 1.6}}
"""For two GPUs."""
ANCHOR = {"what": "LightX2V on eight H100, its published figure scaled to this size", "forward_s": 0.105, "clip_s": 5.3}
EXCHANGES = 4  # of a block: queries, keys, values, results


class Together:
    """What the sections share: the group, one GPU's bench, and timing."""

    def __init__(self, group: Group, args: argparse.Namespace):
        self.group, self.bench, self.args = group, Bench(args), args
        known = args.out.is_file() and args.only
        self.results: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8")) if known else {}

    def alone(self, run: Callable[[], Any], repeats: int = 3) -> float:
        """Median seconds of the leader's runs while the others wait."""
        mine = repr(self.bench.timed(run, repeats)[0]).encode() if self.group.leads else None
        return float(self.group.share(mine))

    def timed(self, run: Callable[[], Any], repeats: int = 3) -> float:
        """Median seconds until the last of all has done."""
        taken = []
        for index in range(1 + repeats):
            self.group.least(0)
            started = time.perf_counter()
            run()
            self.bench.sync()
            self.group.least(0)
            if index:
                taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    def division(self, *, guided: bool) -> Division:
        heads = self.bench.sizes.transformer["num_attention_heads"]
        return divided(self.group.size, guided=guided, heads=heads, tokens=self.bench.sizes.tokens)

    def conditions(self, sharing: Sharing | None, *, guided: bool) -> Conditions:
        """The clip's, with the prompts of this process's branch."""
        found = self.bench.conditions(2 if guided else 1)
        if sharing is None or sharing.division.branches == 1:
            return found
        return Conditions(found.y, found.clip_fea, found.geometry, (found.contexts[sharing.branch],))

    def free(self) -> None:
        self.bench.clear()
        self.group.least(0)


def environment(both: Together) -> dict[str, Any]:
    import diffusers

    found: dict[str, Any] = {"processes": both.group.size, "kind": both.group.device.type, "cpus": os.cpu_count()}
    found |= {"torch": torch.__version__, "diffusers": diffusers.__version__, "tokens": both.bench.sizes.tokens}
    if both.group.device.type == "cuda":
        from torch.cuda import nccl

        count = torch.cuda.device_count()
        found |= {
            "gpu": torch.cuda.get_device_name(),
            "peers": all(torch.cuda.can_device_access_peer(0, other) for other in range(1, count)),
            "nccl": ".".join(map(str, nccl.version())),
        }
    return found


def measure_mode(both: Together, mode: Mode) -> dict[str, Any]:
    """Guided steps with branches side by side, single runs with tokens shared, and for turbo the whole denoising."""
    bench, guided = both.bench, mode != "turbo"
    schedule = Schedule.shifted(STEPS if guided else 4)
    rows = {"ulysses": (Division(1, both.group.size), 1.0)}
    if guided:
        rows = {"branches": (both.division(guided=True), CFG), **rows}
    found: dict[str, Any] = {}
    with WanPipeline(bench.sources, bench.options(mode, bench.plan(mode, "resident"))) as pipe:
        for name, (division, cfg_scale) in rows.items():
            found[name] = _row(both, pipe, schedule, division, cfg_scale, whole=False)
        if not guided:
            found["clip"] = _row(both, pipe, schedule, rows["ulysses"][0], 1.0, whole=True)
    found["peak"] = bench.peak()
    both.free()
    for name, bars in BARS.items():
        if both.group.size == 2 and mode in bars:
            found[name] |= {"bar": bars[mode], "reached": found[name]["times_faster"] >= bars[mode]}
    return found


def _row(
    both: Together, pipe: WanPipeline, schedule: Schedule, division: Division, cfg_scale: float, *, whole: bool
) -> dict[str, Any]:
    """One step with all its runs, or the whole denoising: alone, then shared."""
    noise, guided = both.bench.noise().to(both.bench.device), cfg_scale != 1.0

    def run(sharing: Sharing | None, measure: Callable[[Callable[[], Any]], float]) -> float:
        with pipe.denoiser.shot(both.conditions(sharing, guided=guided), schedule, sharing=sharing) as shot:
            if whole:
                return measure(lambda: denoise(pipe.denoiser, shot, noise, schedule, cfg_scale=cfg_scale))
            step = Whole(pipe.denoiser, shot, cfg_scale)
            return measure(lambda: step(noise, 0, lambda: None, None))

    alone = run(None, both.alone)
    shared = run(Sharing.of(both.group, division), both.timed)
    return {
        "branches": division.branches,
        "sequence": division.sequence,
        "alone_ms": round(1000 * alone, 2),
        "shared_ms": round(1000 * shared, 2),
        "times_faster": round(alone / shared, 3),
    }


def codec(both: Together) -> dict[str, Any]:
    """Encoding the guides and decoding the clip: alone, and in strips."""
    bench, sizes = both.bench, both.bench.sizes
    generator = torch.Generator().manual_seed(1)
    shape = (sizes.frames, sizes.height, sizes.width)
    mask = torch.rand(shape, generator=generator).numpy() > 0.3
    colour = (torch.rand(*shape, 3, generator=generator) * 255).byte().numpy()
    videos, latents = GuideVideos.from_guides(colour, mask), bench.noise()
    found: dict[str, Any] = {}
    for mode in ("fast", "exact"):
        plan = bench.plan(mode, "resident")
        sources, options = without_blocks(bench), bench.options(mode, plan)
        times: dict[str, float] = {}
        for name, group, measure in (("alone", None, both.alone), ("shared", both.group, both.timed)):
            with WanPipeline(sources, options, group=group) as pipe:
                times[f"{name}_encode_s"] = measure(lambda pipe=pipe: pipe.encode(videos), 1)
                times[f"{name}_decode_s"] = measure(lambda pipe=pipe: list(pipe.frames(latents)), 1)
            both.free()
        found[mode] = {key: round(value, 3) for key, value in times.items()} | {
            f"{part}_times_faster": round(times[f"alone_{part}_s"] / times[f"shared_{part}_s"], 3)
            for part in ("encode", "decode")
        }
    return found


def exchange(both: Together) -> dict[str, Any]:
    """What the exchanges of one run take by themselves: heads for tokens, the head's rows, the branches' results."""
    bench, size = both.bench, both.group.size
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    own = torch.randn(bench.sizes.tokens // size * bench.sizes.dim, device=bench.device).to(dtype)
    received, velocity = torch.empty_like(own), bench.noise().to(bench.device)
    layers = bench.sizes.transformer["num_layers"]

    def of_all_blocks() -> None:
        for _ in range(EXCHANGES * layers):
            dist.all_to_all_single(received, own)

    seconds = both.timed(of_all_blocks)
    sent = exchanged_bytes(bench.sizes.tokens, size, bench.size) * own.element_size() / 2
    small = torch.zeros(size, device=bench.device)
    waiting = both.timed(lambda: [dist.all_to_all_single(torch.empty_like(small), small) for _ in range(100)]) / 100
    return {
        "run_ms": round(1000 * seconds, 3),
        "sent_bytes": int(sent),
        "bytes_a_second": int(sent / seconds),
        "smallest_us": round(1e6 * waiting, 1),
        "branches_ms": round(1000 * both.timed(lambda: both.group.everyones(velocity)), 3),
    }


def breakdown(both: Together) -> dict[str, Any]:
    """Where a shared run's time goes: alone's divided, exchange, and the rest (smaller pieces, copies, waiting)."""
    exchanged, found = both.results.get("exchange", {}), {}
    for mode in ("exact", "fast", "fp8", "turbo"):
        row = both.results.get(mode, {}).get("ulysses")
        if row is None or "run_ms" not in exchanged:
            continue
        divided_ms = row["alone_ms"] / row["sequence"]
        rest = row["shared_ms"] - divided_ms - exchanged["run_ms"]
        parts = {"divided_ms": divided_ms, "exchange_ms": exchanged["run_ms"], "rest_ms": rest}
        found[mode] = {name: round(value, 2) for name, value in parts.items()}
    return found


def more(both: Together) -> dict[str, Any]:
    """What 2, 4 and 8 GPUs would give, reckoned by the measured speed of exchange; the rest grows with nothing."""
    exchanged, bench = both.results.get("exchange", {}), both.bench
    found: dict[str, Any] = {"anchor": ANCHOR}
    for mode in ("exact", "fast", "fp8", "turbo"):
        row = both.results.get(mode, {}).get("ulysses")
        if row is None or "bytes_a_second" not in exchanged:
            continue
        rest = max(0.0, both.results["breakdown"][mode]["rest_ms"])
        for gpus in (2, 4, 8):
            division = Division(1, gpus) if mode == "turbo" else Division(2, gpus // 2)
            run_ms = row["alone_ms"] / division.sequence
            if division.sequence > 1:
                # Each pair of GPUs has its own way through the switch, so what one GPU sends goes at its own speed.
                bytes_sent = exchanged_bytes(bench.sizes.tokens, division.sequence, bench.size)
                run_ms += 1000 * bytes_sent / exchanged["bytes_a_second"] + rest
            runs = (4 if mode == "turbo" else 2 * STEPS) / division.branches
            found.setdefault(mode, {})[str(gpus)] = {
                "run_ms_reckoned": round(run_ms, 1),
                "clip_denoising_s_reckoned": round(runs * run_ms / 1000, 2),
                "times_faster_reckoned": round(division.branches * row["alone_ms"] / run_ms, 2),
            }
    return found


def whole_clip(both: Together) -> dict[str, Any]:
    """Encoding, denoising and decoding of a clip in seconds, from the rows above."""
    code, found = both.results.get("codec", {}), {}
    for mode in ("exact", "fast", "fp8", "turbo"):
        rows, codecs = both.results.get(mode, {}), code.get("exact" if mode == "exact" else "fast")
        row, steps = (rows.get("clip"), 1) if mode == "turbo" else (rows.get("branches"), STEPS)
        if row is None or codecs is None:
            continue
        times = {
            name: steps * row[f"{name}_ms"] / 1000 + codecs[f"{name}_encode_s"] + codecs[f"{name}_decode_s"]
            for name in ("alone", "shared")
        }
        ratio = round(times["alone"] / times["shared"], 3)
        found[mode] = {f"{name}_s": round(value, 2) for name, value in times.items()} | {"times_faster": ratio}
    return found


SECTIONS: dict[str, Callable[[Together], dict[str, Any]]] = {
    "environment": environment,
    "exchange": exchange,
    "exact": lambda both: measure_mode(both, "exact"),
    "fast": lambda both: measure_mode(both, "fast"),
    "turbo": lambda both: measure_mode(both, "turbo"),
    "fp8": lambda both: measure_mode(both, "fp8"),
    "codec": codec,
    "breakdown": breakdown,
    "more": more,
    "whole_clip": whole_clip,
}


def measure(group: Group, args: argparse.Namespace) -> None:
    """In every process: all sections; the leader writes after each. One that fails ends them all."""
    if args.tiny:
        torch.set_num_threads(1)
    both, started = Together(group, args), time.perf_counter()
    for name in SECTIONS:
        if args.only and name not in args.only:
            continue
        try:
            both.results[name] = SECTIONS[name](both)
        except Exception:  # the others wait in the midst of it: what is written so far stays
            sys.stderr.write(f"{name} failed:\n{traceback.format_exc()}")
            raise
        if group.leads:
            args.out.write_text(json.dumps(both.results, indent=1) + "\n", encoding="utf-8")
            print(f"[{time.perf_counter() - started:6.1f} s] {name}: {json.dumps(both.results[name])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="cuda:0+1")
    parser.add_argument("--out", type=Path, default=Path("wan_parallel.json"))
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--attention", choices=["cudnn", "default"], default="cudnn")
    args = parser.parse_args()
    args.attend_padding, args.keep_16bit, args.cpu = False, [], False
    group = joined()
    if group is not None:
        measure(group, args)
        return
    devices = Devices.named(args.devices)
    show_only(devices)
    paths = [str(FOLDER), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    raise SystemExit(launch(devices, "wan_parallel", sys.argv[1:], everywhere=True))


if __name__ == "__main__":
    main()
