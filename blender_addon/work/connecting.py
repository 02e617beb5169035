"""Connecting to a backend, or starting one: for the button that says so, and for operators that need one.

An operator that needs a backend waits for this first, as it waits for its own task, and never blocks a window.
"""

import re

import bpy

from ex4d_ground.addresses import DEFAULT_ADDRESS, DEFAULT_PORT
from ex4d_ground.remedies import allow_online, install_backend, update_backend
from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR

from . import delivery, local_backend, preferences, session, timer
from .errors import AddonError
from .tasks import Delivery, Steps, Task

TITLE = "Connect"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def begin(context: bpy.types.Context, address: str = "", *, local: bool = False) -> Task:
    """Begin a new connection, in place of the one there is.

    To ``address``, or else to the preferences', or else to a backend started here; ``local`` starts one in any case.
    Raises AddonError.
    """
    prefs, current = preferences.get(context), session.get()
    wanted = "" if local else (address or prefs.address).strip()
    checked = _checked_address(wanted) if wanted else ""
    if not wanted and not local and not prefs.auto_start:
        raise AddonError("No backend address is set and starting one is off; set either in the preferences.")
    command = [] if checked else local_backend.find_command(prefs.backend_command)
    current.disconnect()
    identity = current.identify(preferences.data_folder(context) / "clients")
    limits = {"timeout_s": prefs.timeout_s, "grace_s": prefs.grace_s}
    if checked:
        steps = current.connect(checked, keys=preferences.key_file(context), **limits)
    else:
        folder, waiting = preferences.data_folder(context), identity.backend_folders()
        backend = local_backend.LocalBackend(command, base=folder, preferred=waiting)
        steps = current.connect_local(backend, **limits)
    timer.start()
    return current.start(TITLE, _connected(steps), deliver=_deliver)


def needed(context: bpy.types.Context) -> Task | None:
    """What an operator that needs a backend has to wait for first; None if one is there. Raises AddonError.

    A backend that was started here and has ended is started again. One elsewhere that is silent is waited for by
    whoever asks it something.
    """
    current = session.get()
    under_way = next((task for task in current.tasks if task.title == TITLE), None)
    if under_way is not None:
        return current.start("Wait for the backend", _ended(under_way), quiet=True)
    ended = current.backend is not None and current.backend.why_gone()
    return begin(context) if current.link is None or ended else None


def hindrance(context: bpy.types.Context) -> AddonError | None:
    """Why no backend can be had by itself; None if one is there, or would be connected to or started."""
    prefs = preferences.get(context)
    if session.get().link is not None or prefs.address.strip():
        return None
    if not prefs.auto_start:
        return AddonError("Starting a backend is off and no address is set; set either in the preferences.")
    try:
        local_backend.find_command(prefs.backend_command)
    except AddonError as error:
        return error
    return None


def outdated() -> AddonError | None:
    """That the connected backend lacks what this extension knows to ask for; None if it does not, or none is there."""
    link, here = session.get().link, session.get().backend is not None
    welcome = link.client.welcome if link is not None else None
    if welcome is None or (welcome.major, welcome.minor) >= (PROTOCOL_MAJOR, PROTOCOL_MINOR):
        return None
    theirs, ours = f"{welcome.major}.{welcome.minor}", f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"
    return AddonError(
        f"The backend speaks protocol {theirs}, older than this extension's {ours}: what came since cannot be used.",
        remedy=install_backend() if here else update_backend(),
    )


def _connected(steps: Steps[str]) -> Steps[tuple[str, list[str]]]:
    """The address, and what those who listen have to tell; they hear of it once, whoever waits for the task."""
    address = yield from steps
    with delivery.in_a_window():
        return address, [note for note in session.connected(bpy.context) if note]


def _deliver(_context: bpy.types.Context, result: tuple[str, list[str]]) -> Delivery:
    address, notes = result
    engines = ", ".join(engine.name for engine in session.get().capabilities.engines if engine.available)
    older = outdated()
    said = "; ".join([f"Connected to {address}; engines: {engines}", *notes]) + "."
    return Delivery(said, warnings=(str(older),) if older else (), changes_scene=False)


def _ended(task: Task) -> Steps[None]:
    while not task.finished:
        yield None
    if task.error is not None:
        raise task.error


def _checked_address(text: str) -> str:
    """``text`` with its scheme and port. Raises AddonError for another form, or for a network the user turned off."""
    match = re.fullmatch(r"(?:tcp://)?(\[[0-9A-Fa-f:.]+\]|[^:/\s]+)(?::(\d{1,5}))?", text)
    if not match:
        raise AddonError(f"'{text}' is not an address; write it like {DEFAULT_ADDRESS}.")
    host, port = match[1], match[2] or str(DEFAULT_PORT)
    if host not in LOOPBACK:
        require_online(f"{host} cannot be reached")
    return f"tcp://{host}:{port}"


def require_online(what: str) -> None:
    """Raise AddonError, saying ``what`` is not possible then, if the user keeps Blender offline."""
    if not getattr(bpy.app, "online_access", True):
        raise AddonError(f"Blender is set to stay offline, so {what}.", remedy=allow_online())
