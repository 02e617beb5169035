"""A day in half an hour: fifty clients, jobs, live views, kills of workers, dying clients, one hostile client.

    python benchmarks/soak.py --minutes 30 [--clients 50] [--hostile 1] [--output benchmarks/results/soak.json]

Writes a JSON report and, beside it, a plot of memory and of the times of pings and pictures. The first part of the time
(five minutes at most) is without the hostile client, with the same load of artists otherwise: in its first half they
find how long they think, so that the cores are busy and not overrun, and keep to it; its second half is "alone". The
report's ``verdicts`` say whether what is promised held. Exits with 1 if a take was lost or a byte of one wrong.
"""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing as mp
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from soak_parts import ATTACKS, MOVES, Artist, Hostile, connected, digest_of, measure, request_of, upload, write_clip

from ex4d_protocol.events import ItemReceived

SPAWN = mp.get_context("spawn")
BUSY = 60.0
"""Per cent of all cores that are to be at work; the clients think longer or shorter for it."""
WARM_UP = 0.2
"""The part of the time after which memory should no longer grow."""
FLAT_MIB = {"server": 24.0, "worker": 64.0, "live": 64.0}
"""Memory is flat if it grew by no more from the first third of the rest to the last: what differs between two moments.
Workers and the process of live views are killed and begin anew, so that theirs varies more."""
TIMES = 2.0
"""Others' 99th percentile beside the hostile client may be so many times that of the same day without it."""


class Backend:
    """A real server on a free port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.address = "tcp://127.0.0.1:auto"
        self.start()
        atexit.register(self.kill)  # after a run that failed; else it has ended by then

    def start(self) -> None:
        """Start it; again at the same address after it has ended."""
        port = self.folder.with_suffix(".port")
        port.unlink(missing_ok=True)
        command = [sys.executable, "-m", "ex4d_backend", "--address", self.address, "--device", "cpu"]
        command += ["--data-dir", str(self.folder), "--port-file", str(port)]
        with self.log.open("ab") as log:
            environment = {**os.environ, "EX4D_BACKEND_THREADS": "1"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        while not port.exists():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.address = port.read_text().strip()

    def kill(self) -> None:
        """End it with -9, without a word."""
        self.process.kill()
        self.process.wait()

    def children(self, module: str = "") -> list[psutil.Process]:
        """The server's processes whose command names ``module``."""
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.Error):
                    if module in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def expected_takes(folder: Path, files: tuple[Path, Path]) -> list[dict[str, str]]:
    """Digests of every item of each take, made by a backend that nobody else uses."""
    backend = Backend(folder)
    try:
        client = connected(backend.address)
        clip, takes = upload(client, files), []
        for move in range(MOVES):
            items: dict[str, str] = {}

            def keep(event: Any, items: dict[str, str] = items) -> None:
                if isinstance(event, ItemReceived):
                    items[f"{event.name} {event.frame}"] = digest_of(event)

            state = client.wait_job(client.submit(request_of(move, clip)), 900, on_event=keep)
            assert state.phase == "done", state
            takes.append(items)
        client.close()
        return takes
    finally:
        backend.stop()


def _hostile(address: str, files: tuple[Path, Path], diary: Path, each_s: float, attacks: list[str]) -> None:
    """What it sends is measured, not that it computes on the same cores: it comes behind who answers and who asks."""
    if os.name == "posix":
        os.nice(5)
    Hostile(address, files, diary).run(each_s, attacks)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole run; its report."""
    files = write_clip(folder)
    expected = expected_takes(folder / "reference", files)
    backend = Backend(folder / "data")
    whole_s, alone_s = args.minutes * 60.0, min(300.0, args.minutes * 60.0 / 4)
    times, diary = folder / "times.jsonl", folder / "attacks.jsonl"
    diary.touch()
    helpers = [SPAWN.Process(target=measure, args=(backend.address, files, times), daemon=True)]
    helpers[0].start()
    artists = [Artist(backend.address, files, expected, args.seed + i) for i in range(args.clients)]
    chance, samples, kills = random.Random(args.seed), [], {"worker": 0, "live": 0}
    began, began_at, think_s = time.monotonic(), time.time(), 4.0
    next_sample = next_kill = 0.0
    psutil.cpu_percent()
    while (now := time.monotonic() - began) < whole_s:
        for artist in artists:
            artist.step(think_s)
        time.sleep(0.005)
        if args.hostile and now > alone_s and len(helpers) == 1:
            given = backend.address, files, diary, args.attack_s, args.attacks
            helpers.append(SPAWN.Process(target=_hostile, args=given, daemon=True))
            helpers[1].start()
        if now >= next_sample:
            next_sample = now + args.sample_s
            samples.append(_sample(backend, now))
            if now < alone_s / 2:  # from then on the load stays what it is
                think_s = min(120.0, max(0.5, think_s * _pace(samples, now)))
        if now >= next_kill:
            next_kill = now + args.kill_s
            what = "live" if next_kill > args.kill_s and chance.random() < 0.25 else "worker"
            for child in backend.children(f"ex4d_backend.{what}")[:1] if now > 5 else []:
                child.kill()
                kills[what] += 1
        assert backend.process.poll() is None, "the server ended: " + backend.log.read_text()[-2000:]
    _finish(artists)
    for helper in helpers:
        helper.terminate()
        helper.join()
    for artist in artists:
        artist.close()
    log = backend.log.read_text(errors="replace")
    backend.stop()
    return _report(args, artists, samples, kills, _read(times, began_at), _read(diary, began_at), alone_s, think_s, log)


def _finish(artists: list[Artist]) -> None:
    """Let what is under way arrive."""
    end = time.monotonic() + 120
    while any(a.busy for a in artists) and time.monotonic() < end:
        for artist in artists:
            artist.step(1e9)
        time.sleep(0.005)
    for artist in artists:
        if artist.busy:
            artist.counts["lost"] += 1
            artist.problems.append("a job did not end within two minutes")


def _pace(samples: list[dict[str, Any]], now: float) -> float:
    """By how much longer or shorter the artists are to think."""
    return 1.1 if float(np.mean([s["cpu"] for s in samples if s["at"] > now - 10])) > BUSY else 0.9


def _sample(backend: Backend, now: float) -> dict[str, Any]:
    server = psutil.Process(backend.process.pid)
    rss = {"worker": 0, "live": 0}
    for what in rss:
        for child in backend.children(f"ex4d_backend.{what}"):
            with suppress(psutil.Error):
                rss[what] += child.memory_info().rss
    disk = 0
    for parent, _, names in os.walk(backend.folder):
        for name in names:
            with suppress(FileNotFoundError):  # files come and go meanwhile
                disk += Path(parent, name).stat().st_size
    return {
        "at": round(now, 1),
        "server": server.memory_info().rss,
        **rss,
        "threads": server.num_threads(),
        "files": server.num_fds(),
        "disk": disk,
        "cpu": psutil.cpu_percent(),
    }


def _read(path: Path, began_at: float) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):  # the last one may be cut
            entry = json.loads(line)
            found.append({**entry, "at": entry["at"] - began_at})
    return found


def _report(
    args: argparse.Namespace,
    artists: list[Artist],
    samples: list[dict[str, Any]],
    kills: dict[str, int],
    times: list[dict[str, Any]],
    attacks: list[dict[str, Any]],
    alone_s: float,
    think_s: float,
    log: str,
) -> dict[str, Any]:
    counts = {name: sum(a.counts[name] for a in artists) for name in artists[0].counts}
    report: dict[str, Any] = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "minutes": args.minutes,
        "clients": args.clients,
        "seed": args.seed,
        "hostile": bool(args.hostile),
        "takes": counts,
        "kills": kills,
        "problems": [p for a in artists for p in a.problems][:20],
        "probe_errors": [t for t in times if "error" in t][:20],
        "stood_still": log.count("stood still"),
        "think_s": round(think_s, 2),
        "tracebacks": log.count("Traceback"),
        "cpu_percent": round(float(np.mean([s["cpu"] for s in samples])), 1),
        "memory": {name: _slope(samples, name) for name in FLAT_MIB},
        "disk_mib": round(max(s["disk"] for s in samples) / 2**20, 1),
        "log_bytes": len(log),
        "times_ms": {},
    }
    for what in ("ping", "picture"):
        alone = [t["ms"] for t in times if t.get("what") == what and alone_s / 2 < t["at"] <= alone_s]
        beside = [t["ms"] for t in times if t.get("what") == what and t["at"] > alone_s]
        entry: dict[str, Any] = {"alone": _percentiles(alone), "beside": _percentiles(beside)}
        if alone and beside:
            entry["p99_ratio"] = round(entry["beside"]["p99"] / entry["alone"]["p99"], 2)
        entry["by_attack"] = _by_attack([t for t in times if t.get("what") == what], attacks)
        report["times_ms"][what] = entry
    report["verdicts"] = _verdicts(report)
    report["samples"], report["times"], report["alone_s"] = samples, _by_window(times), alone_s
    return report


def _verdicts(report: dict[str, Any]) -> dict[str, bool]:
    """Whether each promise held; times are judged only where both parts have enough of them for a percentile."""
    found = {"nothing lost": not report["takes"]["lost"] and not report["takes"]["mismatched"]}
    for name, most in FLAT_MIB.items():
        found[f"memory of {name} flat"] = report["memory"][name]["grown"] <= most
    for what, entry in report["times_ms"].items():
        if "p99_ratio" in entry and min(entry["alone"]["count"], entry["beside"]["count"]) >= 100:
            found[f"p99 of {what} within {TIMES:g} times"] = entry["p99_ratio"] <= TIMES
    return found


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    p50, p99 = np.percentile(values, (50, 99))
    return {
        "count": len(values),
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "max": round(max(values), 1),
    }


def _by_attack(times: list[dict[str, Any]], attacks: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, list[float]] = {}
    ends = [a["at"] for a in attacks[1:]] + [float("inf")]
    for attack, end in zip(attacks, ends, strict=True):
        found.setdefault(attack["attack"], []).extend(t["ms"] for t in times if attack["at"] < t["at"] <= end)
    return {name: _percentiles(values) for name, values in found.items()}


def _slope(samples: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Memory in MiB after the warm-up: how it grows in MiB an hour, and from its first third to its last ("grown")."""
    after = [s for s in samples[int(len(samples) * WARM_UP) :] if s[name]]  # a process that was just killed has none
    if len(after) < 3:
        return {"mean": 0.0, "highest": 0.0, "mib_per_hour": 0.0, "grown": 0.0}
    at, rss = np.array([s["at"] for s in after]), np.array([s[name] for s in after]) / 2**20
    third = len(rss) // 3
    return {
        "mean": round(float(rss.mean()), 1),
        "highest": round(float(rss.max()), 1),
        "mib_per_hour": round(float(np.polyfit(at, rss, 1)[0]) * 3600, 1),
        "grown": round(float(np.median(rss[-third:]) - np.median(rss[:third])), 1),
    }


def _by_window(times: list[dict[str, Any]], window_s: float = 30.0) -> list[dict[str, Any]]:
    """The 99th percentile of each half minute, for the plot."""
    windows: dict[tuple[str, int], list[float]] = {}
    for entry in times:
        if "ms" in entry:
            windows.setdefault((entry["what"], int(entry["at"] // window_s)), []).append(entry["ms"])
    return [
        {"what": what, "at": number * window_s, "p99": round(float(np.percentile(values, 99)), 2)}
        for (what, number), values in sorted(windows.items())
    ]


def plot(report: dict[str, Any], path: Path) -> None:
    """Memory of server and workers, and the times of pings and pictures, over the run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, times) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    minutes = [s["at"] / 60 for s in report["samples"]]
    for name, label in (("server", "server"), ("worker", "worker"), ("live", "live views")):
        rss = [s[name] / 2**20 or np.nan for s in report["samples"]]  # a gap where it was killed
        memory.plot(minutes, rss, label=f"{label}, {report['memory'][name]['mib_per_hour']:+.0f} MiB/h")
    memory.set_ylabel("resident memory, MiB")
    memory.set_ylim(bottom=0)
    for what in ("ping", "picture"):
        entries = [t for t in report["times"] if t["what"] == what]
        times.plot([t["at"] / 60 for t in entries], [t["p99"] for t in entries], label=f"{what}, p99 of 30 s")
    times.set_ylabel("milliseconds")
    times.set_xlabel("minutes")
    times.set_yscale("log")
    for axes in (memory, times):
        if report["hostile"]:
            axes.axvspan(report["alone_s"] / 60, minutes[-1], color="tab:red", alpha=0.06, label="one hostile client")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run it, write the report, say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--hostile", type=int, default=1, choices=(0, 1))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-s", type=float, default=60.0, help="a worker is killed this often")
    parser.add_argument("--attack-s", type=float, default=20.0, help="how long each kind of attack lasts")
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=ATTACKS, help="all, unless some are named")
    parser.add_argument("--sample-s", type=float, default=2.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "soak.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = run(args, Path(folder))
        except BaseException:
            log = Path(folder, "data.log")
            print(log.read_text(errors="replace")[-8000:] if log.exists() else "The server wrote no log.", flush=True)
            raise
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(report, args.output.with_suffix(".png"))
    shown = {k: v for k, v in report.items() if k not in ("samples", "times", "alone_s")}
    print(json.dumps(shown, indent=1))
    raise SystemExit(1 if report["takes"]["lost"] or report["takes"]["mismatched"] else 0)


if __name__ == "__main__":
    main()
