"""Which group of processes this one is of, if any. Imports no torch: whoever asks may have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ex4d.engines.group import Group

_own: Group | None = None


def joined() -> Group | None:
    """The group that this process is of; None where one device works alone."""
    return _own


def become_member(group: Group) -> None:
    """This process is of ``group`` for the rest of its life, as it is for torch."""
    global _own
    _own = group
