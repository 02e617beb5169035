"""The library's error tree.

Every message says what was wrong, with the value, and what to do about it, in one sentence that can be shown
to a person as it stands. The CLI prints the message and exits with ``exit_code``; the backend sends it as the
job's reason. Nothing here is ever returned: errors are raised.
"""

from __future__ import annotations


class Ex4dError(Exception):
    """Base of every error the library raises on purpose."""

    exit_code = 1


class InputError(Ex4dError, ValueError):
    """Something the caller supplied cannot be used; the message says what and how to mend it."""

    exit_code = 2


class ClipError(InputError):
    """The source video cannot be read or does not have what was asked of it."""


class DepthError(InputError):
    """Depth is missing, has another size or length than the clip, or holds values that are no depth."""


class ShapeError(InputError):
    """An array's shape or dtype does not fit its documented shape."""


class TrajectoryError(InputError):
    """A camera is not rigid, not finite, or does not fit the clip."""


class SettingError(InputError):
    """A setting is unknown, of the wrong type, or out of range."""


class OutputError(Ex4dError, OSError):
    """A result could not be written (disk full, folder not writable); what was there before is untouched."""

    exit_code = 3


class MissingExtraError(Ex4dError, ImportError):
    """A part needs an optional dependency; the message names the extra and the command that installs it."""

    exit_code = 4

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs the '{extra}' extra, which is not installed; run: pip install 'ex4d[{extra}]'")
        self.extra = extra


class WeightsError(Ex4dError):
    """Model weights are missing, truncated or of another model; the message names the file and the command."""

    exit_code = 5


class RasterError(Ex4dError):
    """A rasterizer cannot run here or was given something it cannot draw."""


class EngineError(Ex4dError):
    """A generation engine failed; the message says at which step."""


class DeviceMemoryError(EngineError):
    """The device has too little memory for the plan; the message says which plan would fit."""


class Cancelled(Ex4dError):
    """The caller asked to stop. Not a failure: nothing half-written remains."""

    exit_code = 130
