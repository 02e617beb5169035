"""The process beside the server that speaks to Ray: it keeps actors, gives them orders and brings back what they say.

Ray is a library with threads and sockets of its own; here they cannot hold up the server's loop, nor end it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ex4d.device_names import Devices
from ex4d_backend import child_messages
from ex4d_backend.blob_files import blob_path
from ex4d_backend.child import child_arguments, connect_to_server
from ex4d_backend.child_messages import (
    Abilities,
    BlobMade,
    JobEnded,
    Quit,
    RayDrop,
    RayJobLost,
    RayRun,
    RaySlot,
    RaySlots,
    RayWant,
    Ready,
    RunJob,
    StopJob,
    ToChild,
)
from ex4d_backend.data_folder import file_at
from ex4d_backend.item_files import item_file
from ex4d_backend.job_rows import decode_request
from ex4d_backend.private_socket import private_folder
from ex4d_backend.ray_workers.actor import ShotActor, described
from ex4d_backend.worker import ServerThread
from ex4d_ground.files import output_error
from ex4d_protocol.messages import DeviceSpec, Item
from ex4d_protocol.requests import blobs_of

log = logging.getLogger("ex4d_backend.ray_workers")

LOOK_S = 0.25
SOCKET_BYTES = len("/r/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""What the path of a socket of Ray's has below the folder that Ray is given."""
PART_BYTES = 32 << 20
UNREAD_RESULTS = 16
"""Of one job, before its actor waits."""
START_S = 600.0
"""What an actor may take to be there where the cluster starts a machine for it."""
MARGIN_S = 300.0
"""Actors beyond what is wanted end after so long without a job."""


class BridgeThread(ServerThread):
    """The thread that owns the connection to the server; everything it hears is for the main thread."""

    def _obey(self, message: ToChild) -> None:
        if isinstance(message, Quit):
            self.jobs.put(None)
        else:
            self.jobs.put(message)  # pyright: ignore[reportArgumentType] - a queue of whatever the server says


@dataclass
class Slot:
    """One actor."""

    name: str
    actor: Any
    described: Any
    """Of its first call, until it is answered."""
    held: Any = None
    """Of a call that is never answered: it fails when the actor is gone."""
    device: DeviceSpec | None = None
    abilities: Abilities | None = None
    here: bool = False
    """Whether it runs on the server's machine."""
    job_id: str = ""
    began: float = 0.0
    rested: float = 0.0
    """Since when it has had nothing to do."""


class Bridge:
    """All actors. Belongs to the main thread; each running job has a thread that follows it."""

    def __init__(self, server: BridgeThread, ray: Any, args: Any):
        self._server, self._ray, self._args = server, ray, args
        self._slots: dict[str, Slot] = {}
        self._made = 0
        self._told: tuple[RaySlot, ...] | None = None
        self._wanted = 0
        self._node = ray.get_runtime_context().get_node_id()

    # --- how many -----------------------------------------------------------------------------------------

    @property
    def _gpus(self) -> int:
        asked = self._args.gpus
        return asked if asked >= 0 else int(self._ray.cluster_resources().get("GPU", 0) >= 1)

    def _room(self) -> int:
        """How many actors the cluster as it stands has room for: one a GPU group, or one a machine without GPUs."""
        gpus = self._gpus
        if gpus:
            return int(self._ray.cluster_resources().get("GPU", 0) // gpus)
        return sum(node["Alive"] and node["Resources"].get("CPU", 0) >= 1 for node in self._ray.nodes())

    def look(self) -> None:
        """Take up what became ready or is gone; have as many actors as are wanted."""
        for slot in list(self._slots.values()):
            self._look_at(slot)
        limit = self._args.most or self._room()
        target = max(min(self._args.least, limit), min(self._wanted, limit))
        for _ in range(target - len(self._slots)):
            self._start()
        spare = [s for s in self._slots.values() if not s.job_id and time.monotonic() - s.rested > MARGIN_S]
        for slot in spare[: max(0, len(self._slots) - target)]:
            self.drop(slot.name)
        self._tell()

    def _start(self) -> None:
        self._made += 1
        gpus = self._gpus
        options: dict[str, Any] = {"num_gpus": gpus, "num_cpus": 1, "max_concurrency": 4, "max_restarts": 0}
        if not gpus:
            options["scheduling_strategy"] = "SPREAD"
        # Ray shows an actor its GPUs alone, which are counted from 0 then.
        device = Devices("cuda", tuple(range(gpus))).name if gpus > 1 else ""
        given = (self._args.threads, self._args.rasterizer, device)
        actor = self._ray.remote(ShotActor).options(**options).remote(*given)
        slot = Slot(f"ray:{self._made}", actor, actor.describe.remote(), began=time.monotonic())
        self._slots[slot.name] = slot

    def _look_at(self, slot: Slot) -> None:
        waiting = slot.held if slot.described is None else slot.described
        done, _ = self._ray.wait([waiting], timeout=0)
        if not done:
            if slot.described is not None and time.monotonic() - slot.began > START_S:
                self.drop(slot.name)
            return
        try:
            ready = described(self._ray.get(waiting))
            where = self._ray.get(slot.actor.__ray_call__.remote(_node_of))
        except Exception as error:  # noqa: BLE001 - whatever Ray or the actor's start raises: it is gone
            log.warning("%s is gone: %s", slot.name, _short(error))
            self.drop(slot.name)
            return
        slot.device, slot.abilities, slot.described = ready.device, ready.abilities, None
        slot.held, slot.here, slot.rested = slot.actor.hold.remote(), where == self._node, time.monotonic()

    def drop(self, name: str) -> None:
        """End an actor; its job, if it has one, is told of by who follows it."""
        slot = self._slots.pop(name, None)
        if slot is not None:
            self._ray.kill(slot.actor, no_restart=True)

    def _tell(self) -> None:
        slots = tuple(RaySlot(name=s.name, device=s.device, abilities=s.abilities) for s in self._slots.values())
        if slots != self._told:
            self._told = slots
            self._server.send(RaySlots(slots))

    # --- jobs ---------------------------------------------------------------------------------------------

    def obey(self, message: Any) -> None:
        """Do what the server says."""
        match message:
            case RayWant(jobs):
                self._wanted = jobs
            case RayDrop(name):
                self.drop(name)
            case StopJob(job_id):
                for slot in self._slots.values():
                    if slot.job_id == job_id:
                        slot.actor.stop.remote(job_id)
            case RayRun(name, order):
                slot = self._slots.get(name)
                if slot is None:
                    self._server.send(RayJobLost(order.job_id, "was gone when the job came"))
                    return
                slot.job_id = order.job_id
                threading.Thread(target=self._follow, args=(slot, order), daemon=True).start()
            case _:
                pass  # beats, and what the server asks of all workers

    def _follow(self, slot: Slot, order: RunJob) -> None:
        """Give an actor its order and pass on what comes of it; on a thread of its own."""
        from ray.exceptions import RayError

        ended = False
        try:
            self._send_blobs(slot, order)
            how = {"num_returns": "streaming", "_generator_backpressure_num_objects": UNREAD_RESULTS}
            said = slot.actor.run.options(**how).remote(
                child_messages.encode(order), order.blobs if slot.here else None
            )
            for reference in said:
                encoded, data = self._ray.get(reference)
                message = child_messages.decode_from_child(encoded)
                ended = isinstance(message, JobEnded)
                if ended:
                    slot.job_id, slot.rested = "", time.monotonic()  # before the server hears that it is free
                _keep(order, message, data)
                self._server.send(message)
        except RayError as error:
            if not ended:
                self._server.send(RayJobLost(order.job_id, _short(error)))
        except Exception as error:  # noqa: BLE001 - the job must end, whatever it was
            slot.actor.stop.remote(order.job_id)
            failure = output_error(Path(order.folder), error) if isinstance(error, OSError) else error
            if not ended:
                self._server.send(JobEnded(order.job_id, "failed", str(failure)[:4000]))
        finally:
            if slot.job_id == order.job_id:  # else it has the next job already
                slot.job_id, slot.rested = "", time.monotonic()

    def _send_blobs(self, slot: Slot, order: RunJob) -> None:
        """Bring the job's uploads to the actor's machine, those that are not there yet."""
        if slot.here:
            return
        refs = blobs_of(decode_request(order.request)).values()
        sizes = {ref.sha256: blob_path(Path(order.blobs), ref.sha256).stat().st_size for ref in refs}
        for digest in self._ray.get(slot.actor.missing.remote(list(sizes.items()))):
            with blob_path(Path(order.blobs), digest).open("rb") as file:
                offset = 0
                while offset == 0 or offset < sizes[digest]:
                    part = file.read(PART_BYTES)
                    self._ray.get(slot.actor.put.remote(digest, sizes[digest], offset, part))
                    offset += max(1, len(part))


def _keep(order: RunJob, message: Any, data: bytes | None) -> None:
    """Write what a message is about where a worker of this machine would have. Raises OSError."""
    if data is None:
        return
    folder = Path(order.folder)
    if isinstance(message, JobEnded):
        folder.mkdir(parents=True, exist_ok=True)
        with file_at(folder / "log.txt").open("ab") as log:
            log.write(data)
    elif isinstance(message, Item | BlobMade):
        items = folder / f"items-{order.attempt}"
        items.mkdir(parents=True, exist_ok=True)
        (items / (item_file(message.index) if isinstance(message, Item) else message.file)).write_bytes(data)


def _node_of(actor: object) -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.ray_workers.bridge``; started by the server only."""
    parser = child_arguments("ex4d_backend.ray_workers.bridge")
    parser.add_argument("--address", required=True)
    parser.add_argument("--gpus", type=int, default=-1)
    parser.add_argument("--least", type=int, default=1)
    parser.add_argument("--most", type=int, default=0)
    args = parser.parse_args(argv)
    connection = connect_to_server(args)
    server = BridgeThread(connection)
    server.start()
    try:
        import ray
    except ImportError:
        sys.exit("Ray is not installed: pip install '.[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    own = private_folder(SOCKET_BYTES) if args.address == "local" and os.name == "posix" else None
    try:
        ray.init(address=args.address, namespace="ex4d", log_to_driver=False, include_dashboard=None, **_places(own))
    except (ConnectionError, RuntimeError, ValueError) as error:
        sys.exit(f"The Ray cluster {args.address} cannot be reached: {_short(error)}")
    bridge = Bridge(server, ray, args)
    server.send(Ready(token=connection.token))
    looked = 0.0
    while True:
        message: Any = _next(server)
        if message is None:
            break
        if message is not _NOTHING:
            bridge.obey(message)
        if time.monotonic() - looked >= LOOK_S:
            bridge.look()
            looked = time.monotonic()
    ray.shutdown()
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)
    os._exit(0)


def _places(own: Path | None) -> dict[str, Any]:
    """Where a cluster of this process's own keeps what: its sockets below ``own``, whose path is short enough for them.

    A data folder's seldom is. What does not fit into memory is too much for such a folder, and goes to the data folder.
    """
    if own is None:
        return {}
    # Below a folder of this user's alone: Ray opens the one that it is given to everybody.
    spill = {"type": "filesystem", "params": {"directory_path": tempfile.gettempdir()}}
    return {"_temp_dir": str(own / "r"), "_system_config": {"object_spilling_config": json.dumps(spill)}}


_NOTHING = msgspec.UNSET


def _next(server: BridgeThread) -> Any:
    try:
        return server.jobs.get(timeout=LOOK_S)
    except queue.Empty:
        return _NOTHING


if __name__ == "__main__":
    main()
