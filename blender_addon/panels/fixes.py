"""What mends an error, as a button beside its sentence: chosen by the remedy's action, whatever its words are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ex4d_ground.remedies import Remedy

from ..jobs import weights


@dataclass(frozen=True)
class Fix:
    """A button: an operator with its arguments."""

    text: str
    operator: str
    icon: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    takes: Mapping[str, type] = field(default_factory=dict)
    """The remedy's values that are arguments too, and may stand in the text, with their types."""


FIXES: dict[str, Fix] = {
    "connect": Fix("Connect", "ex4d.connect", "LINKED"),
    "install_backend": Fix("Copy Install Command", "ex4d.copy_install_command", "COPYDOWN"),
    "find_backend": Fix("Look Again", "ex4d.find_backend", "VIEWZOOM"),
    "save_file": Fix("Save As...", "wm.save_as_mainfile", "FILE_TICK"),
    "allow_online": Fix("Allow Online Access", "extensions.userpref_allow_online", "INTERNET"),
    "object_mode": Fix("Object Mode", "object.mode_set", "OBJECT_DATAMODE", {"mode": "OBJECT"}),
    "fill_invalid": Fix("Import and Fill It", "ex4d.import_clip", "IMPORT", {"fill_invalid": True}),
    "fewer_frames": Fix("Import the First {num_frames}", "ex4d.import_clip", "IMPORT", takes={"num_frames": int}),
    "offload": Fix("Use Offload", "ex4d.set_engine_setting", "MEMORY", {"setting": "memory", "value": "offload"}),
    "fetch_weights": Fix("Download...", "ex4d.fetch_weights", "IMPORT", takes={"packages": str}),
    "run_command": Fix("Copy the Command", "ex4d.copy_command", "COPYDOWN", takes={"command": str}),
}
"""By action. The rasterizer is the backend's business, so "use_cpu_rasterizer" has none."""


def fix_for(remedy: Remedy | None) -> Fix | None:
    """The button for ``remedy``; None if there is none, or if the backend sent values of another kind."""
    action = remedy.action if remedy is not None else ""
    if action == "fetch_weights" and not weights.may_fetch():
        action = "run_command"  # for a person at that machine
    fix = FIXES.get(action)
    if fix is None or remedy is None:
        return None
    taken = {name: remedy.values.get(name) for name in fix.takes}
    if not all(isinstance(taken[name], kind) for name, kind in fix.takes.items()):
        return None
    return replace(fix, text=fix.text.format(**taken), arguments={**fix.arguments, **taken})
