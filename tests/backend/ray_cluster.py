"""A Ray cluster of several nodes on this machine, with nodes that can be killed as a machine loses its power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_BACKEND_LOG_LEVEL": "error",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


class Machines:
    """A head that runs no jobs, and nodes of one core each."""

    def __init__(self, folder: Path, nodes: int):
        os.environ.update(QUIET)
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
        # Ray notes the address there, and makes the folder itself only where no other one is given.
        Path(get_default_ray_temp_dir()).mkdir(exist_ok=True)
        self._cluster = Cluster(initialize_head=True, head_node_args={**head, "temp_dir": str(folder)})
        self.address: str = self._cluster.address
        self.nodes: list[Any] = [self.add() for _ in range(nodes)]

    def add(self) -> Any:
        """One more node."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    @contextmanager
    def held(self, node: Any) -> Iterator[None]:
        """The actors of a node stand still in the block: what they run cannot end meanwhile."""
        actors = [p for p in self._processes(node) if "ShotActor" in " ".join(p.cmdline())]
        assert actors, "there is no actor to hold"
        for process in actors:
            process.suspend()
        try:
            yield
        finally:
            for process in actors:
                with suppress(psutil.NoSuchProcess):  # it was killed meanwhile
                    process.resume()

    def kill(self, node: Any) -> None:
        """End every process of a node at once: nobody there says goodbye."""
        for process in self._processes(node):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def _processes(self, node: Any) -> list[psutil.Process]:
        found = []
        for info in (info for infos in node.all_processes.values() for info in infos):
            with suppress(psutil.NoSuchProcess):
                top = psutil.Process(info.process.pid)
                found += [top, *top.children(recursive=True)]
        return found

    def close(self) -> None:
        self._cluster.shutdown()
