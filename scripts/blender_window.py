"""A Blender with a real window, from Debian's archive, in a folder of its own: nothing of the system is touched.

    python scripts/blender_window.py fetch 5.2          unpack it once, below ~/.cache/ex4d/blender-window
    python scripts/blender_window.py run 5.2 -- ARGS    start it with ARGS on the display that DISPLAY names
    python scripts/blender_window.py pin 5.2            write its lists of packages anew, from what there is today

Needs apt-get, dpkg-deb, unshare, chroot and Debian's archive keyring (``scripts/system_packages.sh ui``). Which
packages make up a Blender stands with their hashes in ``scripts/blender_window/*.txt``. A package that the archive
holds in another version than the list is taken under Debian's signature, and named; the same version with another
content is refused. EX4D_DEBIAN_ARCHIVE names another archive of Debian's, such as a snapshot.

Blender runs in a mount namespace whose root is that folder. Every folder of this machine that is no part of a system
(/home, /tmp, ...) is seen in it under its own path, and the machine itself at ``/host``, so that ``onhost PROGRAM`` in
there starts a program of this machine: the backend with its Python, or xdotool.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = Path(__file__).with_suffix("")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
WHEELS = ("pyzmq", "msgspec", "cattrs", "attrs", "typing_extensions")
"""What the add-on and Blender itself need and Debian does not bring for its Python."""
OF_SYSTEM = {
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "lost+found", "proc", "sbin", "sys", "usr", "var",
}  # fmt: skip
"""Top-level folders that a Blender has of its own; others are this machine's."""
FROM_MACHINE = ("/proc", "/sys", "/dev", "/var/tmp", "/etc/hosts", "/etc/passwd", "/etc/group", "/etc/resolv.conf")
ALSO = ("bash", "coreutils", "libc-bin", "libgl1", "libegl1", "libgl1-mesa-dri", "python3-numpy", "python3-requests")
"""What a shell in there, drawing in software, and Blender's own Python need beside Blender itself."""
ONHOST = '#!/bin/bash\nexec chroot /host /usr/bin/env -u LD_LIBRARY_PATH -C "$PWD" "$@"\n'


class WindowFailed(Exception):
    """One sentence about what went wrong and what helps."""


@dataclass(frozen=True)
class Blender:
    """A Blender that Debian has: its version, the suite, and the Python it runs."""

    version: str
    suite: str
    python: str

    @property
    def folder(self) -> Path:
        """Where it is unpacked."""
        return cache() / f"{self.suite}-{self.version}"

    @property
    def root(self) -> Path:
        """Its own file system."""
        return self.folder / "root"

    @property
    def list(self) -> Path:
        """The pinned packages."""
        return LISTS / f"{self.suite}.txt"


BLENDERS = {each.version: each for each in (Blender("4.3", "trixie", "3.13"), Blender("5.2", "sid", "3.14"))}


def cache() -> Path:
    """Where unpacked Blenders are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ex4d" / "blender-window"


# -- fetching --------------------------------------------------------------------------------------------------


def fetch(blender: Blender, *, pin: bool = False) -> Path:
    """Download, check and unpack ``blender`` unless it is there; returns its folder. Raises WindowFailed."""
    _require("apt-get", "dpkg-deb", "tar", "unshare", "chroot")
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(cache() / f"{blender.suite}.lock"):
        if not pin and (blender.folder / "packages.txt").exists():
            return blender.folder
        with tempfile.TemporaryDirectory(dir=cache(), prefix=f".{blender.suite}-") as made:
            new = Path(made) / "new"
            debs = _download(blender, Path(made) / "apt")
            lines = _checked(blender, debs, pin=pin)
            _unpack(blender, debs, new / "root")
            _wheels(blender, Path(made) / "wheels", new / "root", pin=pin)
            (new / "packages.txt").write_text("\n".join(lines) + "\n")  # last: it says that all is there
            shutil.rmtree(blender.folder, ignore_errors=True)
            new.rename(blender.folder)
    return blender.folder


def _download(blender: Blender, folder: Path) -> list[Path]:
    """The packages of Blender and of all that it needs, as files."""
    if not KEYRING.exists():
        raise WindowFailed(f"{KEYRING} is not there; install the package debian-archive-keyring.")
    for name in ("state/lists/partial", "cache/archives/partial", "etc/parts"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    archive = os.environ.get("EX4D_DEBIAN_ARCHIVE", "http://deb.debian.org/debian")
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {archive} {blender.suite} main\n")
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "etc" / "parts",
        "Dir::Etc::preferencesparts": folder / "etc" / "parts",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Check-Valid-Until": "false" if "EX4D_DEBIAN_ARCHIVE" in os.environ else "true",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-q", *(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))]
    print(f"Fetching Blender {blender.version} of Debian {blender.suite}, about 300 MB, once ...", flush=True)
    _run([*apt, "update"])
    _run([*apt, "--download-only", "--yes", "install", "blender", *ALSO])
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _checked(blender: Blender, debs: Sequence[Path], *, pin: bool) -> list[str]:
    """The packages as lines of a list, held against the pinned one."""
    found = dict(map(_identity, debs))
    version = next(name.split("_")[1] for name in found if name.startswith("blender_"))
    if not version.split(":")[-1].startswith(blender.version + "."):
        raise WindowFailed(
            f"Debian {blender.suite} now has Blender {version}, not {blender.version}; name a snapshot of the archive "
            "in EX4D_DEBIAN_ARCHIVE, or add that version."
        )
    lines = [f"{name} {digest}" for name, digest in sorted(found.items())]
    if pin:
        heading = (
            f"# Blender {version} and what it needs, from Debian {blender.suite}: name_version_architecture, SHA-256"
        )
        blender.list.write_text("\n".join([heading, *lines]) + "\n")
        return lines
    pinned = dict(line.split() for line in blender.list.read_text().splitlines() if not line.startswith("#"))
    wrong = [name for name, digest in found.items() if pinned.get(name, digest) != digest]
    if wrong:
        raise WindowFailed(f"{wrong[0]} is not what {blender.list.name} says, by its SHA-256; nothing was unpacked.")
    moved = sorted(name for name in found if name not in pinned)
    if moved:
        print(f"{len(moved)} of {len(found)} packages are not the listed ones: {', '.join(moved)}")
    return lines


def _identity(deb: Path) -> tuple[str, str]:
    name = deb.name.removesuffix(".deb").replace("%3a", ":")
    return name, _sha256(deb)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(blender: Blender, debs: Sequence[Path], root: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as packed:
            command = ["tar", "x", "--no-same-owner", "--keep-directory-symlink", "-C", str(root)]
            subprocess.run(command, stdin=packed.stdout, check=True)
        if packed.returncode:
            raise WindowFailed(f"{deb.name} cannot be unpacked.")
    # What the packages' own scripts would have linked.
    for library in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        for found in root.glob(f"usr/lib/*/{library}"):
            (found.parents[1] / found.name).symlink_to(library)
    (root / "etc" / "mtab").symlink_to("/proc/self/mounts")
    tool = root / "usr" / "local" / "bin" / "onhost"
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(ONHOST)
    tool.chmod(0o755)
    for place in FROM_MACHINE:
        target = root / place.lstrip("/")
        if Path(place).is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
    (root / "host").mkdir(exist_ok=True)


def _wheels(blender: Blender, folder: Path, root: Path, *, pin: bool) -> None:
    """Unpack what Blender's Python lacks, by version and hash, where it looks for what was installed beside it."""
    listed = LISTS / f"wheels-{blender.python}.txt"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--no-deps", "-d", str(folder)]
    pip += ["--only-binary", ":all:", "--python-version", blender.python, "--implementation", "cp"]
    _run([*pip, *(["-c", str(ROOT / "constraints.txt"), *WHEELS] if pin else ["--require-hashes", "-r", str(listed)])])
    wheels = sorted(folder.glob("*.whl"))
    if pin:
        names = ["==".join(wheel.name.split("-")[:2]) for wheel in wheels]
        lines = [f"{name} --hash=sha256:{_sha256(wheel)}" for name, wheel in zip(names, wheels, strict=True)]
        listed.write_text("\n".join(lines) + "\n")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(root / "usr/local/lib" / f"python{blender.python}" / "dist-packages")


# -- running ---------------------------------------------------------------------------------------------------


def command(blender: Blender, arguments: Sequence[str]) -> list[str]:
    """What starts ``blender`` with ``arguments``, on whatever display the environment names."""
    return _in_its_root(blender, ["/usr/bin/blender", *arguments])


def _in_its_root(blender: Blender, program: Sequence[str]) -> list[str]:
    root = blender.root
    machines = [str(path) for path in sorted(Path("/").iterdir()) if path.name not in {*OF_SYSTEM, "host"}]
    lines = ["set -e"]
    for place in (*FROM_MACHINE, *(m for m in machines if Path(m).is_dir() and not Path(m).is_symlink())):
        if Path(place).exists():
            lines += [f"[ -e {shlex.quote(str(root) + place)} ] || mkdir -p {shlex.quote(str(root) + place)}"]
            lines += [f"mount --rbind {shlex.quote(place)} {shlex.quote(str(root) + place)}"]
    lines += [f"mount --rbind / {shlex.quote(str(root / 'host'))}"]
    lines += [
        f'exec chroot {shlex.quote(str(root))} /usr/bin/env -C "$PWD" LC_ALL=C.UTF-8 LIBGL_ALWAYS_SOFTWARE=1 "$@"'
    ]
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    return [*unshare, "sh", "-c", "\n".join(lines), "sh", *program]


# -- small things ----------------------------------------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise WindowFailed(f"{program} is not installed; a window of Debian's Blender needs it.")


def _run(arguments: Sequence[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise WindowFailed(f"{arguments[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")


def main() -> int:
    """Do what the command line asks; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(dest="do", required=True)
    for name in ("fetch", "pin", "run"):
        kind = kinds.add_parser(name)
        kind.add_argument("version", choices=sorted(BLENDERS))
        if name == "run":
            kind.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    blender = BLENDERS[options.version]
    try:
        print(fetch(blender, pin=options.do == "pin"))
    except WindowFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    if options.do == "run":
        return subprocess.run(command(blender, options.arguments)).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
