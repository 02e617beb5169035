"""Fetching weights from the hub: the only place in this project that downloads a model, and only when told to.

A download that is broken off goes on where it stopped. What was fetched is recorded (repository, revision, size and
hash of every file) beside the files, so that ``verify`` needs no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import urlsplit

from ex4d.progress import Watch, check, report
from ex4d.weights.catalogue import Package
from ex4d.weights.download import download, partial_path
from ex4d_ground import stages
from ex4d_ground.errors import Ex4dError, MissingExtraError, OutputError, WeightsError, in_brief
from ex4d_ground.files import atomic_path, output_error
from ex4d_ground.parsing import parse_json
from ex4d_ground.remedies import fetch_weights

RECORD = "ex4d-weights.json"
_MARGIN = 1 << 30  # left free on the disk
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
"""What a part of a file's name in a repository may look like: no path out of the folder, no hidden or odd names."""
_REVISION = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMES_LARGER = 3
"""A repository that says it holds so many times what the catalogue says is not the one that was agreed to."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository."""

    name: str
    size: int  # bytes
    sha256: str = ""
    """Empty for small files, which the hub does not hash so."""


@dataclass(frozen=True)
class Record:
    """What lies in a package's folder, as the hub described it when it was fetched."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The folder's record, or None if it was not filled by :func:`fetch`."""
        try:
            content = parse_json((folder / RECORD).read_text(encoding="utf-8"))
            files = tuple(RemoteFile(f["name"], int(f["size"]), f["sha256"]) for f in content["files"])
            return cls(content["repository"], content["revision"], files)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"{folder / RECORD} cannot be read ({in_brief(error)}); remove it and fetch again."
            ) from error

    def write(self, folder: Path) -> None:
        """Keep it beside the files."""
        with atomic_path(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def fetch(package: Package, root: Path | None = None, *, endpoint: str | None = None, **watch: Unpack[Watch]) -> Path:
    """Bring ``package`` to its folder below ``root`` and return that folder; what is there already stays.

    ``endpoint`` is the hub's address (default: ``$HF_ENDPOINT``, or the public one). Raises OutputError before anything
    is downloaded if the disk is too small, WeightsError if the hub or a file cannot be had, Cancelled.
    """
    folder = package.path(root)
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or None
    asking = f"{stages.ASKING_HUB} {package.name}"
    report(watch.get("on_progress"), asking, 0, 1)
    record = look_up(package, endpoint=endpoint)
    report(watch.get("on_progress"), asking, 1, 1)
    wanted = [file for file in record.files if not _is_whole(folder, file)]
    check_space(package, folder, _bytes_missing(folder, wanted))
    done = total = sum(file.size for file in record.files)
    done -= sum(file.size for file in wanted)
    stage = f"{stages.FETCHING} {package.name}"
    for file in wanted:
        check(watch.get("cancel"))
        before = done

        def at(count: int, before: int = before, file: RemoteFile = file) -> None:
            check(watch.get("cancel"))
            report(
                watch.get("on_progress"),
                stage,
                _megabytes(before + min(count, file.size)),
                _megabytes(total),
                file.name,
            )

        with _hub_errors(record.repository, package.name) as hub:
            address, headers = _address(hub, record, file.name, endpoint)
            try:
                download(address, folder / file.name, size=file.size, sha256=file.sha256, headers=headers, at=at)
            except WeightsError as error:
                raise WeightsError(str(error), remedy=fetch_weights(package.name)) from error
        done += file.size
    report(watch.get("on_progress"), stage, _megabytes(total), _megabytes(total))
    record.write(folder)
    return folder


def look_up(package: Package, *, endpoint: str | None = None) -> Record:
    """What the hub has of ``package``. Raises WeightsError, MissingExtraError."""
    with _hub_errors(package.repository, package.name) as hub:
        repository = hub.HfApi(endpoint=endpoint).model_info(package.repository, files_metadata=True)
        files = tuple(_remote_file(package, s) for s in repository.siblings or () if package.wants(str(s.rfilename)))
    revision = repository.sha or ""
    if not _REVISION.fullmatch(revision):
        raise _lie(package, f"the revision {revision[:80]!r}")
    total = sum(file.size for file in files)
    if total > _TIMES_LARGER * package.gigabytes * 1e9:
        raise _lie(package, f"{total / 1e9:.3g} GB of files, where about {package.gigabytes:g} GB belong")
    if not files:
        raise WeightsError(
            f"The repository {package.repository} has none of the files {', '.join(package.patterns)}; it has changed: "
            "update this program."
        )
    return Record(package.repository, revision, files)


def _remote_file(package: Package, told: Any) -> RemoteFile:
    """A file as the hub describes it. Raises WeightsError for a name, size or hash that cannot be one.

    Where the catalogue knows the file's hash, that decides and not the hub's.
    """
    name, size, hashed = str(told.rfilename), told.size, (told.lfs.sha256 if told.lfs else "") or ""
    if not all(_PART.fullmatch(part) for part in name.split("/")):
        raise _lie(package, f"a file named {name[:80]!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _lie(package, f"a size of {str(size)[:40]!r} for {name}")
    if hashed and not _SHA256.fullmatch(str(hashed)):
        raise _lie(package, f"the SHA-256 {str(hashed)[:80]!r} for {name}")
    return RemoteFile(name, size, package.hashes.get(name, hashed))


def _lie(package: Package, what: str) -> WeightsError:
    return WeightsError(f"The hub states {what} in {package.repository}, which cannot be right; nothing was fetched.")


def check_space(package: Package, folder: Path, needed: int, *, free: int | None = None) -> None:
    """Raise OutputError if ``needed`` bytes do not fit the folder's disk (of which ``free`` bytes are free)."""
    if not needed:
        return
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free if free is None else free
    if needed + _MARGIN > free:
        raise OutputError(
            f"Fetching {package.name} needs {needed / 1e9:.1f} GB and a little to spare; {free / 1e9:.1f} GB are free "
            f"where {folder} lies: free some space, or set EX4D_WEIGHTS to a folder on a larger disk."
        )


def _megabytes(count: int) -> int:
    """Bytes in whole megabytes, rounded up, for progress that people read."""
    return -(-count // 1_000_000)


def _is_whole(folder: Path, file: RemoteFile) -> bool:
    path = folder / file.name
    return path.is_file() and path.stat().st_size == file.size


def _bytes_missing(folder: Path, wanted: list[RemoteFile]) -> int:
    """What is left to download, less the beginnings that an earlier attempt left."""
    parts = (partial_path(folder / file.name) for file in wanted)
    return sum(file.size for file in wanted) - sum(p.stat().st_size for p in parts if p.is_file())


def _address(hub: Any, record: Record, name: str, endpoint: str | None) -> tuple[str, dict[str, str]]:
    """Where a file's bytes are, and the headers to ask with: the login stays with the hub's own host."""
    url = hub.hf_hub_url(record.repository, name, revision=record.revision, endpoint=endpoint)
    location = hub.get_hf_file_metadata(url, endpoint=endpoint).location
    headers = hub.utils.build_hf_headers()
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
    return location, headers


@contextmanager
def _hub_errors(repository: str, name: str) -> Iterator[Any]:
    """The hub's library, with its errors as sentences of ours; ``name`` is the package's."""
    again = fetch_weights(name)
    try:
        import huggingface_hub
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    except ImportError as error:
        raise MissingExtraError("Fetching weights", "wan") from error
    try:
        yield huggingface_hub
    except Ex4dError:
        raise
    except GatedRepoError as error:
        raise WeightsError(
            f"{repository} asks for an agreement first: accept it on its page on the hub and log in with "
            "'hf auth login'.",
            remedy=again,
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"The hub has no repository {repository}, or not for you; check the address.") from error
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise output_error(Path(error.filename), error) from error
        raise WeightsError(_failure(repository, error), remedy=again) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # no answer of a hub
        raise WeightsError(_failure(repository, error), remedy=again) from error
    except Exception as error:
        if not type(error).__module__.startswith(("http", "requests", "huggingface_hub")):  # httpx goes by other names
            raise
        raise WeightsError(_failure(repository, error), remedy=again) from error


def _failure(repository: str, error: Exception) -> str:
    return f"{repository} cannot be fetched ({_one_line(error)})."


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
