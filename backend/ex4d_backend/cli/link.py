"""What the backend's commands share: where the backend is, who we are, and errors as sentences with an exit code."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import platformdirs

from ex4d import __version__
from ex4d.cli.options import panel
from ex4d_backend.keys import read_operator_secret
from ex4d_backend.settings import load_settings, split_address
from ex4d_ground.addresses import DEFAULT_ADDRESS
from ex4d_ground.errors import Cancelled, Ex4dError, InputError, SettingError
from ex4d_ground.files import atomic_path
from ex4d_protocol.client import Client
from ex4d_protocol.client_keys import read_client_keys
from ex4d_protocol.errors import ConnectionFailed, JobCancelled, JobFailed, ProtocolError

_option = panel(None)


@dataclass(frozen=True)
class Connection:
    """Where the backend is, and who we are."""

    backend: Annotated[
        str, _option("--backend", "The backend's address, as it prints it when it starts.", envvar="EX4D_BACKEND")
    ] = DEFAULT_ADDRESS
    keys: Annotated[
        Path | None,
        _option("--keys", "Keys of an encrypted backend: the output of 'ex4d keys new'.", envvar="EX4D_KEYS"),
    ] = None
    client_id: Annotated[
        str | None,
        _option(
            "--client_id",
            "Whose jobs. Default: this user's own id, kept in the user's data folder.",
            envvar="EX4D_CLIENT_ID",
        ),
    ] = None

    def operator_secret(self) -> str:
        """What a client shows to see everyone's jobs, "" if it sees its own."""
        return ""


@dataclass(frozen=True)
class OperatorConnection(Connection):
    """A connection that may ask for everyone's jobs."""

    everyone: Annotated[
        bool, _option("--all", "Every client's jobs: for the user who runs the backend, on its machine.")
    ] = False
    data_dir: Annotated[
        Path | None, _option("--data-dir", "The backend's data folder, for --all. Default: the usual one.")
    ] = None

    def operator_secret(self) -> str:
        """As the backend keeps it in its data folder. Raises InputError."""
        if not self.everyone:
            return ""
        overrides = {"data_dir": str(self.data_dir) if self.data_dir else None}
        return read_operator_secret(load_settings(None, overrides=overrides).folder)


class BackendError(Ex4dError):
    """The backend cannot be reached or refused what was asked."""


class JobError(Ex4dError):
    """The job failed on the backend."""


def own_client_id(folder: Path | None = None) -> str:
    """The id this user's commands own jobs by; made on first use. Raises OutputError or SettingError."""
    path = (folder or Path(platformdirs.user_data_dir("ex4d"))) / "client_id"
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(uuid.uuid4().hex + "\n", "ascii")
    client_id = path.read_text("ascii", "replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,64}", client_id):
        raise SettingError(f"{path} does not hold a client id; remove the file to have a new one made.")
    return client_id


BUSY_S = 15.0
"""What a backend that is there may take longer to answer, on a busy machine; one that is not there is told of early."""


@contextmanager
def connected(connection: Connection, *, timeout_s: float = 3.0) -> Iterator[Client]:
    """A connected client; leaving the block leaves the backend. Protocol errors inside become Ex4dErrors."""
    operator = connection.operator_secret()
    given: Any = read_client_keys(connection.keys) if connection.keys else {}
    split_address(connection.backend)
    client = Client(
        connection.backend,
        client_name="ex4d command line",
        client_id=connection.client_id or own_client_id(),
        versions={"ex4d": __version__},
        operator=operator,
        **given,
    )
    with translated():
        try:
            client.connect()
            try:
                client.wait_connected(timeout_s)
            except ConnectionFailed:
                if client.state != "connecting":
                    raise
                client.wait_connected(BUSY_S)
            yield client
        finally:
            client.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the protocol's errors into the library's, which the command line knows how to end with."""
    try:
        yield
    except JobFailed as error:
        raise JobError(f"The job failed: {error}", code=error.code, remedy=error.remedy) from None
    except JobCancelled as error:
        raise Cancelled(str(error)) from None
    except ProtocolError as error:
        raise BackendError(str(error), code=error.code, remedy=error.remedy) from None


def bytes_for_people(size: int) -> str:
    """1536 -> "1.5 KiB"."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def check_writable(folder: Path) -> None:
    """Refuse a folder nothing could be written to before anything is sent. Raises InputError."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder with --output_dir.")
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        raise InputError(f"Cannot write below {nearest}; name another folder with --output_dir.")
