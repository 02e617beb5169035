"""Who gets a session: the answer to Hello."""

import logging
import secrets
from collections.abc import Callable

import zmq

from ex4d_backend.client_errors import Refusal
from ex4d_backend.client_sessions import ClientSessions
from ex4d_backend.connections import Connections, address_of
from ex4d_backend.keys import KeyRing, key_of
from ex4d_backend.limits import Bucket
from ex4d_backend.server_process import package_version
from ex4d_backend.settings import ServerSettings
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR

log = logging.getLogger("ex4d_backend.server")

NEWCOMERS_PER_S = 200.0
"""Greetings on new connections that are answered, of all clients together."""


class Greeter:
    """Opens the sessions of one server."""

    def __init__(
        self,
        settings: ServerSettings,
        sessions: ClientSessions,
        connections: Connections,
        keys: KeyRing | None,
        *,
        operator_secret: str,
        data_port: int,
        capabilities: Callable[[], m.Capabilities],
        working: Callable[[], set[str]],
    ) -> None:
        """``connections`` are the control socket's; ``working`` names the owners of jobs that are not over."""
        self._settings, self._sessions, self._connections, self._keys = settings, sessions, connections, keys
        self._operator_secret, self._data_port = operator_secret, data_port
        self._capabilities, self._working = capabilities, working
        self._newcomers = Bucket(NEWCOMERS_PER_S)
        self._server_id = secrets.token_hex(8)
        self._versions = {name: package_version(name) for name in ("ex4d", "pyzmq", "msgspec", "numpy")}

    def welcome(self, identity: bytes, hello: m.Hello, frame: zmq.Frame) -> m.Welcome:
        """Open a session for who says Hello in ``frame``. Raises Refusal."""
        if hello.major != PROTOCOL_MAJOR:
            text = framing.incompatible_sentence(
                server_major=PROTOCOL_MAJOR, client_major=hello.major, client=hello.client_name or "this client"
            )
            raise Refusal("incompatible", text)
        known = self._sessions.control(identity)
        if not (known.bucket if known is not None else self._newcomers).take():
            raise Refusal("rate_limited", "Too many clients say Hello at once; wait a little.")
        key = key_of(frame)
        # With encryption the key's name owns the jobs, whatever client_id says.
        owner = (self._keys.owner(key) if self._keys else None) or hello.client_id
        if hello.operator and not secrets.compare_digest(hello.operator.encode(), self._operator_secret.encode()):
            raise Refusal("not_allowed", "This is not the backend whose data folder that is; check --backend.")
        address = address_of(frame)
        self._sessions.left(self._connections.ended())  # before this one takes the number of one that has ended
        if not self._sessions.has_place(identity, owner, address, working=self._working):
            text = f"The backend serves {self._settings.clients} connections already; try again later."
            raise Refusal("rate_limited", text)
        session = self._sessions.open(identity, owner, hello.client_name, key, operator=bool(hello.operator))
        session.connection, session.address = self._connections.know(frame), address
        session.minor = hello.minor
        log.info("client %s connected (%s)", hello.client_name or "?", hello.versions)
        return m.Welcome(
            session=session.token,
            data_port=self._data_port,
            server_id=self._server_id,
            capabilities=self._capabilities(),
            ping_interval_s=self._settings.ping_interval_s,
            major=PROTOCOL_MAJOR,
            minor=PROTOCOL_MINOR,
            versions=self._versions,
        )
