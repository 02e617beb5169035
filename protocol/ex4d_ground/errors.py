"""The error tree of every part: one sentence for people, a code for programs, and what to do about it as data.

A message says what was wrong, with the value, and stands by itself. The remedy (:mod:`ex4d_ground.remedies`) is data:
each place that
shows the error adds it in its own words (:meth:`Ex4dError.text`) and, where it has one, with its own button. Programs
look at ``code`` and ``remedy.action``, never at the sentence. The command line exits with ``exit_code``; the backend
sends message, code and remedy as the job's reason. Nothing here is ever returned: errors are raised.
"""

from typing import Any, Literal

from ex4d_ground.remedies import Failure, Remedy, install_ours

Place = Literal["cli", "panel"]
"""Where an error is read: a terminal, or Blender's panel."""


def in_words(message: str, remedy: Remedy | None, place: Place) -> str:
    """``message`` with its remedy in the words of ``place``, as one sentence; a command at its end can be copied."""
    words = "" if remedy is None else (remedy.cli if place == "cli" else remedy.panel)
    if remedy is None or not words:
        return message
    is_command = words.endswith(str(remedy.values.get("command", ".")))
    return f"{message.rstrip('.')}; {words}{'' if is_command else '.'}"


def in_brief(error: BaseException) -> str:
    """What an error from elsewhere says, without the number and the path that the system puts around it."""
    return str(getattr(error, "strerror", None) or error)


class Ex4dError(Exception):
    """Base of every error that is raised on purpose."""

    exit_code = 1
    code = "failed"

    def __init__(self, message: str = "", *, code: str = "", remedy: Remedy | None = None):
        super().__init__(message)
        self.code = code or type(self).code
        self.remedy = remedy

    def text(self, place: Place) -> str:
        """The sentence with its remedy in the words of ``place``."""
        return in_words(str(self), self.remedy, place)

    @property
    def failure(self) -> Failure:
        """Code and remedy, to be sent or kept beside the sentence."""
        return Failure(self.code, self.remedy)

    def reworded(self, message: str) -> Any:
        """An error of the same kind, code and remedy, and whatever else it says, with another sentence."""
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        Ex4dError.__init__(other, message, code=self.code, remedy=self.remedy)
        if isinstance(self, OSError) and isinstance(other, OSError):
            other.errno = self.errno
        return other


class InputError(Ex4dError, ValueError):
    """Something the caller supplied cannot be used; the message says what."""

    exit_code = 2
    code = "bad_input"


class ClipError(InputError):
    """The source video cannot be read or does not have what was asked of it."""

    code = "bad_clip"


class DepthError(InputError):
    """Depth is missing, has another size or length than the clip, or holds values that are no depth."""

    code = "bad_depth"


class ShapeError(InputError):
    """An array's shape or dtype does not fit its documented shape."""

    code = "bad_shape"


class TrajectoryError(InputError):
    """A camera is not rigid, not finite, or does not fit the clip."""

    code = "bad_camera"


class CameraNotSolvedError(TrajectoryError):
    """How the camera moved that filmed cannot be told from the clip, or not reliably; the message says why."""

    code = "camera_not_solved"


class SettingError(InputError):
    """A setting is unknown, of the wrong type, or out of range."""

    code = "bad_setting"


class OutputError(Ex4dError, OSError):
    """A result could not be written (disk full, folder not writable); what was there before is untouched."""

    exit_code = 3
    code = "not_written"


class MissingExtraError(Ex4dError, ImportError):
    """A part needs an optional dependency; the remedy holds the command that installs it."""

    exit_code = 4
    code = "missing_extra"

    def __init__(self, what: str, extra: str):
        remedy = install_ours(extra)
        super().__init__(f"{what} needs the '{extra}' extra, which is not installed.", remedy=remedy)
        self.extra = extra


class WeightsError(Ex4dError):
    """Model weights are missing, truncated or of another model; the message names the file."""

    exit_code = 5
    code = "weights"


class FarmError(Ex4dError):
    """A render farm's Manager cannot be reached, or refuses what it is asked."""

    code = "farm"


class RasterError(Ex4dError):
    """A rasterizer cannot run here or was given something it cannot draw."""

    code = "rasterizer"


class EngineError(Ex4dError):
    """A generation engine failed; the message says at which step."""

    code = "engine"


class MissingProgramError(EngineError):
    """A program that a part is run by is not installed; the message or the remedy says how it gets there."""

    exit_code = 4
    code = "missing_program"


class DeviceMemoryError(EngineError):
    """The device has too little memory for the plan; the message says which plan would fit."""

    code = "device_memory"


class Cancelled(Ex4dError):
    """The caller asked to stop. Not a failure: nothing half-written remains."""

    exit_code = 130
    code = "cancelled"
