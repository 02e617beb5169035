"""The wire between Blender and the backend: typed messages, framing, arrays, sockets. See SPEC.md."""

from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR

__version__ = "0.1.0"

__all__ = ["PROTOCOL_MAJOR", "PROTOCOL_MINOR", "__version__"]
