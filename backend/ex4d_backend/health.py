"""How a server does: what its operator and its metrics page are told."""

from ex4d_backend.pool import Pool
from ex4d_backend.scheduler import JobScheduler
from ex4d_backend.server_process import resident_bytes
from ex4d_backend.storage_room import StorageRoom
from ex4d_protocol.messages import Health


def health_of(scheduler: JobScheduler, pool: Pool, room: StorageRoom, *, clients: int, uptime_s: float) -> Health:
    """The parts' numbers at this moment; ``clients`` is how many are connected."""
    queued, running = scheduler.counts
    return Health(
        uptime_s=uptime_s,
        queued=queued,
        running=running,
        clients=clients,
        blob_bytes=room.blob_bytes,
        result_bytes=scheduler.store.result_bytes(),
        disk_free_bytes=room.disk_free_bytes,
        memory_bytes=resident_bytes(),
        draining=scheduler.draining,
        devices=tuple(worker.spec() for worker in pool.workers),
    )
