"""One large file over HTTP, taken up again where an earlier attempt stopped, and checked before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ex4d_ground.errors import WeightsError
from ex4d_ground.files import output_error

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20
_TRIES = 5  # in a row without a single new byte
_TIMEOUT_S = 20.0


def partial_path(path: Path) -> Path:
    """Where the beginning of ``path`` waits for the rest."""
    return path.with_name(f".{path.name}.partial")


def download(
    address: str,
    path: Path,
    *,
    size: int,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    at: Callable[[int], None] = lambda count: None,
) -> None:
    """Bring ``address`` to ``path``: ``size`` bytes, whose hash is compared if ``sha256`` is given.

    ``at`` is told how many bytes are there, at least once a megabyte; what it raises stops the download, which leaves
    its beginning for the next call. A connection that breaks is taken up again. Raises WeightsError, OutputError.
    """
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = partial.stat().st_size if partial.is_file() else 0
        have = have if have <= size else 0
        digest = sha256_of(partial, at) if have else hashlib.sha256()
        with partial.open("r+b" if have else "wb") as file:
            file.seek(have)
            tries = 0
            while have < size:
                before = have
                try:
                    for piece in _pieces(address, have, headers or {}):
                        if have + len(piece) > size:
                            raise _TooLong
                        file.write(piece)
                        digest.update(piece)
                        have += len(piece)
                        at(have)
                except _TooLong:
                    file.close()
                    partial.unlink()
                    raise WeightsError(
                        f"{path.name} is longer than the {size} bytes stated; it was thrown away."
                    ) from None
                except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                    tries = 0 if have > before else tries + 1
                    _give_up(error, tries, path)
                else:
                    if have == before:
                        break
        _accept(partial, path, have, size, sha256, digest)
    except OSError as error:
        if isinstance(error, WeightsError):
            raise
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):
            if partial.stat().st_size == 0:  # nothing to go on from
                partial.unlink()


def _pieces(address: str, start: int, headers: Mapping[str, str]):
    """The file's bytes from ``start`` on. Raises urllib's errors, and HTTPException if the end is missing."""
    asked = {**headers, **({"Range": f"bytes={start}-"} if start else {})}
    with _opener.open(urllib.request.Request(_web(address), headers=asked), timeout=_TIMEOUT_S) as answer:
        if start and answer.status != 206:
            raise http.client.HTTPException("the server does not continue a download")
        while piece := answer.read1(_CHUNK):  # what is there: a slow line must not hold up a cancel
            yield piece
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)


def _web(address: str, secure: bool = False) -> str:
    """``address`` if it is one of the web. Raises WeightsError for another, such as a file of this machine."""
    scheme = urlsplit(address).scheme.lower()
    if scheme != "https" and (secure or scheme != "http"):
        raise WeightsError(
            f"The hub sends to {address[:120]!r}, which is no safe address; nothing was fetched from it."
        )
    return address


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to addresses of the web only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        try:
            _web(newurl, secure=req.full_url.lower().startswith("https:"))
        except WeightsError:
            if fp is not None:
                fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    _Redirects,
    urllib.request.HTTPErrorProcessor,
):
    _opener.add_handler(_handler())


class _TooLong(Exception):
    """More came than was stated."""


def sha256_of(path: Path, at: Callable[[int], None]) -> _Hash:
    """The hash of a file; ``at`` is told how many bytes were read, and may raise to stop."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            done += len(piece)
            at(done)
    return digest


def _give_up(error: Exception, tries: int, path: Path) -> None:
    """Wait a little before the next attempt, or raise if there were enough, or if another would change nothing."""
    final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    if final or tries >= _TRIES:
        raise WeightsError(f"{path.name} cannot be downloaded ({error}); what has arrived is kept.") from error
    time.sleep(0.2 * 2**tries if tries else 0)


def _accept(partial: Path, path: Path, have: int, size: int, sha256: str, digest: _Hash) -> None:
    if have == size and (not sha256 or digest.hexdigest() == sha256):
        partial.replace(path)
        return
    partial.unlink()
    what = f"{have} bytes instead of {size}" if have != size else "another SHA-256 than the hub states"
    raise WeightsError(f"{path.name} arrived with {what} and was thrown away; fetch it again.")
