"""How many threads numpy's linear algebra may use in the processes that are ours alone."""

import os

VARIABLE = "OPENBLAS_NUM_THREADS"
"""Read once, when numpy is loaded."""


def keep_to_one_thread() -> None:
    """Have small matrices inverted where they are asked for, unless the variable is set already.

    Ours are 4x4: OpenBLAS, left alone, hands each to its threads and waits for them, which takes 200 times as long on
    average and several milliseconds where the cores are busy. The results are the same, bit by bit. To be called
    before numpy is loaded; frames and bands have threads of their own.
    """
    os.environ.setdefault(VARIABLE, "1")
