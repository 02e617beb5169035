"""Names for numpy arrays by element type; shapes stand as comments where they are used."""

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]

FAR = 1e9
"""Lengths, focal lengths and times beyond this are damage: single precision would not hold a picture there."""
