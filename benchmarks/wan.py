"""How fast the wan engine runs beside the original program, in how much memory, and how exactly. JSON out.

    python benchmarks/wan.py --upstream PATH [--out results.json] [--only SECTION ...] [--seconds S] [--tiny | --cpu]

PATH is a checkout of EX-4D; its own transformer code is run from there. All weights are random numbers of the true
shapes (speed and memory do not depend on their values); ``--tiny`` runs the same script small, on any CPU, and
``--cpu`` runs sections that are feasible there (errors) at their full size. A section that fails leaves its error in
the JSON and the others go on. Figures named ``extrapolated`` are the measured time of one step times the number of
steps.

Results are written after every section, into what ``--out`` holds already: sections can be measured in several runs
(ratios need ``upstream`` in the same run). With ``--seconds`` a section is left out once its usual time would pass
the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from wan_bench import Bench
from wan_candidates import fast_candidates
from wan_errors import errors
from wan_memory import cold_start, cold_worker, memory_plans
from wan_time import attention, codec, measure_mode, upstream, whole_clip

from ex4d_ground.costs import GIB

START = time.time()


def environment(bench: Bench) -> dict[str, Any]:
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


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "environment": environment,
    "attention": attention,
    "upstream": upstream,
    "exact": lambda bench: measure_mode(bench, "exact", full="exact" in bench.args.full),
    "fast": lambda bench: measure_mode(bench, "fast", full="fast" in bench.args.full),
    "fp8": lambda bench: measure_mode(bench, "fp8", full="fp8" in bench.args.full),
    "turbo": lambda bench: measure_mode(bench, "turbo", full=True),
    "fast_candidates": fast_candidates,
    "fp8_candidates": lambda bench: fast_candidates(bench, mode="fp8"),
    "codec": codec,
    "whole_clip": whole_clip,
    "plans": memory_plans,
    "errors": errors,
    "cold": cold_start,
}
USUAL_SECONDS = {
    "environment": 15, "attention": 5, "upstream": 15, "exact": 40, "fast": 70, "fp8": 60, "turbo": 30,
    "fast_candidates": 100, "fp8_candidates": 100, "codec": 25, "whole_clip": 1, "plans": 210, "errors": 10,
    "cold": 180,
}  # fmt: skip
"""On an H200, where the plans are all four; for ``--seconds``."""


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


def _usual(name: str, args: argparse.Namespace) -> float:
    """The section's usual time with these arguments."""
    if name == "plans" and args.plans:
        return 55.0 * len(args.plans) + (30 if any("offload" in plan for plan in args.plans) else 0)
    if name in ("fast", "fp8") and name not in args.full:
        return 30.0
    return float(USUAL_SECONDS[name])


def _merged(kept: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """New sections in the places of old ones; memory plans one by one."""
    merged = {**kept, **found}
    if "plans" in kept and "plans" in found:
        merged["plans"] = {**kept["plans"], **found["plans"]}
    return merged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--out", type=Path, default=Path("wan.json"))
    parser.add_argument("--only", nargs="+", choices=sorted(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--full", nargs="*", default=["fast", "fp8"], help="modes whose whole clip is denoised")
    parser.add_argument("--plans", nargs="*", default=[], help="memory plans to try (default: all)")
    parser.add_argument("--seconds", type=float, help="leave out sections that would end later than this")
    parser.add_argument("--attend-padding", action="store_true", help="attend to padding tokens, not count them")
    parser.add_argument("--keep-16bit", nargs="*", default=[], help="layers that fp8 leaves alone, as attn2.to_out.0")
    parser.add_argument("--profile", action="store_true", help="list the longest kernels of each mode")
    parser.add_argument("--attention", choices=["cudnn", "default"], default="cudnn")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--cold-worker", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cold_worker:
        cold_worker(args)
        return
    bench = Bench(args)
    kept = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for name in dict.fromkeys(args.only):
        if args.seconds is not None and time.time() - START + _usual(name, args) > args.seconds:
            print(
                f"[{time.time() - START:6.1f} s] {name}: left out, it takes about {_usual(name, args):.0f} s",
                flush=True,
            )
            continue
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
        args.out.write_text(json.dumps(_merged(kept, bench.results), indent=1) + "\n")
        print(
            f"[{time.time() - START:6.1f} s] {name}: {json.dumps({k: v for k, v in found.items() if k != 'profile'})}"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
