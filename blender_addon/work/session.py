"""The add-on's runtime state: one connection, the backend it may have started, and the running tasks.

Lives in this module, holds no reference to Blender's data, and is advanced by a timer (or by :meth:`AddonSession.run`,
which blocks). Blender runs all of it on its main thread; there are no others.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ex4d_ground.remedies import Remedy, connect
from ex4d_protocol.client import Client
from ex4d_protocol.messages import Capabilities, JobState, ListJobs

from . import identity
from .addon import log
from .errors import AddonError, LinkLost
from .hooks import Hook
from .identity import Identity
from .link import BackendLink
from .local_backend import LocalBackend
from .tasks import Deliver, Steps, Task

TICK_BUDGET_S = 0.004
"""Longest time one timer call spends, half of it on the network; a frame at 60 Hz is 16 ms."""
GRACE_S = 15.0
"""How long a silent backend is waited for before an operation gives up."""


CLIENT_NAME = "the Blender add-on"
"""How the backend names this side in sentences for people."""


class AddonSession:
    """Everything that is true only while Blender runs."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.link: BackendLink | None = None
        self.backend: LocalBackend | None = None
        self.tasks: list[Task] = []
        self.undelivered: list[Task] = []
        """Ended tasks whose result is not in the scene yet."""
        self.waiting: tuple[JobState, ...] = ()
        """Jobs of this client whose results the backend still held when the connection was made."""
        self.message, self.message_is_error = "", False
        """The last thing worth telling, for the panel."""
        self.message_panel, self.message_job = "Clip", ""
        """Label of the panel that shows it, and the backend's job that failed; "" if there is none."""
        self.message_remedy: Remedy | None = None
        self.waiting_for_weights: Callable[[Any], Task | None] | None = None
        """Begins, given the context, what a person asked for and weights were missing for."""

    @property
    def connected(self) -> bool:
        """Whether the handshake is done and the backend answers."""
        return self.link is not None and self.link.client.state == "connected"

    @property
    def address(self) -> str:
        """Where the backend is, or "" when disconnected."""
        return self.link.client.address if self.link else ""

    @property
    def backend_name(self) -> str:
        """What the backend is known by after a restart: the folder of one that was started here, else its address."""
        return str(self.backend.folder) if self.backend is not None else self.address

    @property
    def capabilities(self) -> Capabilities:
        """What the backend can do; empty while disconnected."""
        return self.link.client.capabilities if self.link else Capabilities()

    def tell(
        self,
        message: str,
        *,
        is_error: bool = False,
        panel: str = "Clip",
        job_id: str = "",
        remedy: Remedy | None = None,
    ) -> None:
        """Show ``message`` in the panel of that label, with the remedy's button; "" clears it."""
        (log.warning if is_error else log.info)("%s", message)
        self.message, self.message_is_error = message, is_error
        self.message_panel, self.message_job, self.message_remedy = panel, job_id, remedy

    def _tell_restarted(self) -> None:
        panel = self.tasks[0].panel if self.tasks else "Clip"
        self.tell("The backend ended and was started again; what was under way goes on by itself.", panel=panel)

    def settle(self, panel: str) -> None:
        """Something of that panel went well: what went wrong there before is of no interest any more."""
        if self.message_is_error and self.message_panel == panel:
            self.message, self.message_is_error = "", False

    def require_idle(self) -> None:
        """Raise AddonError while something is running."""
        if self.tasks:
            raise AddonError(f"Wait for '{self.tasks[0].title}', or cancel it.")

    def identify(self, base: Path) -> Identity:
        """This Blender's identity, claimed below ``base`` on first use. Raises AddonError."""
        if self.identity is None:
            self.identity = identity.claim(base)
        return self.identity

    def require_identity(self) -> Identity:
        """This Blender's identity. Raises AddonError before the first Connect."""
        if self.identity is None:
            raise AddonError("Not connected to a backend.", remedy=connect())
        return self.identity

    def require_link(self) -> BackendLink:
        """The connection. Raises AddonError if there is none."""
        if self.link is None:
            raise AddonError("Not connected to a backend.", remedy=connect())
        return self.link

    def connect(
        self, address: str, *, timeout_s: float, grace_s: float = GRACE_S, keys: Mapping[str, Any] | None = None
    ) -> Steps[str]:
        """Open a connection to ``address`` as steps (after :meth:`disconnect`); returns the address."""
        client = Client(
            address, client_name=CLIENT_NAME, client_id=self.identity.client_id if self.identity else None, **keys or {}
        )
        self.link = BackendLink(
            client,
            grace_s=grace_s,
            why_gone=lambda: self.backend.why_gone() if self.backend else None,
            why_no_worker=lambda: self.backend.worker_words() if self.backend else None,
            on_restarted=self._tell_restarted,
        )
        try:
            client.connect()
            yield from self.link.wait_connected(timeout_s)
            yield from self.link.wait_engines(timeout_s)
            self.waiting = yield from self._ask_waiting(self.link)
        except BaseException:
            self._drop()
            raise
        return address

    @staticmethod
    def _ask_waiting(link: BackendLink) -> Steps[tuple[JobState, ...]]:
        try:
            listed = yield from link.ask(ListJobs(unacknowledged_only=True))
        except LinkLost:
            raise
        except AddonError as error:
            log.warning("the backend does not say what it still holds: %s", error)
            return ()
        return listed.jobs

    def connect_local(self, backend: LocalBackend, *, timeout_s: float, grace_s: float = GRACE_S) -> Steps[str]:
        """Take over a backend that was just started, as steps; it is stopped when the session ends."""
        self.backend = backend  # at once: steps that are dropped before they begin would leave it running

        def steps() -> Steps[str]:
            try:
                address = yield from backend.wait_address(timeout_s)
            except BaseException:
                self._drop()
                raise
            return (yield from self.connect(address, timeout_s=timeout_s, grace_s=grace_s))

        return steps()

    def disconnect(self) -> None:
        """Close the connection and stop the backend if it was started here.

        Takes under way go on, here after the next start of the backend; other jobs are cancelled.
        """
        for task in self.tasks:
            task.abandon(f"{task.title}: disconnected; a take under way is found again after the next Connect.")
        if self.tasks and self.link is not None:
            self.link.poll(0.01)  # lets the cancels leave
        self.tasks.clear()
        self._drop()

    def close(self) -> None:
        """Disconnect, and let another Blender have this one's identity."""
        self.disconnect()
        if self.identity is not None:
            self.identity.release()
            self.identity = None

    def _drop(self) -> None:
        if self.link is not None:
            self.link.client.close()
            self.link = None
        if self.backend is not None:
            self.backend.stop()
            self.backend = None

    def start(
        self,
        title: str,
        steps: Steps[Any],
        *,
        panel: str = "Clip",
        shot_id: str = "",
        deliver: Deliver | None = None,
        quiet: bool = False,
    ) -> Task:
        """Begin a task; the timer, or :meth:`run`, advances it. One that nobody asked for is ``quiet``."""
        task = Task(title, steps, panel=panel, shot_id=shot_id, deliver=deliver)
        self.tasks.append(task)
        if not quiet:
            self.message = ""
        return task

    def collect(self, task: Task) -> None:
        """Someone delivers this ended task now; nobody else will."""
        if task in self.undelivered:
            self.undelivered.remove(task)

    def tick(self, budget_s: float = TICK_BUDGET_S) -> bool:
        """Take what arrived and advance the tasks, for about ``budget_s``. Returns whether anything happened."""
        start = time.perf_counter()
        worked = self.link is not None and self.link.poll(budget_s / 2)
        for task in list(self.tasks):
            worked |= task.advance(start + budget_s)
            if task.finished:
                self.tasks.remove(task)
                self.undelivered.append(task)
                worked = True
        return worked

    def run(self, task: Task) -> None:
        """Drive ``task`` to its end, blocking. Ctrl+C cancels it."""
        try:
            while not task.finished:
                if not self.tick(0.05):
                    time.sleep(0.002)
        except KeyboardInterrupt:
            self.cancel(task)
            raise

    def cancel(self, task: Task, *, keep: bool = False) -> None:
        """Stop one task, and its job on the backend; ``keep`` leaves the frames of a take that have arrived."""
        task.cancel(keep=keep)
        if task in self.tasks:
            self.tasks.remove(task)
            self.undelivered.append(task)
        if self.link is not None:
            self.link.poll(0.01)  # lets the cancel leave before anything else is sent


connected = Hook()
"""Called with the context once a connection stands. What a listener returns, if not "", is told beside it."""

_session: AddonSession | None = None


def get() -> AddonSession:
    """The one session; made on first use."""
    global _session
    if _session is None:
        _session = AddonSession()
    return _session


def end() -> None:
    """Close and forget the session."""
    global _session
    if _session is not None:
        _session.close()
        _session = None


def require_idle(_context: object = None) -> None:
    """For operators that do not go beside others: raise AddonError while something is running."""
    get().require_idle()


def require_own_backend(_context: object = None) -> LocalBackend:
    """The backend that was started here. Raises AddonError if there is none."""
    backend = get().backend
    if backend is None:
        raise AddonError("No backend was started here, so there is no log of one.")
    return backend
