"""How many GPUs, how much disk and network a show of N shots a day needs: a simulation fed by measured times.

    python benchmarks/farm_plan.py --output benchmarks/results/farm_plan.json --plot docs/images/farm-plan.png

Times of the model, of loading it, rates of the backend and sizes of takes are those in ``benchmarks/results``; what a
studio has is assumed, and stands in the output under ``assumed``. It is SimPy's event queue and no measurement: no show
was made with it. The same seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import simpy

RESULTS = Path(__file__).parent / "results"
MODES = ("fast", "fp8", "turbo")
SHOTS = (10, 100, 1000, 10_000)
GPUS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
WAIT_S = 60.0
"""Nine of ten takes are to begin within this."""
MB = 1e6


@dataclass(frozen=True)
class Measured:
    """What was measured here, by whom it stands in the results."""

    take_s: dict[str, float]
    """A GPU's time for a take of 49 frames of 512x512, the model loaded: wan_h200.json."""
    cold_s: float
    """From starting Python to the end of the first forward, kernels on disk: wan_h200.json."""
    upload_mb_s: float
    """Uploads that the backend takes, hashed and encrypted: backend.json."""
    send_mb_s: float
    """Results that it sends, encrypted: backend.json."""
    take_mb: float
    """PNGs and MP4 of a take: footage_costs.json."""
    video_mb: float
    """The footage that the backend's benchmark sends, uncompressed: backend.json."""

    @classmethod
    def read(cls) -> Measured:
        """From the kept results."""
        wan, backend, costs = (
            json.loads((RESULTS / f"{n}.json").read_text()) for n in ("wan_h200", "backend", "footage_costs")
        )
        row = next(r for r in costs["rows"] if (r["command"], r["width"], r["frames"]) == ("preview", 512, 49))
        return cls(
            take_s={mode: wan["whole_clip"][mode]["seconds"] for mode in MODES},
            cold_s=wan["cold"]["second"]["total_s"],
            upload_mb_s=1000 * backend["curve"]["upload_gb_s"]["median"],
            send_mb_s=1000 * backend["curve"]["backend_gb_s"]["median"],
            take_mb=row["disk_mib"] * 1.048576,
            video_mb=backend["megabytes"],
        )


@dataclass(frozen=True)
class Assumed:
    """What a studio has and does; other numbers by other options."""

    takes_a_shot: int = 4
    """Cameras, seeds and settings that are tried on one clip."""
    day_h: float = 10.0
    """Hours in which shots come, evenly and at random."""
    gpus_a_machine: int = 8
    link_mb_s: float = 1250.0
    """The server's network, each way: 10 Gbit/s."""
    depth_mb: float = 49 * 512 * 512 * 4 / MB
    """Depth as float32, uncompressed."""
    keep_days: float = 30.0
    """So long takes and clips are kept."""


@dataclass
class Day:
    """What came of one simulation."""

    waits: list[float]
    ended_s: float = 0.0
    gpu_busy_s: float = 0.0
    received_mb: float = 0.0
    """From clients and from machines."""
    sent_mb: float = 0.0
    """To clients and to machines."""
    saved_mb: float = 0.0
    """Uploads and transfers that content addressing left out."""
    server_busy: float = 0.0
    """Share of the time in which the server's busier direction moved bytes."""


class Show:
    """One day of shots through one backend whose workers are on machines elsewhere."""

    def __init__(self, measured: Measured, assumed: Assumed, mode: str, gpus: int, seed: int, *, warm: bool = True):
        self.env, self.chance = simpy.Environment(), random.Random(seed)
        self.m, self.a = measured, assumed
        self.seconds = measured.take_s[mode] + (0.0 if warm else measured.cold_s)
        self.gpus = simpy.Store(self.env)
        for gpu in range(gpus):
            self.gpus.put(gpu // assumed.gpus_a_machine)
        self.ways = {"in": simpy.Resource(self.env), "out": simpy.Resource(self.env)}
        self.rates = {
            "in": min(measured.upload_mb_s, assumed.link_mb_s),
            "out": min(measured.send_mb_s, assumed.link_mb_s),
        }
        self.busy = {"in": 0.0, "out": 0.0}
        self.day = Day([])

    def move(self, way: str, megabytes: float) -> Iterator[Any]:
        """Bytes through the server, one after the other: its loop and its network are shared by all."""
        with self.ways[way].request() as turn:
            yield turn
            took = megabytes / self.rates[way]
            self.busy[way] += took
            yield self.env.timeout(took)
        if way == "in":
            self.day.received_mb += megabytes
        else:
            self.day.sent_mb += megabytes

    def shot(self, at_s: float) -> Iterator[Any]:
        """A clip comes; its takes are asked for one after the other, as an artist does."""
        yield self.env.timeout(at_s)
        clip = self.m.video_mb + self.a.depth_mb
        yield from self.move("in", clip)
        self.day.saved_mb += clip * (self.a.takes_a_shot - 1)
        there: set[int] = set()
        for _ in range(self.a.takes_a_shot):
            yield from self.take(clip, there)

    def take(self, clip: float, there: set[int]) -> Iterator[Any]:
        """One take on whichever GPU is free; ``there`` are the machines that have the clip."""
        asked = self.env.now
        machine = yield self.gpus.get()
        self.day.waits.append(self.env.now - asked)
        if machine in there:
            self.day.saved_mb += clip
        else:
            there.add(machine)
            yield from self.move("out", clip)
        yield self.env.timeout(self.seconds)
        self.day.gpu_busy_s += self.seconds
        yield self.gpus.put(machine)
        yield from self.move("in", self.m.take_mb)
        yield from self.move("out", self.m.take_mb)

    def run(self, shots: int, within_s: float) -> Day:
        """All of ``shots``, which come at random within so long, to their end."""
        for _ in range(shots):
            self.env.process(self.shot(self.chance.uniform(0, within_s)))
        self.env.run()
        self.day.ended_s = self.env.now
        self.day.server_busy = max(self.busy.values()) / max(self.env.now, 1e-9)
        return self.day


def gpus_for(shots: int, mode: str, measured: Measured, assumed: Assumed, seed: int) -> tuple[int, Day]:
    """The fewest GPUs with which nine of ten takes begin within the wait that is allowed, and that day."""

    def day(gpus: int) -> Day:
        return Show(measured, assumed, mode, gpus, seed).run(shots, assumed.day_h * 3600)

    def enough(found: Day) -> bool:
        return float(np.quantile(found.waits, 0.9)) <= WAIT_S

    most = 1
    while not enough(day(most)):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(day(middle)) else (middle, most)
    return most, day(most)


def need_rows(measured: Measured, assumed: Assumed, seed: int) -> list[dict[str, Any]]:
    """What a show needs, by its shots a day."""
    rows = []
    for mode in MODES:
        for shots in SHOTS:
            gpus, day = gpus_for(shots, mode, measured, assumed, seed)
            takes, hours = shots * assumed.takes_a_shot, day.ended_s / 3600
            kept = takes * measured.take_mb + shots * (measured.video_mb + assumed.depth_mb)
            rows.append(
                {
                    "mode": mode,
                    "shots_a_day": shots,
                    "takes": takes,
                    "gpus": gpus,
                    "gpu_use": round(day.gpu_busy_s / (gpus * day.ended_s), 3),
                    "wait_90_s": round(float(np.quantile(day.waits, 0.9)), 1),
                    "done_after_h": round(hours, 2),
                    "stored_gb_a_day": round(kept / 1000, 2),
                    "stored_gb_kept": round(kept * assumed.keep_days / 1000, 1),
                    "network_gb": round((day.received_mb + day.sent_mb) / 1000, 2),
                    "network_mb_s": round((day.received_mb + day.sent_mb) / day.ended_s, 2),
                    "saved_gb": round(day.saved_mb / 1000, 2),
                    "saved_share": round(day.saved_mb / (day.saved_mb + day.received_mb + day.sent_mb), 3),
                    "server_busy": round(day.server_busy, 4),
                }
            )
    return rows


def growth_rows(measured: Measured, assumed: Assumed, seed: int) -> list[dict[str, Any]]:
    """Takes an hour of a queue that is never empty, by the number of GPUs, and what holds it back."""
    rows = []
    for mode in MODES:
        for warm in (True, False):
            for gpus in GPUS:
                # Four waves of takes, all asked for at once: what begins and ends the run weighs little.
                show = Show(measured, assumed, mode, gpus, seed, warm=warm)
                day = show.run(4 * gpus, 1.0)
                takes = len(day.waits)
                use = day.gpu_busy_s / (gpus * day.ended_s)
                rows.append(
                    {
                        "mode": mode,
                        "warm": warm,
                        "gpus": gpus,
                        "takes_an_hour": round(takes / day.ended_s * 3600, 1),
                        "gpu_use": round(use, 3),
                        "server_busy": round(day.server_busy, 3),
                        "held_back_by": "server" if day.server_busy > use else "GPUs",
                    }
                )
    return rows


def plot(found: dict[str, Any], path: Path) -> None:
    """Takes an hour over GPUs, and GPUs over shots a day."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    colours = dict(zip(MODES, ("#2f6f9f", "#3c9a5f", "#c8662c"), strict=True))
    for mode in MODES:
        for warm, style in ((True, "-"), (False, ":")):
            rows = [r for r in found["growth"] if r["mode"] == mode and r["warm"] == warm]
            name = mode if warm else f"{mode}, a process a task"
            x, y = [r["gpus"] for r in rows], [r["takes_an_hour"] for r in rows]
            left.plot(x, y, style, color=colours[mode], marker="o", markersize=3, label=name)
        rows = [r for r in found["needs"] if r["mode"] == mode]
        x, y = [r["shots_a_day"] for r in rows], [r["gpus"] for r in rows]
        right.plot(x, y, color=colours[mode], marker="o", markersize=4, label=mode)
    for axes, x, y in ((left, "GPUs", "takes an hour"), (right, "shots a day, four takes each", "GPUs")):
        axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
        axes.grid(True, which="both", alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    left.set_title("A queue that is never empty", fontsize=11)
    right.set_title(f"Nine of ten takes begin within {WAIT_S:.0f} s", fontsize=11)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Simulate, print JSON, and write it and the plot where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    for name, default in asdict(Assumed()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    given = vars(parser.parse_args())
    assumed = replace(Assumed(), **{name: given[name] for name in asdict(Assumed())})
    measured = Measured.read()
    found = {
        "measured": asdict(measured),
        "assumed": asdict(assumed) | {"wait_s": WAIT_S, "seed": given["seed"]},
        "needs": need_rows(measured, assumed, given["seed"]),
        "growth": growth_rows(measured, assumed, given["seed"]),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if given["output"]:
        given["output"].write_text(f"{text}\n", encoding="utf-8")
    if given["plot"]:
        plot(found, given["plot"])


if __name__ == "__main__":
    main()
