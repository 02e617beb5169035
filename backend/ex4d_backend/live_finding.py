"""What live views need and takes long: found on a thread beside the pictures, which come meanwhile without it."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ex4d_ground.errors import SettingError

T = TypeVar("T")

MOST_WAITING = 8
"""What may be waited for at once; of more, what was asked for longest ago is not begun."""


class FoundBeside(Generic[T]):
    """The last ``keep`` of something slow, by what each is made of, and what is being found beside them."""

    def __init__(self, thread: ThreadPoolExecutor, keep: int) -> None:
        self._thread, self._keep = thread, keep
        self._found: OrderedDict[bytes, Future[T]] = OrderedDict()

    def look(self, key: bytes, find: Callable[[], T]) -> Future[T]:
        """That of ``key``; the first look has it found.

        One that failed says so once, and is found again at the next look; one that was asked wrongly keeps saying so.
        """
        if key not in self._found:
            self._found[key] = self._thread.submit(find)
        self._found.move_to_end(key)
        self._let_go(self._keep - 1, beside=key, found=True)
        self._let_go(MOST_WAITING - 1, beside=key, found=False)
        future = self._found[key]
        if future.done() and not isinstance(future.exception(), SettingError | None):
            del self._found[key]
        return future

    def _let_go(self, most: int, *, beside: bytes, found: bool) -> None:
        """Of what is found, or is not yet, keep only the last ``most`` ``beside`` one."""
        others = [key for key, future in self._found.items() if future.done() is found and key != beside]
        for key in others[: max(0, len(others) - most)]:
            self._found.pop(key).cancel()

    def done(self) -> list[T]:
        """Those that are found."""
        return [each.result() for each in self._found.values() if each.done() and each.exception() is None]

    def close(self) -> None:
        """Let them go; what is not begun never is."""
        for future in self._found.values():
            future.cancel()
        self._found.clear()
