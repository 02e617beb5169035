"""A day in half an hour: fifty clients, jobs, live views, kills of workers, dying clients, one hostile client.

    python benchmarks/soak.py --minutes 30 [--clients 50] [--hostile 1] [--output benchmarks/results/soak.json]

Writes a JSON report and, beside it, a plot of memory and of the times of pings and pictures, whatever came out. In the
first part of the time (two minutes at most) the artists find how long they think, so that the cores are busy and not
overrun, and keep to it. Then the hostile client attacks and rests by turns, each attack of another kind. Times in its
rests are "alone": the same artists, the same server, the same minutes, so that what else changes (the machine, the
length of the job table) counts on both sides. What it left behind counts as its own for the first three seconds of a
rest. It has the cores when nobody else wants them (:func:`soak_parts.come_last` says why).

The report's ``verdicts`` say whether what is promised held. Exits with 1 if a take was lost or a byte of one wrong, or
if it ended early.
"""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from soak_parts import (
    ATTACKS,
    MOVES,
    Artist,
    Hostile,
    come_last,
    connected,
    digest_of,
    measure,
    request_of,
    upload,
    write_clip,
)
from soak_report import plot, report_of

from ex4d_protocol.events import ItemReceived

SPAWN = mp.get_context("spawn")
REST = 0.5
"""The hostile client rests for so many times as long as an attack lasts."""
BUSY = 60.0
"""Per cent of all cores that are to be at work; the clients think longer or shorter for it."""
FIRST_KILL_S, DISK_EVERY_S = 5.0, 60.0
GIVEN_S = 600.0
"""Beyond its minutes a run has so long to end, else it is stopped from outside."""


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
        command += ["--data-dir", str(self.folder), "--port-file", str(port), "--exit-with-parent", str(os.getpid())]
        with self.log.open("ab") as log:
            environment = {**os.environ, "EX4D_BACKEND_THREADS": "1", "EX4D_BACKEND_GUARDIAN": "off"}
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


def _hostile(
    address: str, files: tuple[Path, Path], diary: Path, times: tuple[float, float], attacks: list[str]
) -> None:
    come_last()
    Hostile(address, files, diary).run(*times, attacks)


class Run:
    """One run: who takes part, and what is noted meanwhile."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.files = write_clip(folder)
        self.expected = expected_takes(folder / "reference", self.files)
        self.backend = Backend(folder / "data")
        self.whole_s = args.minutes * 60.0
        self.tuning_s = min(120.0, self.whole_s / 8)
        self.times, self.diary = folder / "times.jsonl", folder / "attacks.jsonl"
        for path in (self.times, self.diary):
            path.touch()
        self.artists = [
            Artist(self.backend.address, self.files, self.expected, args.seed + i) for i in range(args.clients)
        ]
        self.helpers: list[Any] = []
        self.samples: list[dict[str, Any]] = []
        self.kills = {"worker": 0, "live": 0}
        self.think_s, self.ended_early = 4.0, ""
        self._chance, self._next_disk = random.Random(args.seed), 0.0
        self.began, self.began_at = time.monotonic(), time.time()

    def go(self) -> None:
        """The time itself. Whatever goes wrong ends it early, and is part of the result."""
        self._help(measure, self.backend.address, self.files, self.times)
        psutil.cpu_percent()
        try:
            self._drive()
            finish(self.artists)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is part of the result
            self.ended_early = f"{type(error).__name__}: {error}"
        for helper in self.helpers:
            helper.terminate()
            helper.join(10)
            helper.kill()
            helper.join()
        for artist in self.artists:
            artist.close()

    def _help(self, target: Callable[..., None], *given: Any) -> None:
        helper = SPAWN.Process(target=target, args=given, daemon=True)
        helper.start()
        self.helpers.append(helper)

    def _drive(self) -> None:
        args, next_sample, next_kill = self.args, 0.0, FIRST_KILL_S
        while (now := time.monotonic() - self.began) < self.whole_s:
            for artist in self.artists:
                artist.step(self.think_s)
            time.sleep(0.005)
            if args.hostile and now > self.tuning_s and len(self.helpers) == 1:
                times = args.attack_s, args.attack_s * REST
                self._help(_hostile, self.backend.address, self.files, self.diary, times, args.attacks)
            if now >= next_sample:
                next_sample = now + args.sample_s
                self.samples.append(self._sample(now))
                if now < self.tuning_s:  # from then on the load stays what it is
                    self.think_s = min(120.0, max(0.5, self.think_s * _pace(self.samples, now)))
            if now >= next_kill:
                next_kill = now + args.kill_s
                self._kill()
            if (code := self.backend.process.poll()) is not None:
                raise RuntimeError(f"the server ended with {code}")

    def _kill(self) -> None:
        what = "live" if self._chance.random() < 0.25 else "worker"
        for child in self.backend.children(f"ex4d_backend.{what}")[:1]:
            child.kill()
            self.kills[what] += 1

    def _sample(self, now: float) -> dict[str, Any]:
        server = psutil.Process(self.backend.process.pid)
        rss = {"worker": 0, "live": 0}
        for what in rss:
            for child in self.backend.children(f"ex4d_backend.{what}"):
                with suppress(psutil.Error):
                    rss[what] += child.memory_info().rss
        if now >= self._next_disk:  # seldom: there are thousands of folders, and looking takes the artists' time
            self._next_disk, self._disk = now + DISK_EVERY_S, disk_bytes(self.backend.folder)
        return {
            "at": round(now, 1),
            "server": server.memory_info().rss,
            **rss,
            "threads": server.num_threads(),
            "files": server.num_fds(),
            "disk": self._disk,
            "cpu": psutil.cpu_percent(),
        }


def disk_bytes(folder: Path) -> int:
    """Size of all files below ``folder``."""
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # files come and go meanwhile
                found += Path(parent, name).stat().st_size
    return found


def finish(artists: list[Artist]) -> None:
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


def guard(folder: str, limit_s: float) -> None:
    """End this process and all that it started if it has not ended by itself by then."""

    def stop() -> None:
        print(f"The run did not end within {limit_s:.0f} seconds and is stopped.", flush=True)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(3)

    timer = threading.Timer(limit_s, stop)
    timer.daemon = True
    timer.start()


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the report is written then, too
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        guard(folder, args.minutes * 60 + GIVEN_S)
        run = Run(args, Path(folder))
        run.go()
        run.backend.stop()
        report = report_of(run)
        log = run.backend.log.read_text(errors="replace")
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(report, args.output.with_suffix(".png"))
    if run.ended_early:
        print(log[-8000:], flush=True)
    print(json.dumps({k: v for k, v in report.items() if k not in ("samples", "times", "attack_spans")}, indent=1))
    raise SystemExit(1 if run.ended_early or report["takes"]["lost"] or report["takes"]["mismatched"] else 0)


if __name__ == "__main__":
    main()
