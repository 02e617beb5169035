"""The ``ex4d`` command: one module per sub-command, registered in :mod:`ex4d.cli.app`."""

from ex4d.blas import keep_to_one_thread

keep_to_one_thread()
