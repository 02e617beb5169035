"""Checking weights on disk: sizes and hashes against the record of the download, and that every part can be opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ex4d.progress import Watch, check, report, reported
from ex4d.weights.catalogue import Package
from ex4d.weights.download import sha256_of
from ex4d.weights.fetch import Record, RemoteFile
from ex4d.weights.layout import PARTS, WanWeights
from ex4d_ground.errors import WeightsError
from ex4d_ground.remedies import Remedy, fetch_weights


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, as a sentence, and what mends it."""

    path: Path
    problem: str
    remedy: Remedy | None = None


def verify_files(
    package: Package, root: Path | None = None, *, hashes: bool = True, **watch: Unpack[Watch]
) -> list[Finding]:
    """Compare the package's files with the record of their download; sizes alone without ``hashes``.

    A package without a record (copied by hand) has nothing to be compared with: only :func:`verify_parts` can tell.
    """
    folder = package.path(root)
    if not package.is_there(root):
        return [Finding(folder, f"{folder} lacks {package.name}.", fetch_weights(package.name))]
    record = Record.read(folder)
    files = record.files if record else ()
    total = sum(file.size for file in files)
    findings, done = [], 0
    for file in files:

        def at(count: int, done: int = done) -> None:
            check(watch.get("cancel"))
            report(watch.get("on_progress"), f"checking {package.name}", done + count, total)

        problem = _problem(folder / file.name, file, hashes, at)
        done += file.size
        if problem:
            path = folder / file.name
            findings.append(Finding(path, f"{path} {problem}.", fetch_weights(package.name)))
    return findings


def _problem(path: Path, file: RemoteFile, hashes: bool, at: Callable[[int], None]) -> str:
    """What is wrong with one file, or ""; ``at`` is told how many bytes were looked at."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"has {size} bytes instead of {file.size}"
    if not hashes or not file.sha256:
        at(size)
        return ""
    return "" if sha256_of(path, at).hexdigest() == file.sha256 else "is damaged (its SHA-256 is another one)"


def verify_parts(weights: WanWeights, *, turbo: bool = False, **watch: Unpack[Watch]) -> list[Finding]:
    """Open every part and compare its tensors' names and shapes with the model's; no tensor is read.

    Raises MissingExtraError if the libraries that know the model are not installed.
    """
    from ex4d.weights.adapters import load_ex4d, load_lora
    from ex4d.weights.components import check_part, open_part

    findings: list[Finding] = []
    shapes: dict[str, tuple[int, ...]] = {}
    steps = len(PARTS) + 1 + turbo
    for part in reported(PARTS, "opening parts", steps, **watch):
        try:
            source = open_part(weights, part)
            check_part(source)
            if part == "transformer":
                shapes = source.shapes
            source.files.close()
        except WeightsError as error:
            findings.append(Finding(weights.base, str(error), error.remedy))
    adapters = [(weights.ex4d, "ex4d")] + ([(weights.turbo_lora, "turbo")] if turbo else [])
    for done, (path, name) in enumerate(adapters, start=len(PARTS)):
        check(watch.get("cancel"))
        if path is None:
            continue
        try:
            adapter = load_ex4d(path) if name == "ex4d" else load_lora(path)
            if shapes:
                adapter.check_against(shapes)
        except WeightsError as error:
            findings.append(Finding(path, str(error), error.remedy))
        report(watch.get("on_progress"), "opening parts", done + 1, steps)
    return findings
