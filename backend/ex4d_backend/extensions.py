"""The Blender extension from the backend itself: a folder of its zips as an extension repository over HTTP, opt-in.

Blender reads ``http://ADDRESS/index.json`` (repository format v1, made here from the zips' own manifests) and fetches
zips from beside it. Only this listing and the zips named in it are served, to GET and HEAD, on loopback.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import tomllib
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ex4d import __version__
from ex4d.errors import InputError, OutputError
from ex4d_backend.blobs import digest_of
from ex4d_backend.settings import ExtensionSettings, split_address

log = logging.getLogger("ex4d_backend.extensions")

MANIFEST = "blender_manifest.toml"
MANIFEST_BYTES = 1 << 20
_REQUIRED = (
    "schema_version",
    "id",
    "name",
    "tagline",
    "version",
    "type",
    "maintainer",
    "license",
    "blender_version_min",
)
_OPTIONAL = ("blender_version_max", "website", "copyright", "tags", "platforms", "permissions")
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """One zip and how it is listed."""

    path: Path
    size: int
    entry: dict[str, Any]


class Listing:
    """The packages of a folder, read again when a file of it changed. Used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError if ``folder`` is none or holds no package."""
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, int], Package | None] = {}
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder} to serve the Blender extension from; see [extensions].")
        if not self.packages():
            raise InputError(f"{folder} holds no zip of a Blender extension; put the released zips there.")

    def packages(self) -> dict[str, Package]:
        """Every package by its file's name."""
        with self._lock:
            files = sorted(p for p in self._folder.glob("*.zip") if p.is_file())
            stamps = {(p.name, p.stat().st_size, p.stat().st_mtime_ns): p for p in files}
            self._known = {s: self._known[s] if s in self._known else _read(p) for s, p in stamps.items()}
            return {stamp[0]: package for stamp, package in self._known.items() if package is not None}

    def index(self) -> bytes:
        """``index.json``."""
        data = [package.entry for package in self.packages().values()]
        return json.dumps({"version": "v1", "blocklist": [], "data": data}, indent=1).encode()

    def versions(self) -> set[str]:
        """Of all packages."""
        return {package.entry["version"] for package in self.packages().values()}


def _read(path: Path) -> Package | None:
    """A zip's entry, or None (and a line in the log) if it is no extension."""
    try:
        manifest = _manifest_of(path)
        size, digest = path.stat().st_size, digest_of(path)
    except (OSError, zipfile.BadZipFile, tomllib.TOMLDecodeError, UnicodeDecodeError, InputError) as error:
        log.warning("%s is not listed: %s", path.name, error)
        return None
    entry = {key: manifest[key] for key in (*_REQUIRED, *_OPTIONAL) if key in manifest}
    entry |= {"archive_url": f"./{quote(path.name)}", "archive_size": size, "archive_hash": f"sha256:{digest}"}
    return Package(path, size, entry)


def _manifest_of(path: Path) -> dict[str, Any]:
    """The manifest at the top of a zip, or in its only folder. Raises InputError and what a broken zip raises."""
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n == MANIFEST or (n.endswith("/" + MANIFEST) and n.count("/") == 1)]
        if len(names) != 1:
            raise InputError(f"it has {len(names)} files {MANIFEST} at its top, not one.")
        if archive.getinfo(names[0]).file_size > MANIFEST_BYTES:
            raise InputError(f"its {MANIFEST} is larger than {MANIFEST_BYTES} bytes.")
        manifest = tomllib.loads(archive.read(names[0]).decode("utf-8"))
    missing = [key for key in _REQUIRED if key not in manifest]
    if missing:
        raise InputError(f"its manifest lacks {', '.join(missing)}.")
    return manifest


class _Handler(BaseHTTPRequestHandler):
    listing: Listing
    timeout = 30
    server_version, sys_version = "ex4d-backend", ""

    def do_GET(self) -> None:
        """Send the listing or a zip."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send what GET would, without the content."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # A name is looked up among those listed; no path is ever made from a request.
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        if name in ("", "index.json"):
            index = self.listing.index()
            self._head(200, "application/json", len(index))
            if with_body:
                self.wfile.write(index)
            return
        package = self.listing.packages().get(name)
        if package is None:
            self._head(404, "text/plain", 0)
            return
        with package.path.open("rb") as file:
            self._head(200, "application/zip", package.size)
            if with_body:
                shutil.copyfileobj(file, self.wfile, _COPY_BYTES)

    def _head(self, status: int, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Into the server's log, at the level of details."""
        log.debug("%s " + format, self.client_address[0], *args)


class ExtensionServer:
    """Serves a :class:`Listing` from threads of its own."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        """Raises InputError (folder) or OutputError (port)."""
        listing = Listing(folder)

        handler = type("Handler", (_Handler,), {"listing": listing})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(
                f"Cannot serve the Blender extension on {host}:{port} ({reason}); change address in [extensions]."
            ) from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/index.json"
        self.versions = listing.versions()
        self._thread = threading.Thread(target=self._server.serve_forever, name="extensions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def serve_extensions(settings: ExtensionSettings) -> ExtensionServer | None:
    """Start serving if the settings ask for it. Raises InputError or OutputError."""
    if not settings.folder:
        return None
    host, port = split_address(f"tcp://{settings.address}")
    server = ExtensionServer(Path(settings.folder).expanduser(), host.strip("[]"), port)
    log.info("the Blender extension (%s) is at %s", ", ".join(sorted(server.versions)), server.url)
    if __version__ not in server.versions:
        log.warning("none of the extension's zips is of this backend's version, %s", __version__)
    return server


__all__ = ["ExtensionServer", "Listing", "serve_extensions"]
