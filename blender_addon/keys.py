"""The key file a backend on another machine asks for: ``ex4d-backend keys new NAME`` writes one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .errors import AddonError


@dataclass(frozen=True)
class Keys:
    """CURVE keys in Z85: the server's public one, and our own pair (public, secret)."""

    server: bytes
    own: tuple[bytes, bytes]


def read(path: Path) -> Keys:
    """The keys in a file. Raises AddonError if it cannot be read or is no key file."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        server, public, secret = (found[name].encode("ascii") for name in ("server_key", "public_key", "secret_key"))
    except OSError as error:
        raise AddonError(f"Cannot read the key file {path}: {error.strerror or error}; choose it again.") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise AddonError(
            f"{path} is not a key file; make one on the backend's machine with 'ex4d-backend keys new NAME'."
        ) from error
    if any(len(key) != 40 for key in (server, public, secret)):
        raise AddonError(f"A key in {path} does not have 40 characters; copy the file again.")
    return Keys(server, (public, secret))
