"""``ex4d jobs``, ``ex4d keys`` and ``ex4d remote`` against a real server, through the same entry as the script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import cv2
import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, long_job
from ex4d.cli.app import main
from ex4d_protocol import messages as m
from ex4d_protocol.events import JobChanged

CLIENT_ID = "command-line-tests"


@pytest.fixture
def ex4d(capfd, monkeypatch, backend, tmp_path) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("EX4D_BACKEND", backend.address)
    monkeypatch.setenv("EX4D_CLIENT_ID", CLIENT_ID)

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def owner(backend, connect):
    return connect(backend, client_id=CLIENT_ID)


def test_the_commands_are_attached_and_the_library_does_not_import_them():
    assert {"jobs", "keys", "remote"} <= {point.name for point in entry_points(group="ex4d.commands")}
    code = "import sys, ex4d.cli.app; print([m for m in sys.modules if m.startswith(('zmq', 'ex4d_'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_help_names_every_command(ex4d):
    code, out, _ = ex4d("--help")
    assert code == 0 and all(name in out for name in ("recon", "jobs", "keys", "remote"))
    for group, commands in {
        "jobs": ("list", "show", "cancel", "logs"),
        "keys": ("new", "list", "revoke"),
        "remote": ("status", "guides", "generate", "fetch"),
    }.items():
        code, out, _ = ex4d(group, "--help")
        assert code == 0 and all(name in out for name in commands)


def test_a_shot_is_run_remotely_and_its_results_become_files(ex4d, clip_files, tmp_path):
    video, depth = clip_files
    source = ("--input_video", video, "--depth", depth, "--cam", "orbit_left", "--amount", 5)
    code, _, err = ex4d("remote", "generate", *source, "--engine", "preview", "--output-dir", tmp_path / "take")
    assert code == 0, err
    names = sorted(p.name for p in (tmp_path / "take").iterdir())
    assert names == ["coverage.npy", *(f"frame_{i + 1:04d}.png" for i in range(FRAMES)), "take.json"]
    assert cv2.imread(str(tmp_path / "take" / "frame_0001.png")).shape == (HEIGHT, WIDTH, 3)
    take = json.loads((tmp_path / "take" / "take.json").read_text())
    assert take["engine"] == "preview" and len(np.load(tmp_path / "take" / "coverage.npy")) == FRAMES

    code, out, _ = ex4d("remote", "guides", *source, "--output_dir", tmp_path / "guides", "--detach")
    job = out.strip()
    assert code == 0 and len(job) == 32
    code, _, err = ex4d("remote", "fetch", job[:10], "--output_dir", tmp_path / "guides")
    assert code == 0, err
    assert len(list((tmp_path / "guides").glob("colour_*.png"))) == FRAMES
    code, out, _ = ex4d("jobs", "list", "--unacknowledged")
    assert code == 0 and job[:12] not in out
    code, out, _ = ex4d("jobs", "logs", job)
    assert code == 0 and "done" in out


def test_jobs_are_listed_shown_and_cancelled(ex4d, owner, send_clip):
    job = owner.submit(long_job(send_clip(owner)), fetch=False, title="a long one")
    owner.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running" and e.state.share > 0, 30)
    code, out, _ = ex4d("jobs", "list")
    line = next(line for line in out.splitlines() if line.startswith(job[:12]))
    assert code == 0 and "running" in line and line.endswith("a long one")
    code, out, _ = ex4d("jobs", "show", job[:8], "--json")
    assert code == 0 and json.loads(out)["job_id"] == job
    code, out, _ = ex4d("jobs", "cancel", job)
    assert code == 0 and out == f"Job {job} is cancelled.\n"
    code, out, _ = ex4d("jobs", "cancel", job)
    assert code == 0 and "had ended already" in out


def test_who_runs_the_backend_sees_and_cancels_everyones_jobs(ex4d, backend, connect, send_clip, tmp_path):
    artist = connect(backend, client_id="artist-somewhere")
    job = artist.submit(long_job(send_clip(artist)), fetch=False, title="the artist's")
    artist.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running", 30)
    assert job[:12] not in ex4d("jobs", "list")[1]
    assert ex4d("jobs", "cancel", job)[0] == 2, "another client may not"
    everyone = ("--all", "--data-dir", backend.data_dir)
    code, out, _ = ex4d("jobs", "list", *everyone)
    line = next(line for line in out.splitlines() if line.startswith(job[:12]))
    assert code == 0 and "artist-somew" in line and line.endswith("the artist's")
    code, out, _ = ex4d("jobs", "show", job[:12], "--json", *everyone)
    assert code == 0 and json.loads(out)["owner"] == "artist-somewhere"
    assert ex4d("jobs", "logs", job, *everyone)[0] == 0
    code, out, _ = ex4d("jobs", "cancel", job, *everyone)
    assert code == 0 and out == f"Job {job} is cancelled.\n"
    assert artist.ask(m.GetJob(job_id=job)).owner == "", "only operators are told"


def test_only_the_data_folders_secret_makes_an_operator(ex4d, backend, tmp_path):
    secret = backend.data_dir / "operator.secret"
    assert secret.stat().st_mode & 0o077 == 0
    (tmp_path / "operator.secret").write_text("guessed\n")
    code, _, err = ex4d("jobs", "list", "--all", "--data-dir", tmp_path)
    assert code == 1 and "not the backend whose data folder that is" in err
    assert secret.read_text().strip() not in backend.output()


def test_status_says_what_the_backend_can_do(ex4d):
    code, out, _ = ex4d("remote", "status")
    assert code == 0 and "EX-4D backend" in out and "device:" in out and "queue: 0 waiting" in out
    code, out, _ = ex4d("remote", "status", "--json")
    assert code == 0 and json.loads(out)["health"]["devices"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("jobs", "show", "nonesuch"), 2, "No job seen here begins with 'nonesuch'"),
        (("jobs", "list", "--backend", "tcp://127.0.0.1:1"), 1, "Start one with: ex4d-backend"),
        (("jobs", "list", "--backend", "nonsense"), 2, "An address looks like tcp://"),
        (("jobs", "list", "--keys", "/nonesuch.toml"), 2, "Cannot read the keys"),
        (("jobs", "list", "--all", "--data-dir", "DATA"), 2, "name its data folder with --data-dir"),
        (("keys", "new", "../up", "--data-dir", "DATA"), 2, "A key's name has letters"),
    ],
)
def test_a_mistake_is_one_sentence(ex4d, tmp_path, arguments, code, sentence):
    got, _, err = ex4d(*(str(tmp_path) if a == "DATA" else a for a in arguments))
    assert got == code, err
    assert sentence in err and err.strip().count("\n") == 0


def test_a_failed_job_and_a_bad_setting_leave_no_folder(ex4d, clip_files, tmp_path):
    video, depth = clip_files
    source = ("--input_video", video, "--depth", depth, "--cam", "30", "--output_dir", tmp_path / "out")
    code, _, err = ex4d("remote", "generate", *source, "--engine", "preview", "--set", "nonesuch=1")
    assert code == 1 and "The job failed: The preview engine has no setting" in err
    code, _, err = ex4d("remote", "generate", *source, "--engine", "preview", "--set", "nonsense")
    assert code == 2 and "NAME=VALUE" in err
    assert not (tmp_path / "out").exists()


def test_keys_are_made_listed_and_revoked(ex4d, tmp_path):
    code, out, _ = ex4d("keys", "new", "alice", "--data-dir", tmp_path)
    assert code == 0 and out.count("'") == 6
    assert ex4d("keys", "list", "--data-dir", tmp_path)[1] == "alice\n"
    assert ex4d("keys", "revoke", "alice", "--data-dir", tmp_path)[0] == 0
    assert ex4d("keys", "list", "--data-dir", tmp_path)[1] == ""
