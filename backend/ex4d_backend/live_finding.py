"""What live views need and takes long: found on a thread beside the pictures, which come meanwhile without it."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ex4d_ground.errors import SettingError

T = TypeVar("T")


class FoundBeside(Generic[T]):
    """The last ``keep`` of something slow, by what each is made of."""

    def __init__(self, thread: ThreadPoolExecutor, keep: int) -> None:
        self._thread, self._keep = thread, keep
        self._found: OrderedDict[bytes, Future[T]] = OrderedDict()

    def look(self, key: bytes, find: Callable[[], T]) -> Future[T]:
        """That of ``key``; the first look has it found.

        One that failed says so once, and is found again at the next look; one that was asked wrongly keeps saying so.
        """
        if key not in self._found:
            while len(self._found) >= self._keep:
                self._found.popitem(last=False)[1].cancel()
            self._found[key] = self._thread.submit(find)
        self._found.move_to_end(key)
        future = self._found[key]
        if future.done() and not isinstance(future.exception(), SettingError | None):
            del self._found[key]
        return future

    def done(self) -> list[T]:
        """Those that are found."""
        return [each.result() for each in self._found.values() if each.done() and each.exception() is None]

    def close(self) -> None:
        """Let them go; what is not begun never is."""
        for future in self._found.values():
            future.cancel()
        self._found.clear()
