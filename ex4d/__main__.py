"""``python -m ex4d`` is the ``ex4d`` command."""

import sys

from ex4d.cli.app import main

sys.exit(main())
