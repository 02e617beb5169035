"""Where a backend listens unless someone says otherwise."""

DEFAULT_PORT = 7764
DEFAULT_ADDRESS = f"tcp://127.0.0.1:{DEFAULT_PORT}"
