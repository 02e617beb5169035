"""Where the focal length came from is part of the .blend."""

from __future__ import annotations

from typing import Any


def test_the_saved_file_says_where_the_focal_length_came_from(blender: Any, shot: Any, tmp_path: Any) -> None:
    assert shot.ex4d.intrinsics_source == "given"  # as the backend told it when the clip was imported
    shot.ex4d.intrinsics_source = "metadata: 26 mm (35 mm equivalent, QuickTime)"
    name, path = shot.name, str(tmp_path / "kept.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.open_mainfile(filepath=path)
    kept = blender.data.objects[name].ex4d
    assert kept.intrinsics_source == "metadata: 26 mm (35 mm equivalent, QuickTime)"
