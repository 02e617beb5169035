"""The file of keys that lets one client into an encrypted backend, as ``ex4d keys new NAME`` prints it.

It is TOML: the server's public key, and the client's public and secret key, each 40 characters of Z85.
"""

from pathlib import Path
from typing import TypedDict

from ex4d_ground.errors import Ex4dError, InputError
from ex4d_ground.files import read_text
from ex4d_ground.parsing import parse_toml

_NAMES = ("server_key", "public_key", "secret_key")
_LENGTH = 40


class ClientKeys(TypedDict):
    """CURVE keys in Z85, as the arguments of a client."""

    server_key: bytes
    keypair: tuple[bytes, bytes]
    """The client's public and secret key."""


def client_keys_text(server: bytes, public: bytes, secret: bytes) -> str:
    """What the file holds."""
    return "".join(f"{name} = '{key.decode()}'\n" for name, key in zip(_NAMES, (server, public, secret), strict=True))


def read_client_keys(path: Path, error: type[Ex4dError] = InputError) -> ClientKeys:
    """The keys in a file. Raises ``error`` if it cannot be read or is no such file."""
    try:
        document = parse_toml(read_text(path))
        server, public, secret = (document[name].encode("ascii") for name in _NAMES)
    except OSError as fault:
        raise error(f"The key file {path} cannot be read: {fault.strerror or fault}; give one that can.") from fault
    except (ValueError, KeyError, AttributeError) as fault:
        raise error(
            f"{path} is not a key file; make one on the backend's machine with 'ex4d keys new NAME'."
        ) from fault
    if any(len(key) != _LENGTH for key in (server, public, secret)):
        raise error(f"A key in {path} does not have {_LENGTH} characters; copy the file again.")
    return ClientKeys(server_key=server, keypair=(public, secret))
