"""What rests on Blender's own data, once more in Blender 5.0, in its own environment and process.

Left out there: what runs no Blender code (files, axes, keys), and the ways a job can fail, which are the same code. The
built zip is installed into 5.0 by test_addon_package.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(os.environ.get("EX4D_BPY50_PYTHON", ROOT / ".venv-bpy50" / "bin" / "python"))

AGAIN = (
    "test_addon_camera.py",
    "test_addon_shot.py",
    "test_addon_retime.py",
    "test_addon_takes.py",
    "test_addon_take_operators.py",
    "test_addon_same_picture.py",
    "test_addon_compare.py",
    "test_addon_camera_files.py::test_other_programs_get_an_animated_camera_in_world_space",
    "test_addon_import.py::test_a_strip_cut_at_its_start_is_written_out_as_it_plays",
    "test_addon_import.py::test_pictures_are_taken_from_the_first_on",
    "test_addon_panels.py::test_everything_has_a_tooltip_and_none_ends_in_a_full_stop",
    "test_addon_live.py::test_the_picture_is_what_a_guides_job_renders",
    "test_addon_live.py::test_coverage_follows_the_keyframes_by_itself",
    "test_addon_live.py::test_following_the_move_leaves_the_scene_alone",
    "test_addon_take_arrives.py::test_everything_is_found_after_saving_elsewhere",
    *sorted(path.name for path in HERE.glob("test_addon_layers*.py") if "roundtrip" not in path.name),
    "test_addon_thickness.py",
    "test_addon_operators.py::test_the_whole_way_through",
    "test_addon_survives_linked.py",
    "test_addon_survives.py::test_a_new_file_lets_it_finish_and_the_old_file_finds_it",
    "test_addon_survives.py::test_disabling_and_enabling_the_add_on_resumes_it",
)


@pytest.mark.skipif(bpy.app.version >= (5, 0, 0), reason="this is Blender 5.0 already")
@pytest.mark.skipif(not PYTHON.exists(), reason=f"no Blender 5.0 at {PYTHON}; 'make test' makes it")
def test_what_rests_on_blender_holds_in_5_0(tmp_path):
    # The library is not installed there: the backend runs in this environment, and only the add-on in that one.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
        "EX4D_BACKEND_COMMAND": shlex.join([sys.executable, "-m", "ex4d_backend"]),
    }
    command = [str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(HERE / "pytest-bpy50.ini")]
    command += [f"--rootdir={HERE}", f"--basetemp={tmp_path / 'inner'}", *(str(HERE / name) for name in AGAIN)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    tail = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("Fra:"))[-6000:]
    assert done.returncode == 0, f"{tail}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
