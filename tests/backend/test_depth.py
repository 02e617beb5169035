"""Estimating depth on the backend: what comes back is the library's, and can be used without sending it again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, ended, until
from ex4d.depth import load_depth
from ex4d_backend.client_errors import for_client
from ex4d_ground.remedies import run_command
from ex4d_protocol.errors import JobCancelled, JobFailed
from ex4d_protocol.events import ItemReceived, JobChanged
from ex4d_protocol.requests import BlobRef, BuildMesh, ClipSpec, EstimateDepth, Media

TOOL = """
import json, sys, time
import numpy as np
request = json.load(open(sys.argv[2]))
n, h, w = (request[k] for k in ("num_frames", "height", "width"))
for i in range(int(sys.argv[4]) * 10):
    print("progress", i, int(sys.argv[4]) * 10, flush=True)
    time.sleep(0.1)
depth = 2 + np.arange(n)[:, None, None] * 0.01 + np.linspace(0, 1, h)[:, None] + np.linspace(0, 1, w)
np.savez(sys.argv[3], depth=depth.astype(np.float32), meaning="metric", intrinsics=[40.0, 40.0, w / 2, h / 2])
"""
CONFIG = """
[[estimator]]
name = "{name}"
command = ["{python}", "{script}", "{{frames}}", "{{request}}", "{{output}}", "{seconds}"]
meaning = "metric"
licence = "test licence"
research_only = true
gives_intrinsics = true
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, make_module_backend):
    folder = tmp_path_factory.mktemp("depth")
    (folder / "tool.py").write_text(TOOL)
    tools = (("ramp", 0), ("slow", 600))
    tables = [CONFIG.format(name=n, python=sys.executable, script=folder / "tool.py", seconds=s) for n, s in tools]
    late = folder / "late-program"
    tables.append(CONFIG.format(name="late", python=late, script="late", seconds=0))
    (folder / "depth.toml").write_text("".join(tables))
    environment = {"EX4D_DEPTH_CONFIG": str(folder / "depth.toml"), "EX4D_WEIGHTS": str(folder / "weights")}
    environment["EX4D_BACKEND_CANCEL_GRACE_S"] = "600"  # no worker is killed because a cancel takes long
    return make_module_backend(environment=environment)


@pytest.fixture
def video(server, connect, clip_files):
    client = connect(server)
    ref = client.wait_uploaded(client.upload(clip_files[0]), 120).ref
    return client, Media(kind="video", blobs=(ref,))


def items_of(client, request, timeout_s=180):
    items = {}

    def keep(event):
        if isinstance(event, ItemReceived):
            items[event.name, event.frame] = event

    client.wait_job(client.submit(request), timeout_s, on_event=keep)
    return items


def test_estimators_are_advertised_with_licence_and_the_command_that_installs_them(server, connect):
    client = connect(server)
    until(lambda: client.poll() is not None and client.capabilities.estimators)
    known = {e.name: e for e in client.capabilities.estimators}
    assert client.capabilities.estimators[0].name == "depth-anything-v2"
    assert known["ramp"].available
    assert known["ramp"].research_only
    assert "RESEARCH ONLY" in known["ramp"].licence_text
    missing = known["depth-pro"]
    assert not missing.available
    assert missing.remedy.cli.startswith("run: ")
    assert not any(s.name.endswith("_dir") for e in known.values() for s in e.settings)
    assert client.capabilities.licences["depth ramp"] == known["ramp"].licence_text


def test_estimated_depth_builds_a_mesh_without_being_sent(server, video, tmp_path):
    client, media = video
    items = items_of(client, EstimateDepth(video=media, estimator="ramp", name="shot"))
    info = items["depth_info", -1].json()
    assert (info["num_frames"], info["height"], info["width"], info["unit"]) == (FRAMES, HEIGHT, WIDTH, "metres")
    assert (info["estimator"], info["research_only"], info["name"]) == ("ramp", True, "shot")
    assert "test licence" in info["licence"]
    assert info["intrinsics"][0] == pytest.approx(40.0)
    assert info["intrinsics_source"]
    assert {"flicker_before", "flicker_after"} <= set(info)
    assert any("test licence" in warning for warning in info["warnings"])
    ref = BlobRef(sha256=info["depth"]["sha256"], size=info["depth"]["size"], name=info["depth"]["name"])
    stored = server.data_dir / "blobs" / ref.sha256[:2] / ref.sha256
    depth = load_depth(stored).depth
    for t in range(FRAMES):
        np.testing.assert_array_equal(items["depth", t].array(), depth[t])

    clip = ClipSpec(video=media, depth=Media(kind=info["depth"]["kind"], blobs=(ref,)))
    mesh = items_of(client, BuildMesh(clip=clip))
    facts = mesh["clip_info", -1].json()
    assert facts["depth_source"] == "ramp"
    assert facts["intrinsics"] == info["intrinsics"]
    z = mesh["vertices", 0].array().reshape(HEIGHT, WIDTH, 3)[1:-1, 1:-1, 2]
    np.testing.assert_allclose(z, depth[0, 1:-1, 1:-1], rtol=1e-6)


def test_estimating_stops_by_itself_when_cancelled_and_frees_the_worker(server, video):
    client, media = video
    job = client.submit(EstimateDepth(video=media, estimator="slow"))
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.job_id == job and e.state.stage == "depth: estimate", 120)
    (worker,) = server.workers()
    client.cancel(job)
    with pytest.raises(JobCancelled):
        client.wait_job(job, 120)  # the program itself would run for ten minutes
    assert [w.pid for w in server.workers()] == [worker.pid]
    until(lambda: not worker.children(recursive=True))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes a worker left behind")
def test_a_killed_worker_takes_the_program_it_ran_with_it(server, video):
    client, media = video
    job = client.submit(EstimateDepth(video=media, estimator="slow"))
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.job_id == job and e.state.stage == "depth: estimate", 120)
    (worker,) = server.workers()

    def programs():
        """What the worker runs, once the program itself is there."""
        ran = worker.children(recursive=True)
        return ran if any("tool.py" in " ".join(p.cmdline()[:3]) for p in ran if not ended(p)) else []

    until(programs)
    ran = programs()
    worker.kill()
    with pytest.raises(JobFailed, match="The worker process was killed from outside"):
        client.wait_job(job, 120)
    until(lambda: all(ended(p) for p in ran))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"estimator": "nowhere"}, "no depth estimator 'nowhere'"),
        ({"estimator": "depth-anything-v2", "settings": {"model_dir": "/etc"}}, "cannot be set by a client"),
        ({"estimator": "ramp", "settings": {"colour": 3}}, "no setting 'colour'"),
        ({"estimator": "ramp", "fov_deg": 50.0, "focal_px": 40.0}, "exclude each other"),
        ({"estimator": "depth-anything-v2"}, "is not complete"),
    ],
)
def test_what_cannot_be_estimated_is_said_in_one_sentence(video, change, why):
    client, media = video
    with pytest.raises(JobFailed, match=why):
        client.wait_job(client.submit(EstimateDepth(video=media, **change)), 120)


def test_a_command_for_this_machine_stays_whole_and_is_hidden_from_others():
    remedy = run_command("fetch it --to '/home/me/weights'")
    assert for_client(remedy, same_machine=True) == remedy
    assert for_client(remedy, same_machine=False) == run_command("fetch it --to 'weights'")
    assert for_client(None, same_machine=False) is None


def test_an_estimator_that_is_installed_meanwhile_is_noticed_without_a_restart(server, connect):
    client = connect(server)

    def late():
        client.poll(0.02)
        return next((e for e in client.capabilities.estimators if e.name == "late"), None)

    until(lambda: late() is not None)
    assert not late().available
    program = Path(server.environment["EX4D_DEPTH_CONFIG"]).parent / "late-program"
    program.write_text("")
    program.chmod(0o755)
    until(lambda: late().available, 120)


@pytest.mark.slow
def test_a_real_model_estimates(make_backend, connect, clip_files, tmp_path):
    pytest.importorskip("transformers")
    from depth import tiny_models

    (tmp_path / "weights").mkdir()
    tiny_models.depth_anything(tmp_path / "weights" / "Depth-Anything-V2-Small-hf")
    backend = make_backend(environment={"EX4D_WEIGHTS": str(tmp_path / "weights")}).start()
    client = connect(backend)
    ref = client.wait_uploaded(client.upload(clip_files[0]), 120).ref
    video = Media(kind="video", blobs=(ref,))
    items = items_of(client, EstimateDepth(video=video, settings={"model_input": 28, "device": "cpu"}), 120)
    info = items["depth_info", -1].json()
    assert (info["estimator"], info["unit"]) == ("depth-anything-v2", "scene units")
    assert len(items) == FRAMES + 1
    assert all((items["depth", t].array() > 0).all() for t in range(FRAMES))
