"""What a depth file written by ``ex4d depth`` says beside its values: who made it, on what terms, with which lens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError, InputError
from ex4d_ground.parsing import parse_json


@dataclass(frozen=True)
class DepthFacts:
    """Where depth came from. The defaults are what is known of a file from elsewhere."""

    source: str = "file"
    licence: str = ""
    intrinsics: Intrinsics | None = None


def read_depth_facts(path: Path) -> DepthFacts:
    """The entry "facts" (JSON, see :mod:`ex4d.depth.store`) of an .npz, or the defaults if there is none.

    Raises DepthError if the entry is there but damaged.
    """
    if path.suffix.lower() != ".npz" or not path.is_file():
        return DepthFacts()
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if "facts" not in archive.files:
                return DepthFacts()
            text = str(archive["facts"])
    except DAMAGED as error:
        raise DepthError(f"{path} is not a readable .npz file; export it again.") from error
    try:
        facts = parse_json(text)
        lens = facts.get("intrinsics")
        return DepthFacts(
            source=str(facts.get("estimator", "file")),
            licence=str(facts.get("licence", "")),
            intrinsics=Intrinsics(**lens) if lens else None,
        )
    except (ValueError, TypeError, AttributeError, InputError) as error:
        raise DepthError(
            f"{path} says things about its depth that cannot be read ({error}); write it again."
        ) from error
