"""Which holes of live views go on a floor or a wall: the places of their clips are found beside the pictures."""

import logging
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from ex4d.engines.plane_share import enlarged, going_on
from ex4d.fill import World, world_of
from ex4d.progress import CancelToken
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.errors import Cancelled, Ex4dError, SettingError
from ex4d_protocol.live import Place

log = logging.getLogger("ex4d_backend.live_places")

KEPT = 2
"""Places that one clip keeps: it has one for each source camera and each change of planes."""


class Places:
    """The places of one clip, found on a thread: pictures come meanwhile, without them."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread, self._cancel = thread, CancelToken()
        self._found: OrderedDict[bytes, Future[World | None]] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Memory of those that are found."""
        worlds = [each.result() for each in self._found.values() if each.done() and each.exception() is None]
        return sum(world.textures.nbytes + world.openings.nbytes for world in worlds if world is not None)

    def look(self, key: bytes, clip: Clip, planes: str) -> tuple[Place, World | None]:
        """How far the place of ``clip`` is known, with what is changed of its ``planes``; the first look has it found.

        ``key`` tells both. Raises SettingError for a change of a plane that there is not.
        """
        if key not in self._found:
            while len(self._found) >= KEPT:
                self._found.popitem(last=False)[1].cancel()
            self._found[key] = self._thread.submit(_find, clip, self._cancel, planes)
        self._found.move_to_end(key)
        future = self._found[key]
        if not future.done():
            return "finding", None
        world = future.result()
        return ("unknown" if world is None else "known"), world

    def close(self) -> None:
        """Let them go, also the one that is being found."""
        self._cancel.cancel()
        for future in self._found.values():
            future.cancel()
        self._found.clear()


def share_on_plane(world: World, mask: Bool, lens: Float64, world_from_camera: Float64) -> float:  # [H, W], [4], [4, 4]
    """Share of a picture that is hole and goes on a plane, as coverage has it."""
    return float(going_on(world, mask, lens, world_from_camera).mean())


def on_plane(world: World, mask: Bool, lens: Float64, world_from_camera: Float64) -> Bool:  # -> [H, W]
    """The holes that go on a plane."""
    return enlarged(going_on(world, mask, lens, world_from_camera), mask)


def _find(clip: Clip, cancel: CancelToken, planes: str) -> World | None:
    """The place; None also where it cannot be found, since a picture without it is better than none.

    Raises SettingError: what somebody wants of its planes is to be mended.
    """
    try:
        return world_of(clip, cancel, planes)
    except Cancelled:
        return None
    except SettingError:
        raise
    except (Ex4dError, MemoryError, OSError) as error:
        log.warning("the place of a clip cannot be found for live views: %s", error)
        return None
