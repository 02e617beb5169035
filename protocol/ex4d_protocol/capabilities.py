"""What a server can do: engines, presets, devices, limits. Part of every Welcome."""

from typing import Literal

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PackageInfo, PresetInfo, RasterizerInfo
from ex4d_ground.records import Count, Name, Record
from ex4d_protocol.base import MAX_CHUNK_BYTES, Tagged


class DeviceSpec(Record, frozen=True, kw_only=True):
    """One compute device and the state of its worker process."""

    name: Name
    kind: Literal["cpu", "cuda"] = "cpu"
    memory_bytes: Count = 0
    """The device's own memory; 0 if unknown."""
    gpus: Count = 1
    """So many devices of this name and memory make one shot together."""
    worker: Literal["starting", "idle", "busy", "restarting"] = "starting"


class Limits(Record, frozen=True, kw_only=True):
    """What the server accepts."""

    chunk_bytes: Count = MAX_CHUNK_BYTES
    upload_window: Count = 8
    """Unacknowledged PutChunk messages a client may have under way."""
    blob_bytes: Count = 64 << 30
    queued_jobs: Count = 1000
    storage_bytes: Count = 0
    """Disk quota of blobs and results together; 0 means the disk itself."""
    live_pixels: Count = 0
    """New in 1.1. Largest picture of a live view, width x height; 0: this server has no live views."""
    weights_downloads: bool = False
    """New in 1.1. Whether FetchWeights is accepted from this client."""


class Capabilities(Tagged, frozen=True, kw_only=True):
    """S>C: inside Welcome, and again whenever it changes (a worker became ready, went away)."""

    engines: tuple[EngineInfo, ...] = ()
    """Empty until the first worker is ready."""
    presets: tuple[PresetInfo, ...] = ()
    devices: tuple[DeviceSpec, ...] = ()
    limits: Limits = Limits()
    licences: dict[str, str] = {}
    """Licence by part in use (rasterizer, depth, engine)."""
    estimators: tuple[EstimatorInfo, ...] = ()
    """New in 1.1. Depth estimators, the default first; empty until the first worker is ready."""
    rasterizers: tuple[RasterizerInfo, ...] = ()
    """New in 1.1. What draws guides here; empty until the first worker is ready."""
    packages: tuple[PackageInfo, ...] = ()
    """New in 1.1. Model weights that this server knows; empty until the first worker is ready."""
