"""The one error the add-on raises on purpose: a sentence that can be shown to a person as it stands."""

from __future__ import annotations


class AddonError(Exception):
    """What is wrong, with the value, and what to do about it, in one sentence.

    Operators show ``str(error)`` through ``self.report``; ``detail`` goes to the log only.
    """

    def __init__(self, sentence: str, detail: str = ""):
        super().__init__(sentence)
        self.detail = detail


class LinkLost(AddonError):
    """The backend cannot be reached any more; its jobs are found again after the next Connect."""


class TaskCancelled(AddonError):
    """The user asked to stop; nothing half-written remains."""
