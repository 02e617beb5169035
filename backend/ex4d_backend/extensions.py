"""The Blender extension from the backend itself: a folder of its zips as an extension repository over HTTP, opt-in.

The folder is one that Blender's own tool has indexed (``blender_ext.py server-generate``, as ``make addon`` does): its
``index.json`` and the zips named in it are served, to GET and HEAD, on loopback, and nothing else.
"""

import logging
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ex4d import __version__
from ex4d_backend.http_thread import HttpThread, PageHandler
from ex4d_backend.settings import ExtensionSettings, split_address
from ex4d_ground.errors import InputError
from ex4d_ground.files import from_home
from ex4d_ground.parsing import parse_json

log = logging.getLogger("ex4d_backend.extensions")

INDEX = "index.json"


def listed_packages(folder: Path) -> dict[str, str]:
    """File name and version of every zip in a repository's index. Raises InputError."""
    try:
        entries = parse_json((folder / INDEX).read_text("utf-8"))["data"]
        packages = {unquote(e["archive_url"]).removeprefix("./"): str(e["version"]) for e in entries}
        packages = {name: version for name, version in packages.items() if Path(name).name == name}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        packages = {}
    if not packages:
        raise InputError(
            f"{folder} holds no {INDEX} of a Blender extension; put the released zips and their {INDEX} there, or make "
            "it with Blender: blender --command extension server-generate --repo-dir FOLDER"
        )
    return packages


class _Handler(PageHandler, SimpleHTTPRequestHandler):
    hosts = None  # a web server with TLS may stand before it; what is served is no secret

    def send_head(self) -> Any:
        """Begin the answer to GET or HEAD; the file, if there is one to send."""
        # A name is looked up among those listed; no path is ever made from a request.
        name = unquote(urlsplit(self.path).path).removeprefix("/") or INDEX
        try:
            listed = name == INDEX or name in listed_packages(Path(self.directory))
        except InputError:
            listed = False
        if not listed or not (Path(self.directory) / name).is_file():
            return self.answer(404)
        self.path = "/" + quote(name)
        return super().send_head()

    def end_headers(self) -> None:
        """Browsers must not guess."""
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()


class ExtensionServer(HttpThread):
    """Serves the repository in ``folder``, as its index is at the moment of a request."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        """Raises InputError (folder) or OutputError (port)."""
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder} to serve the Blender extension from; see [extensions].")
        self.versions = set(listed_packages(folder).values())
        handler: Any = partial(_Handler, directory=str(folder))
        super().__init__("the Blender extension", host, port, handler, "change address in [extensions]")
        self.url = f"http://{host}:{self.port}/{INDEX}"


def serve_extensions(settings: ExtensionSettings) -> ExtensionServer | None:
    """Start serving if the settings ask for it. Raises InputError or OutputError."""
    if not settings.folder:
        return None
    host, port = split_address(f"tcp://{settings.address}")
    server = ExtensionServer(from_home(settings.folder), host.strip("[]"), port)
    log.info("the Blender extension (%s) is at %s", ", ".join(sorted(server.versions)), server.url)
    if __version__ not in server.versions:
        log.warning("none of the extension's zips is of this backend's version, %s", __version__)
    return server
