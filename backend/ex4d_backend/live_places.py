"""Which holes of live views go on a floor or a wall: the places of their clips are found beside the pictures."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ex4d.bands import Split
from ex4d.engines.plane_share import enlarged, going_on
from ex4d.fill import World, world_of
from ex4d.progress import CancelToken
from ex4d.types import Clip
from ex4d_backend.client_errors import without_paths
from ex4d_backend.live_finding import FoundBeside
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.errors import Cancelled, Ex4dError, SettingError
from ex4d_protocol.live import Place

log = logging.getLogger("ex4d_backend.live_places")

KEPT = 2
"""Places that one clip keeps: it has one for each source camera and each change of planes."""


class KnownPlace(NamedTuple):
    """How far the place of a clip is known."""

    state: Place = ""
    """"" where nobody asked."""
    world: World | None = None
    why: str = ""
    """What kept it from being found, as a sentence, where that is not how the clip was filmed."""


NOT_ASKED = KnownPlace()


class Places:
    """The places of one clip, found on a thread: pictures come meanwhile, without them."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._cancel = CancelToken()
        self._found: FoundBeside[KnownPlace] = FoundBeside(thread, KEPT)

    @property
    def size_bytes(self) -> int:
        """Memory of those that are found."""
        worlds = [each.world for each in self._found.done()]
        return sum(world.size_bytes for world in worlds if world is not None)

    def look(self, key: bytes, clip: Clip, planes: str) -> KnownPlace:
        """How far the place of ``clip`` is known, with what is changed of its ``planes``; the first look has it found.

        ``key`` tells both. Raises SettingError for a change of a plane that there is not.
        """
        future = self._found.look(key, lambda: _find(clip, self._cancel, planes))
        return future.result() if future.done() else KnownPlace("finding")

    def close(self) -> None:
        """Let them go, also the one that is being found."""
        self._cancel.cancel()
        self._found.close()


def share_on_plane(
    world: World, mask: Bool, lens: Float64, world_from_camera: Float64, split: Split
) -> float:  # [H, W], [4], [4, 4]
    """Share of a picture that is hole and goes on a plane, as coverage has it."""
    return float(going_on(world, mask, lens, world_from_camera, split).mean())


def on_plane(
    world: World, mask: Bool, lens: Float64, world_from_camera: Float64, split: Split, *, roughly: bool
) -> Bool:  # -> [H, W]
    """The holes that go on a plane; ``roughly`` in pictures of a moving camera, which the sharp one follows."""
    return enlarged(going_on(world, mask, lens, world_from_camera, split, roughly=roughly), mask)


def _find(clip: Clip, cancel: CancelToken, planes: str) -> KnownPlace:
    """The place; unknown also where it cannot be found, since a picture without it is better than none.

    Raises SettingError: what somebody wants of its planes is to be mended.
    """
    try:
        world = world_of(clip, cancel, planes)
    except Cancelled:
        return KnownPlace("unknown")
    except SettingError:
        raise
    except (Ex4dError, MemoryError, OSError) as error:
        log.warning("the place of a clip cannot be found for live views: %s", error)
        reason = "there is not enough memory" if isinstance(error, MemoryError) else without_paths(str(error))
        return KnownPlace("unknown", why=f"Floor and walls could not be found: {reason.rstrip('.')}."[:4096])
    return KnownPlace("unknown" if world is None else "known", world)
