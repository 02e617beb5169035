"""The server's settings: defaults, then a TOML file, then environment variables, then the command line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import platformdirs

from ex4d_ground.addresses import DEFAULT_ADDRESS, DEFAULT_PORT
from ex4d_ground.errors import SettingError
from ex4d_ground.files import from_home, read_text
from ex4d_ground.parsing import parse_toml
from ex4d_ground.values import Hours, Seconds, misfits

ENVIRONMENT_PREFIX = "EX4D_BACKEND_"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})

Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
SomeBytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 60)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Some = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class ExtensionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [extensions]: the Blender extension, served by this backend."""

    folder: str = ""
    """Folder of the extension's zips; empty serves none."""
    address: str = "127.0.0.1:7766"
    """HOST:PORT of http://HOST:PORT/index.json, on loopback; port "auto" takes a free one."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator can set. Sizes in bytes, times in seconds unless the name says otherwise.

    None is 0 or endless: seconds go up to 366 days, hours to 100 years.
    """

    address: str = DEFAULT_ADDRESS
    """tcp://HOST:PORT of the control socket; port "auto" takes a free one."""
    data_address: str = ""
    """tcp://HOST:PORT of the data socket; empty means the same host and a free port."""
    data_dir: str = ""
    """Jobs, results and blobs; empty means the user's data folder."""
    devices: tuple[str, ...] = ("auto",)
    """One worker each: "cpu", "cuda:0", ...; "auto" takes every NVIDIA GPU, or the CPU if there is none. GPUs that are
    to make each shot together are one: "cuda:0+1"."""
    ray: str = ""
    """Workers on the machines of a Ray cluster instead of this one: its address, "auto" for the cluster that this
    machine is part of, or "local" for one of its own. Empty: worker processes here."""
    ray_gpus: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] = -1
    """GPUs of one worker there, which make each shot together; -1 is one where the cluster has any, 0 none."""
    ray_workers_min: Number = 1
    """Workers that are kept warm though nothing waits."""
    ray_workers_max: Number = 0
    """Workers at most. 0: as many as the cluster has room for now, one a machine where it has no GPUs; a larger number
    has a cluster that scales itself start machines for waiting jobs."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "text"
    """text, or json: one JSON object per line."""
    curve: bool = False
    """Encrypt and admit only allowed client keys; needed for any address that is not loopback."""
    threads: Number = 0
    """CPU threads of a worker; 0 means all cores."""
    queued_jobs: Some = 1000
    """Jobs that may wait, of all clients together."""
    clients: Some = 256
    """Connections at a time."""
    requests_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e12)] = 500.0
    """Requests one connection may make in the long run; four times as many at once. Cancels are never held back."""
    clip_pixels: Annotated[int, msgspec.Meta(ge=4, le=1 << 60)] = 2048 * 2048 * 1000
    """Largest clip, width x height x frames: long ones lie on a scratch disk, with about 7 bytes each."""
    rasterizer: str = "auto"
    """What draws guides and live views where the client does not choose: "auto" (a CUDA device with Triton, else the
    CPU), "cpu", "triton" or "nvdiffrast"."""
    weights_downloads: bool = False
    """Whether clients may have model weights downloaded to this machine (after a person agreed). A backend that the
    add-on starts for itself may."""
    live: bool = True
    """Whether clients may ask for live views, drawn by a process of their own beside the first device's worker."""
    live_bytes: Annotated[int, msgspec.Meta(ge=1 << 20, le=1 << 60)] = 8 << 30
    """Memory that process may use: for reading one clip (20 bytes a pixel) or keeping several (7 bytes a pixel)."""
    live_idle_s: Seconds = 600.0
    """It ends when nobody has asked for so long."""
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Prometheus metrics at http://127.0.0.1:PORT/metrics; 0 turns them off."""
    blob_bytes: SomeBytes = 16 << 30
    """Largest single upload."""
    storage_bytes: Bytes = 0
    """Disk quota of uploads and results together; 0 means none."""
    keep_free_bytes: Bytes = 1 << 30
    """Uploads and jobs are refused when the disk has less than this left, and decoded clips leave so much free."""
    results_ttl_hours: Hours = 72.0
    """Finished results nobody has acknowledged are deleted after this; only time in which the server runs counts."""
    blobs_ttl_hours: Hours = 168.0
    """Uploads that no job has used for so long are deleted; counted in the same way. So is what was found of the place
    that a clip shows, counted by the machine's clock."""
    extensions: ExtensionSettings = ExtensionSettings()
    """A repository of the Blender extension over HTTP. In a configuration file only."""
    ping_interval_s: Seconds = 2.0
    session_timeout_s: Seconds = 120.0
    worker_ready_s: Seconds = 180.0
    worker_silent_s: Seconds = 30.0
    """A worker that sends no heartbeat for so long is killed."""
    job_stall_s: Seconds = 1800.0
    """A running job that makes no progress for so long fails, and its worker is replaced. Loading a model from a slow
    disk, or one step of one on a slow device, must fit into it."""
    cancel_grace_s: Seconds = 5.0
    """A cancelled job that has not stopped by then is stopped by killing its worker."""
    drain_s: Seconds = 30.0
    """After SIGTERM, how long running jobs may take to end; then they start over at the next start."""
    max_attempts: Some = 3
    """Starts of one job over server restarts before it is given up. Those after a crash of the server's own do not
    count: jobs run in other processes."""
    guardian: Literal["auto", "on", "off"] = "auto"
    """Whether the process that is started is a small one that starts the server, and again on the same port when a
    fault has ended it. "auto": where a person starts it in a terminal, or a program that it ends with (as the add-on
    does); whatever else starts services starts them again itself."""

    @property
    def loopback_only(self) -> bool:
        """Whether only programs of this machine can connect."""
        addresses = filter(None, (self.address, self.data_address))
        return all(split_address(address)[0] in LOOPBACK_HOSTS for address in addresses)

    @property
    def folder(self) -> Path:
        """The data folder. Raises SettingError where it is to be in nobody's home."""
        own = self.data_dir or platformdirs.user_data_dir("ex4d-backend")
        return from_home(own).absolute()  # its processes, and Ray's on this machine, may work elsewhere

    @property
    def places(self) -> Path:
        """The folder of what was found of the places that clips show, for other moves of these clips."""
        return self.folder / "places"


def load_settings(
    config: Path | None = None, *, environment: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] = {}
) -> ServerSettings:
    """Settings from all sources, later ones winning. Raises SettingError, which names the source and the setting."""
    values: dict[str, Any] = {}
    if config is not None:
        values.update(_read_toml(config))
        _require_fitting(values, f"The configuration {config} sets ")
        _convert(values, f"The configuration {config}")
    hints = get_type_hints(ServerSettings)
    for name in hints:
        variable = ENVIRONMENT_PREFIX + name.upper()
        text = environment.get(variable)
        if text is not None and name != "extensions":
            values[name] = tuple(part.strip() for part in text.split(",")) if name == "devices" else text
            _require_fitting({name: values[name]}, "The environment sets ", shown=variable, strict=False)
    given = {k: v for k, v in overrides.items() if v is not None}
    _require_fitting(given, "The command line sets ", strict=False)
    settings = _convert(values | given, "The settings (command line, environment)", strict=False)
    check_settings(settings)
    return settings


def _require_fitting(values: Mapping[str, Any], source: str, *, shown: str = "", strict: bool = True) -> None:
    """Raise SettingError for the first value that its setting cannot take, named ``shown`` or as the setting is."""
    for misfit in misfits(values, ServerSettings, strict=strict):
        raise SettingError(f"{source}{misfit._replace(name=shown or misfit.name).words}.")


def check_settings(settings: ServerSettings) -> None:
    """Raise SettingError for what cannot be used, such as an address that would be open to the network."""
    from_home(settings.data_dir)
    for address in filter(None, (settings.address, settings.data_address)):
        host, _ = split_address(address)
        if host not in LOOPBACK_HOSTS and not settings.curve:
            raise SettingError(
                f"{address} can be reached from other machines, which is refused without encryption: "
                "use tcp://127.0.0.1:PORT, or set curve = true and allow each client's key (ex4d keys new)."
            )
    if settings.extensions.folder:
        host, _ = split_address(f"tcp://{settings.extensions.address}")
        if host not in LOOPBACK_HOSTS:
            raise SettingError(
                f"The extension would be served to other machines on {settings.extensions.address} without encryption, "
                "and whoever can change it on the way runs code there: use 127.0.0.1:PORT and put a web server with "
                "TLS in front of it, or copy the folder to one."
            )
    if 0 < settings.ray_workers_max < settings.ray_workers_min:
        raise SettingError(
            f"ray_workers_min is {settings.ray_workers_min}, above ray_workers_max, {settings.ray_workers_max}: "
            "raise ray_workers_max, or set it to 0 for as many as the cluster has room for."
        )
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingError(f"log_level must be debug, info, warning or error, got {settings.log_level!r}.")
    if settings.log_format not in ("text", "json"):
        raise SettingError(f"log_format must be text or json, got {settings.log_format!r}.")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of tcp://HOST:PORT; port "auto" or "*" is 0, IPv6 stands in brackets. Raises SettingError."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if port in ("auto", "*"):
        port = "0"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    if scheme != "tcp" or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"An address looks like tcp://127.0.0.1:{DEFAULT_PORT} (or :auto), got {address!r}.")
    return host, int(port)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        raise SettingError(f"Cannot read the configuration {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise SettingError(f"The configuration {path} is not valid TOML: {error}.") from None


def _convert(values: Mapping[str, Any], source: str, *, strict: bool = True) -> ServerSettings:
    try:
        return msgspec.convert(dict(values), ServerSettings, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingError(f"{source} cannot be used: {error}.") from None
