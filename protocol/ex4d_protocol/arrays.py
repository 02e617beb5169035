"""Arrays as frames: described by dtype, shape and order, checked before use, never copied or unpickled."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol.errors import FrameError

ALLOWED_DTYPES = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<i8", "<f2", "<f4", "<f8"})
"""Plain little-endian numbers. Booleans travel as |u1; nothing else is accepted."""
MAX_DIMENSIONS = 8


def describe_array(array: NDArray[Any]) -> tuple[str, tuple[int, ...], str, memoryview]:
    """Return (dtype, shape, order, bytes) of an array, without a copy if it is contiguous and little-endian.

    The bytes alias the array: do not write to it until they are sent. Raises FrameError for another dtype.
    """
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    dtype = array.dtype.str
    if dtype not in ALLOWED_DTYPES:
        raise FrameError(f"Arrays of dtype {dtype} cannot be sent; use one of {', '.join(sorted(ALLOWED_DTYPES))}.")
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return dtype, array.shape, "F", array.T.data.cast("B")
    contiguous = np.ascontiguousarray(array)
    if contiguous.size == 0:
        return dtype, array.shape, "C", memoryview(b"")
    return dtype, array.shape, "C", contiguous.reshape(-1).data.cast("B")


def view_array(data: memoryview | bytes, *, dtype: str, shape: Sequence[int], order: str = "C") -> NDArray[Any]:
    """View received bytes as a read-only array without a copy. Raises FrameError unless they hold exactly that."""
    if dtype not in ALLOWED_DTYPES:
        raise FrameError(f"Received an array of dtype {dtype[:32]!r}, which is not allowed.")
    if order not in ("C", "F"):
        raise FrameError(f"Received an array of order {order[:8]!r}; only C and F exist.")
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise FrameError(f"Received an array of impossible shape {tuple(shape)[:MAX_DIMENSIONS]}.")
    view = memoryview(data)
    need = math.prod(shape) * np.dtype(dtype).itemsize
    if need != view.nbytes:
        raise FrameError(f"Received {view.nbytes} bytes for an array {tuple(shape)} of {dtype}, which needs {need}.")
    array = np.frombuffer(view, np.dtype(dtype)) if view.nbytes else np.empty(0, np.dtype(dtype))
    array.flags.writeable = False
    return array.reshape(tuple(shape), order="F" if order == "F" else "C")


def view_json(data: memoryview | bytes, encoding: str = "json") -> Any:
    """Parse received JSON. Raises FrameError if it is none."""
    if encoding != "json":
        raise FrameError(f"An item encoded as {encoding!r} is not JSON.")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"An item said to be JSON is not: {error}.") from None
