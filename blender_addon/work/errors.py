"""The one error the add-on raises on purpose: a sentence that can be shown to a person as it stands."""

from ex4d_ground.errors import Ex4dError, Remedy


class AddonError(Ex4dError):
    """What is wrong, with the value, and what to do about it, in one sentence.

    Operators show ``error.text("panel")`` through ``self.report``; ``detail`` goes to the log only.
    """

    def __init__(self, sentence: str, detail: str = "", *, code: str = "", remedy: Remedy | None = None):
        super().__init__(sentence, code=code, remedy=remedy)
        self.detail = detail


class LinkLost(AddonError):
    """The backend cannot be reached any more; its jobs are found again after the next Connect."""


class StorageError(AddonError):
    """Something could not be written: a full disk, a folder without permission. Trying again later may work."""


class JobFailed(AddonError):
    """The backend's job failed; ``job_id`` names it for those who want to read its log."""

    def __init__(self, message: str, job_id: str, *, code: str = "", remedy: Remedy | None = None):
        super().__init__(message, code=code, remedy=remedy)
        self.job_id = job_id


class TaskCancelled(AddonError):
    """The user asked to stop; nothing half-written remains."""


class StoppedKeeping(TaskCancelled):
    """Stopped by the user, who keeps what has arrived, or by somebody else, who was not asked about it."""
