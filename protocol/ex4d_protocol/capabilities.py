"""What a server can do: engines, presets, devices, limits. Part of every Welcome."""

from __future__ import annotations

from typing import Literal

from ex4d_protocol.base import MAX_CHUNK_BYTES, Count, Name, Part, Scalar, Tagged, Text


class SettingSpec(Part, frozen=True, kw_only=True):
    """One setting an engine advertises; controls are built from it."""

    name: Name
    kind: Literal["int", "float", "bool", "str", "choice"]
    default: Scalar
    help: Text = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


class EngineSpec(Part, frozen=True, kw_only=True):
    """What an engine is, needs and allows."""

    name: Name
    title: Text
    settings: tuple[SettingSpec, ...] = ()
    licence: Text = ""
    is_preview: bool = False
    available: bool = True
    missing: Text = ""
    """If not available: one sentence with the command that mends it."""


class EstimatorSpec(Part, frozen=True, kw_only=True):
    """New in 1.1. A depth estimator: what its values mean, its licence, and whether it can run."""

    name: Name
    title: Text = ""
    meaning: Literal["metric", "scale-free", "disparity"] = "scale-free"
    """Of its raw values: metres, up to a factor, or inverse up to a factor and offset. The depth sent is always z."""
    licence: Text = ""
    research_only: bool = False
    """The licence of its code or weights forbids commercial production: say so wherever it is offered."""
    gives_intrinsics: bool = False
    """It estimates the lens as well."""
    temporally_steady: bool = False
    settings: tuple[SettingSpec, ...] = ()
    available: bool = True
    missing: Text = ""
    """If not available: one sentence with the command that mends it, to be run on the server's machine."""


class PresetSpec(Part, frozen=True, kw_only=True):
    """A camera move the server can compute."""

    name: Name
    title: Text = ""
    help: Text = ""
    unit: Name = ""
    """Of the amount: "degrees", "share of target distance", "focal factor", ..."""
    amount: float = 0.0
    """Default."""
    minimum: float = 0.0
    maximum: float = 0.0
    easing: Name = ""
    """Default."""
    published: bool = False
    """One of EX-4D's own curves."""


class DeviceSpec(Part, frozen=True, kw_only=True):
    """One compute device and the state of its worker process."""

    name: Name
    kind: Literal["cpu", "cuda"] = "cpu"
    memory_bytes: Count = 0
    """The device's own memory; 0 if unknown."""
    worker: Literal["starting", "idle", "busy", "restarting"] = "starting"


class Limits(Part, frozen=True, kw_only=True):
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


class Capabilities(Tagged, frozen=True, kw_only=True):
    """S>C: inside Welcome, and again whenever it changes (a worker became ready, went away)."""

    engines: tuple[EngineSpec, ...] = ()
    """Empty until the first worker is ready."""
    presets: tuple[PresetSpec, ...] = ()
    devices: tuple[DeviceSpec, ...] = ()
    limits: Limits = Limits()
    licences: dict[str, str] = {}
    """Licence by part in use (rasterizer, depth, engine)."""
    estimators: tuple[EstimatorSpec, ...] = ()
    """New in 1.1. Depth estimators, the default first; empty until the first worker is ready."""
