"""CURVE keys: the server's own pair, and the clients' that are allowed in. One small private file each."""

import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

import zmq
import zmq.utils.z85

from ex4d_backend.data_folder import file_at
from ex4d_ground.errors import InputError, SettingError
from ex4d_ground.files import atomic_path, output_error, require_regular
from ex4d_protocol.client_keys import client_keys_text

log = logging.getLogger("ex4d_backend.keys")

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ZAP_DOMAIN = b"ex4d"
OPERATOR_FILE = "operator.secret"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_UNREADABLE = -2
_LARGEST_KEY_FILE = 4096  # bytes
_CLOCK_STEP_NS = 100_000_000
"""File times may be this coarse: a folder changed more recently can change again without its time moving."""


def new_operator_secret(data_folder: Path) -> str:
    """Write a new secret into the data folder, for this user's eyes: who can read it is the server's operator."""
    secret = secrets.token_urlsafe(32)
    write_private(file_at(data_folder / OPERATOR_FILE), secret + "\n")
    return secret


def read_operator_secret(data_folder: Path) -> str:
    """The secret of the server that runs on ``data_folder``. Raises InputError."""
    path = data_folder / OPERATOR_FILE
    try:
        require_regular(path, _LARGEST_KEY_FILE, InputError)
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InputError(
            f"Cannot read {path} ({reason}): all jobs are shown to the user who runs the backend, on its machine; "
            "name its data folder with --data-dir."
        ) from None


class KeyRing:
    """The keys below a data folder. The allow-list is read again when its folder changes, also while serving."""

    def __init__(self, data_folder: Path) -> None:
        """Raises OutputError if the folder cannot be written."""
        self._folder = data_folder / "keys"
        self._allowed_folder = self._folder / "allowed"
        self._stamp = -1
        self._allowed: dict[str, str] = {}
        try:
            self._allowed_folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        except OSError as error:
            raise output_error(self._folder, error) from None

    def server_pair(self) -> tuple[bytes, bytes]:
        """The server's (public, secret) Z85 keys, made on first use."""
        path = self._folder / "server.key"
        if not path.exists():
            public, secret = zmq.curve_keypair()
            write_private(path, f"{public.decode()}\n{secret.decode()}\n")
        require_regular(path, _LARGEST_KEY_FILE, SettingError)
        lines = path.read_text("ascii").split()
        if len(lines) != 2 or any(len(line) != 40 for line in lines):
            raise SettingError(f"{path} does not hold the server's two keys; restore it, or remove it for new ones.")
        return lines[0].encode(), lines[1].encode()

    def new(self, name: str) -> str:
        """Allow a new client; returns what the client needs, as TOML. The secret is not kept here."""
        if not _NAME.fullmatch(name):
            raise InputError(f"A key's name has letters, digits, - and _ (64 at most), got {name!r}.")
        path = self._allowed_folder / name
        if path.exists():
            raise InputError(f"There is a key {name!r} already; revoke it first, or choose another name.")
        public, secret = zmq.curve_keypair()
        server_public, _ = self.server_pair()
        write_private(path, public.decode() + "\n")
        return client_keys_text(server_public, public, secret)

    def revoke(self, name: str) -> None:
        """Shut a client out, also one that is connected now. Raises InputError for an unknown name."""
        path = self._allowed_folder / name
        if not _NAME.fullmatch(name) or not path.exists():
            raise InputError(f"There is no key {name!r}; allowed are: {', '.join(self.names()) or 'none'}.")
        path.unlink()

    def names(self) -> list[str]:
        """Names of all allowed clients."""
        return sorted(self._read().values())

    def owner(self, public: str) -> str | None:
        """The name of an allowed client's key, or None. Sees every change made before the call."""
        try:
            stamp = self._allowed_folder.stat().st_mtime_ns
            if stamp != self._stamp:
                self._allowed = self._read()
                settled = time.time_ns() - stamp > _CLOCK_STEP_NS
                self._stamp = stamp if settled else -1
        except OSError as error:  # the folder is gone or not to be read: nobody is allowed, and the server goes on
            if self._allowed or self._stamp != _UNREADABLE:
                log.error("%s cannot be read (%s); no client is let in", self._allowed_folder, error.strerror or error)
            self._allowed, self._stamp = {}, _UNREADABLE
        return self._allowed.get(public)

    @property
    def why_not(self) -> str:
        """Why :meth:`owner` last knew no owner, as a sentence for the client."""
        if self._stamp == _UNREADABLE:
            return "The backend cannot read which keys it allows, and lets nobody in until it can."
        return "This client's key was revoked; ask for a new one."

    def _read(self) -> dict[str, str]:
        """The allowed keys and their names; what is no key's file counts for nothing. Raises OSError for the folder."""
        found: dict[str, str] = {}
        for path in self._allowed_folder.iterdir():
            if not _NAME.fullmatch(path.name):
                continue
            try:
                if path.is_file() and path.stat().st_size <= _LARGEST_KEY_FILE:
                    key = path.read_text("ascii").strip()
                    if len(key) == 40:
                        found[key] = path.name
            except (OSError, ValueError):  # gone meanwhile, another user's, or no text
                continue
        return found


class Gatekeeper:
    """Answers ZeroMQ's authentication requests (ZAP, RFC 27) on the server's own loop."""

    def __init__(self, context: zmq.Context[Any], keys: KeyRing) -> None:
        self._keys = keys
        self._public, self._secret = keys.server_pair()
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ZAP_ADDRESS)

    def guard(self, socket: zmq.Socket[Any]) -> None:
        """Make a server socket accept allowed keys only; call before binding it."""
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        socket.zap_domain = ZAP_DOMAIN

    def handle(self) -> None:
        """Answer one request."""
        frames = self.socket.recv_multipart()
        request_id = frames[1] if len(frames) > 1 else b""
        key = ""
        if len(frames) == 7 and frames[5] == b"CURVE" and len(frames[6]) == 32:
            key = zmq.utils.z85.encode(frames[6]).decode("ascii")
        allowed = bool(key) and self._keys.owner(key) is not None
        verdict = (b"200", b"OK", key.encode()) if allowed else (b"400", b"this key is not allowed", b"")
        self.socket.send_multipart([b"1.0", request_id, *verdict, b""])


def key_of(frame: zmq.Frame) -> str:
    """The public key (Z85) of the client a frame came from; "" on a plain connection."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read. Raises OutputError."""
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
