"""Arrays as compiled loops take them: one kind each, whatever people's arrays are."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def plain(array: NDArray[T]) -> NDArray[T]:
    """The array, C-contiguous and writable: a copy where it is neither, as a frame of a read-only store.

    Numba compiles a loop anew for every other kind.
    """
    return np.require(array, requirements=("C", "W"))
