"""A take is a take: the command line's, the backend's and Blender's are read by one function and shown by Blender."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from ex4d_ground.takes import read_take_info


@pytest.mark.any_blender
def test_takes_of_the_command_line_a_backend_and_blender_are_one(ready, sources, address, project_python, tmp_path):
    from blender_addon.takes import listing, resume

    def ex4d(*arguments: object) -> None:
        command = [*project_python, "-m", "ex4d.cli.app", *(str(a) for a in arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    scene, shot = ready.context.scene, ready.context.scene.ex4d.shot
    ready.ops.ex4d.generate(engine="preview", seed=2)  # as the demo does
    (own,) = scene.ex4d.takes
    folder = listing.folder_of(own).parent
    source = ("--input_video", sources["video_path"], "--depth", sources["depth_path"], "--cam", "orbit_left")
    ex4d("preview", *source, "--seed", 3, "--output_dir", tmp_path / "local")
    ex4d("remote", "generate", *source, "--engine", "preview", "--seed", 4, "--backend", address,
         "--output_dir", tmp_path / "remote")  # fmt: skip
    for number, place in ((2, "local"), (3, "remote")):
        shutil.copytree(tmp_path / place / "take_001", folder / f"take_{number:03d}")

    infos = [read_take_info(folder / f"take_{n:03d}") for n in (1, 2, 3)]
    assert [info.seed for info in infos] == [2, 3, 4]
    for info in infos:
        assert info.engine == "preview" and info.preview and info.num_frames == shot.ex4d.num_frames
        assert info.camera is not None and len(info.camera.trajectory) == info.num_frames == len(info.coverage)
        assert info.rasterizer == "cpu" and info.metadata["versions"]["ex4d"]
    assert resume.find_unlisted(scene) == ["take_002", "take_003"]
    for take, info in zip(scene.ex4d.takes, infos, strict=True):
        assert (take.engine, take.seed, take.num_frames) == ("preview", info.seed, info.num_frames)
        assert np.isclose(take.coverage, info.mean_coverage, atol=1e-6) and not take.partial
        assert len(listing.frames_in(listing.folder_of(take))) == info.num_frames
        ready.ops.ex4d.show_take(index=list(scene.ex4d.takes).index(take))
        assert take.plane.material_slots[0].material is not None
