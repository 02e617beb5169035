"""What came out of a run of ``soak.py``: its report, whether what is promised held, and the plot."""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from soak import Run

ALONE, KINDS = "alone", ("ping", "picture")
SETTLE_S = 3.0
"""So long what an attack left behind counts as part of it."""
ENOUGH = 300
"""Times of one kind from which their 99th percentile says something."""
WARM_UP = 0.2
"""The part of the time after which memory should no longer grow."""
FLAT_MIB = {"server": 24.0, "worker": 64.0, "live": 64.0}
"""Memory is flat if it grew by no more, from the first third of the rest to the last and by the slope of all of it:
what differs between two moments. Workers and live views are killed and begin anew, so that theirs varies more."""
KILLED_LIVE = ("The process for live views was killed", "The process for live views has just ended")
"""What is said of a view whose process this run has killed, at once and until there is another: no fault."""
TIMES = 2.0
"""Others' 99th percentile beside the hostile client may be so many times that of the same minutes without it."""


def report_of(run: Run) -> dict[str, Any]:
    """The report; its verdicts among it."""
    args, artists, log = run.args, run.artists, run.backend.log.read_text(errors="replace")
    diary, times = _read(run.diary, run.began_at), _read(run.times, run.began_at)
    spans = _spans(diary, run.tuning_s)
    report: dict[str, Any] = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "began_at": round(run.began_at, 3),
        "minutes": args.minutes,
        "clients": args.clients,
        "seed": args.seed,
        "hostile": bool(args.hostile),
        "ended_early": run.ended_early,
        "takes": {name: sum(a.counts[name] for a in artists) for name in artists[0].counts},
        "kills": run.kills,
        "problems": [p for a in artists for p in a.problems][:20],
        "probe_errors": [t for t in times if "error" in t][:200],
        "stood_still": log.count("stood still"),
        "think_s": round(run.think_s, 2),
        "tracebacks": log.count("Traceback"),
        "cpu_percent": round(float(np.mean([s["cpu"] for s in run.samples])), 1) if run.samples else 0.0,
        "memory": {name: _slope(run.samples, name) for name in FLAT_MIB},
        "disk_mib": round(max((s["disk"] for s in run.samples), default=0) / 2**20, 1),
        "log_bytes": len(log),
        "attacks": _attacks(diary),
        "times_ms": {kind: _compare([t for t in times if t.get("what") == kind], spans) for kind in KINDS},
    }
    report["verdicts"] = _verdicts(report)
    report["samples"], report["times"] = run.samples, _by_window(times)
    report["attack_spans"] = [(round(begins, 1), name) for begins, name in spans]
    return report


def _read(path: Path, began_at: float) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):  # the last one may be cut
            entry = json.loads(line)
            found.append({**entry, "at": entry["at"] - began_at})
    return found


def _spans(diary: list[dict[str, Any]], tuning_s: float) -> list[tuple[float, str]]:
    """When what begins: the name of an attack, "alone", or "" for the time in which the load is found."""
    spans = [(0.0, ""), (tuning_s, ALONE)]
    for entry in diary:
        spans.append((entry["at"], entry["attack"]) if "attack" in entry else (entry["at"] + SETTLE_S, ALONE))
    return spans


def _attacks(diary: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was sent of each kind, and what kept it from going on."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (e for e in diary if "ended" in e):
        kind = found.setdefault(entry["ended"], {"times": 0, "messages": 0, "mib": 0.0, "problems": []})
        kind["times"] += 1
        kind["messages"] += entry["messages"]
        kind["mib"] = round(kind["mib"] + entry["mib"], 1)
        if entry["problem"]:
            kind["problems"].append(entry["problem"])
    return found


def _compare(times: list[dict[str, Any]], spans: list[tuple[float, str]]) -> dict[str, Any]:
    """Percentiles of one kind of time alone, beside the hostile client, and beside each kind of attack."""
    begins = np.array([at for at, _ in spans])
    during: dict[str, list[float]] = {}
    for entry in times:
        if "ms" in entry:
            name = spans[int(np.searchsorted(begins, entry["at"], "right")) - 1][1]
            during.setdefault(name, []).append(entry["ms"])
    during.pop("", None)
    alone = during.pop(ALONE, [])
    found: dict[str, Any] = {"alone": _percentiles(alone)}
    found["beside"] = _percentiles([ms for values in during.values() for ms in values])
    found["by_attack"] = {name: _percentiles(values) for name, values in sorted(during.items())}
    for entry in (found["beside"], *found["by_attack"].values()):
        if alone and entry["count"]:
            entry["p99_ratio"] = round(entry["p99"] / found["alone"]["p99"], 2)
    return found


def _verdicts(report: dict[str, Any]) -> dict[str, bool]:
    """Whether each promise held; times are judged only where both parts have enough of them for a percentile."""
    takes = report["takes"]
    found = {"nothing lost": not (takes["lost"] or takes["mismatched"] or report["ended_early"])}
    errors = report["probe_errors"]
    of_kills = [e for e in errors if e["error"].startswith(KILLED_LIVE)]
    explained = len(of_kills) == len(errors) and len(errors) <= len(KILLED_LIVE) * report["kills"]["live"]
    found["nobody shut out"] = not takes["errors"] and explained
    for name, most in FLAT_MIB.items():
        memory = report["memory"][name]
        found[f"memory of {name} flat"] = max(memory["grown"], memory["grown_by_slope"]) <= most
    for what, entry in report["times_ms"].items():
        parts = {"": entry["beside"], **{f" beside {n}": e for n, e in entry["by_attack"].items()}}
        for name, part in parts.items():
            if min(entry["alone"]["count"], part["count"]) >= ENOUGH:
                found[f"p99 of {what}{name} within {TIMES:g} times"] = part["p99_ratio"] <= TIMES
    return found


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    values = list(values)
    if not values:
        return {"count": 0}
    p50, p99 = np.percentile(values, (50, 99))
    return {
        "count": len(values),
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "max": round(max(values), 1),
    }


def _slope(samples: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Memory in MiB after the warm-up: its slope in MiB an hour, how much it grew in that time by the slope, and from
    the first third to the last ("grown")."""
    after = [s for s in samples[int(len(samples) * WARM_UP) :] if s[name]]  # a process that was just killed has none
    if len(after) < 3:
        return dict.fromkeys(("mean", "highest", "mib_per_hour", "grown_by_slope", "grown"), 0.0)
    at, rss = np.array([s["at"] for s in after]), np.array([s[name] for s in after]) / 2**20
    third, slope = len(rss) // 3, float(np.polyfit(at, rss, 1)[0])
    return {
        "mean": round(float(rss.mean()), 1),
        "highest": round(float(rss.max()), 1),
        "mib_per_hour": round(slope * 3600, 1),
        "grown_by_slope": round(slope * float(at[-1] - at[0]), 1),
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
    last = max(report["samples"][-1]["at"], report["attack_spans"][-1][0])
    spans = [*report["attack_spans"], (last, "")]
    attacks = [(at, end) for (at, name), (end, _) in itertools.pairwise(spans) if name not in ("", ALONE)]
    for axes in (memory, times):
        for number, (at, end) in enumerate(attacks):
            label = "" if number else "one hostile client at work"
            axes.axvspan(at / 60, end / 60, color="tab:red", alpha=0.08, linewidth=0, label=label)
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
