"""The key file a backend on another machine asks for: ``ex4d keys new NAME`` writes one."""

from pathlib import Path
from typing import Any

from ex4d_ground.files import read_text
from ex4d_ground.parsing import parse_toml

from .errors import AddonError


def read(path: Path) -> dict[str, Any]:
    """The keys in a file, as the protocol's client takes them: CURVE keys in Z85.

    Raises AddonError if it cannot be read or is no key file.
    """
    try:
        document = parse_toml(read_text(path))
        server, public, secret = (document[name].encode("ascii") for name in ("server_key", "public_key", "secret_key"))
    except OSError as error:
        raise AddonError(f"Cannot read the key file {path}: {error.strerror or error}; choose it again.") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise AddonError(
            f"{path} is not a key file; make one on the backend's machine with 'ex4d keys new NAME'."
        ) from error
    if any(len(key) != 40 for key in (server, public, secret)):
        raise AddonError(f"A key in {path} does not have 40 characters; copy the file again.")
    return {"server_key": server, "keypair": (public, secret)}
