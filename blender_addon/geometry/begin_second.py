"""The script that a second Blender runs: it finds the add-on's folder beside itself and has it write the files.

It is run by its path, without the add-on being enabled, so the add-on gets a name of its own here.
"""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

NAME = "ex4d_second"
ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Load the add-on's folder as a package and hand over; returns the exit code."""
    told = json.loads(Path(sys.argv[-1]).read_text("utf-8"))
    sys.path += [path for path in told["python"] if path not in sys.path]
    spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return importlib.import_module(f"{NAME}.geometry.second_work").main(told)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # some versions crash while they take their modules down; the files are closed
