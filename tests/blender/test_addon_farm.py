"""The shot for a render farm: what a farm makes of it is what Blender's backend makes, and nothing is left out."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_addon_filmed_guides import filmed, rigged  # noqa: F401 - fixtures

RUN_S = 240


@pytest.fixture
def manager() -> Iterator[dict[str, Any]]:
    """What a Flamenco Manager was asked; ``etag`` and ``address`` are its own."""
    found: dict[str, Any] = {"etag": "e7", "jobs": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = self.path == "/api/v3/jobs/type/ex4d-run" and found["etag"]
            self._answer(200 if there else 404, {"etag": found["etag"]} if there else {"code": 404, "message": "no"})

        def do_POST(self) -> None:
            found["jobs"].append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state = {"id": "j1", "name": "n", "status": "queued", "steps_completed": 0, "steps_total": 2}
            self._answer(200, state)

        def _answer(self, code: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found["address"] = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(bpy: Any, path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values


def check_same(bpy: Any, project_python: list[str], shot: Path, take: Path) -> None:
    """What 'ex4d run' makes of a shot's folder has the pixels of a take that the backend made."""
    command = [*project_python, "-m", "ex4d", "run", str(shot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr
    pictures = sorted(path.name for path in take.glob("*.png"))
    assert pictures and pictures == sorted(path.name for path in (shot / "take_001").glob("*.png"))
    for each in pictures:
        assert np.array_equal(pixels(bpy, shot / "take_001" / each), pixels(bpy, take / each)), each


@pytest.mark.any_blender
def test_a_farm_makes_the_take_that_blender_makes(ready, project_python, tmp_path):
    props = ready.context.scene.ex4d
    props.engine, props.seed = "preview", 5
    ready.ops.ex4d.generate(engine="preview")
    farm = tmp_path / "farm"
    assert ready.ops.ex4d.write_farm_job(directory=str(farm), windows=2, gpu_gib=24) == {"FINISHED"}
    name = props.shot.name
    assert names(farm) == [name, f"{name}_openjd"]
    assert names(farm / name) == ["camera.npz", "shot.json"]
    step = json.loads((farm / f"{name}_openjd" / "template.json").read_text())["steps"][1]
    assert step["parameterSpace"]["taskParameterDefinitions"][0]["range"] == [name]
    assert step["hostRequirements"]["amounts"][1] == {"name": "amount.worker.gpu.memory", "min": 24 * 1024}
    check_same(ready, project_python, farm / name, Path(ready.path.abspath(props.takes[0].folder)))
    assert ready.ops.ex4d.write_farm_job(directory=str(farm)) == {"FINISHED"}
    assert f"{name}_2" in names(farm)  # nothing is replaced


@pytest.mark.any_blender
def test_the_camera_that_filmed_goes_along(connected, rigged, filmed, project_python, tmp_path):  # noqa: F811
    connected.context.scene.ex4d.engine = "preview"
    connected.ops.ex4d.follow_source()
    connected.ops.ex4d.generate(engine="preview")
    connected.ops.ex4d.write_farm_job(directory=str(tmp_path / "farm"))
    shot = tmp_path / "farm" / rigged.name
    assert names(shot) == ["camera.npz", "filmed_by.npz", "shot.json"]
    take = Path(connected.path.abspath(connected.context.scene.ex4d.takes[0].folder))
    check_same(connected, project_python, shot, take)


def test_what_a_farm_cannot_carry_is_refused_and_nothing_written(ready, tmp_path):
    bpy, farm = ready, tmp_path / "farm"
    bpy.ops.mesh.primitive_cube_add(size=0.1)
    bpy.context.object.ex4d.role = "HOLDOUT"
    with pytest.raises(RuntimeError, match="objects of yours, which a farm's job cannot carry"):
        bpy.ops.ex4d.write_farm_job(directory=str(farm))
    assert not farm.exists()


def test_a_shot_is_submitted_to_flamenco(ready, manager, tmp_path):
    preferences = ready.context.preferences.addons["blender_addon"].preferences
    with pytest.raises(RuntimeError, match="No Flamenco Manager is set"):
        ready.ops.ex4d.submit_to_flamenco(directory=str(tmp_path / "farm"))
    preferences.flamenco = manager["address"]
    assert ready.ops.ex4d.submit_to_flamenco(directory=str(tmp_path / "farm"), windows=2) == {"FINISHED"}
    (job,) = manager["jobs"]
    name = ready.context.scene.ex4d.shot.name
    settings = {"shots_folder": str(tmp_path / "farm"), "shots": name, "windows": 2, "command": "ex4d"}
    assert settings.items() <= job["settings"].items()
    assert (job["type"], job["type_etag"]) == ("ex4d-run", "e7")
    manager["etag"] = ""
    with pytest.raises(RuntimeError, match="no job type ex4d-run"):
        ready.ops.ex4d.submit_to_flamenco(directory=str(tmp_path / "farm"))
