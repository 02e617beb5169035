"""The ``ex4d`` command: one module per sub-command, registered in :mod:`ex4d.cli.app`."""
