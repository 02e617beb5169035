"""``ex4d jobs``, ``ex4d keys`` and ``ex4d remote`` against a real server, through the same entry as the script."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

import cv2
import msgspec
import numpy as np
import pytest
import zmq

from backend.conftest import FRAMES, HEIGHT, WIDTH, long_job, until
from backend.test_depth import CONFIG, TOOL
from ex4d.cli.app import main
from ex4d.eval.filmed import film
from ex4d.takes import read_take
from ex4d_ground.remedies import Remedy
from ex4d_ground.takes import read_take_info
from ex4d_protocol import framing
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
    others = ("zmq", "ex4d_backend", "ex4d_protocol")
    code = f"import sys, ex4d.cli.app; print([m for m in sys.modules if m.startswith({others})])"
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
    assert sorted(p.name for p in (tmp_path / "take").iterdir()) == ["take_001", "take_001.mp4"]
    names = sorted(p.name for p in (tmp_path / "take" / "take_001").iterdir())
    assert names == [*(f"frame_{i + 1:04d}.png" for i in range(FRAMES)), "take.json"]
    assert cv2.imread(str(tmp_path / "take" / "take_001" / "frame_0001.png")).shape == (HEIGHT, WIDTH, 3)
    take = json.loads((tmp_path / "take" / "take_001" / "take.json").read_text())
    assert take["engine"] == "preview" and len(take["coverage"]) == FRAMES

    read = read_take(tmp_path / "take" / "take_001")
    assert read.frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and read.trajectory.name == "orbit_left"
    assert (read.coverage > 0).all() and read.details.rasterizer == "cpu"
    here = (*source, "--output_dir", tmp_path / "take", "--seed", 0)
    assert ex4d("preview", *here)[0] == 0
    local = read_take(tmp_path / "take" / "take_002")
    np.testing.assert_array_equal(local.frames, read.frames)
    assert local.details.rasterizer == "cpu"
    assert ex4d("remote", "generate", *here, "--engine", "preview")[0] == 0
    assert sorted(p.name for p in (tmp_path / "take").glob("*_00?")) == ["take_001", "take_002", "take_003"]

    code, out, _ = ex4d("remote", "guides", *source, "--output_dir", tmp_path / "guides", "--detach")
    job = out.strip()
    assert code == 0 and len(job) == 32
    code, _, err = ex4d("remote", "fetch", job[:10], "--output_dir", tmp_path / "guides")
    assert code == 0, err
    assert len(list((tmp_path / "guides").glob("colour_*.png"))) == FRAMES
    assert ex4d("remote", "guides", *source, "--num_frames", 2, "--output_dir", tmp_path / "guides")[0] == 0
    assert len(list((tmp_path / "guides").glob("colour_*.png"))) == FRAMES  # two results never mix
    assert len(list((tmp_path / "guides" / "results").glob("colour_*.png"))) == 2
    code, out, _ = ex4d("jobs", "list", "--unacknowledged")
    assert code == 0 and job[:12] not in out
    code, out, _ = ex4d("jobs", "logs", job)
    assert code == 0 and "done" in out


def test_a_stereo_take_is_made_remotely_as_it_is_made_here(ex4d, clip_files, tmp_path):
    video, depth = clip_files
    both = ("--input_video", video, "--depth", depth, "--cam", "zoom_in", "--engine", "preview", "--stereo", "auto")
    code, _, err = ex4d("remote", "generate", *both, "--output_dir", tmp_path / "there")
    assert code == 0, err
    assert "Eyes: " in err and "of the width" in err
    assert ex4d("run", *both, "--output_dir", tmp_path / "here")[0] == 0
    there, here = (tmp_path / each / "take_001" for each in ("there", "here"))
    assert read_take_info(there).eyes == read_take_info(here).eyes is not None
    for i in range(FRAMES):
        for eye in ("", "right"):
            pictures = [cv2.imread(str(each / eye / f"frame_{i + 1:04d}.png")) for each in (there, here)]
            np.testing.assert_array_equal(*pictures)
    code, _, err = ex4d("remote", "generate", *both[:-2], "--convergence", 3, "--output_dir", tmp_path / "one")
    assert code == 2 and "--stereo" in err and not (tmp_path / "one").exists()


def guides_of(folder) -> np.ndarray:  # [N, H, W, 4]
    colours, masks = (sorted(folder.glob(f"{name}_0*.png")) for name in ("colour", "mask"))
    pairs = zip(colours, masks, strict=True)
    return np.stack([np.dstack((cv2.imread(str(c))[..., ::-1], cv2.imread(str(m), 0))) for c, m in pairs])


@pytest.mark.parametrize(
    "options",
    [
        ("--parity",),
        ("--mode", "solid", "--thickness", "8%", "--fov", "50"),
        ("--thickness_map", "MAP", "--num_frames", 4),
        ("--thickness_map", "EVERY", "--other_frames", "--rasterizer", "cpu"),
    ],
)
def test_the_backends_guides_are_those_of_this_machine_whatever_is_asked(ex4d, clip_files, tmp_path, options):
    video, depth = clip_files
    painted = np.full((FRAMES, HEIGHT, WIDTH), np.nan, np.float32)
    painted[:, 10:30] = np.linspace(0.02, 1.5, FRAMES)[:, None, None]
    np.save(tmp_path / "map.npy", painted)
    np.save(tmp_path / "every.npy", painted[1])
    named = {"MAP": tmp_path / "map.npy", "EVERY": tmp_path / "every.npy"}
    shot = ("--input_video", video, "--depth", depth, "--cam", "60", *(named.get(str(o), o) for o in options))
    assert ex4d("recon", *shot, "--output_dir", tmp_path / "here", "--lossless")[0] == 0
    code, _, err = ex4d("remote", "guides", *shot, "--output_dir", tmp_path / "there")
    assert code == 0, err
    with np.load(tmp_path / "here" / "guides_60.npz") as here:
        np.testing.assert_array_equal(guides_of(tmp_path / "there"), here["rgba"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--depth", "DEPTH", "--source_matte", "CAMERA"), "--source_matte is for --source_camera estimate"),
        (("--parity",), "--parity does not reach depth that a backend estimates; estimate it first"),
        (("--border_depth", 20), "--border_depth 20 does not reach depth"),
        (("--depth", "DEPTH", "--mode", "hollow"), "Occluder mode must be 'endless' or 'solid'"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name_before_anything_is(ex4d, clip_files, tmp_path, options, sentence):
    video, depth = clip_files
    named = {"DEPTH": depth, "CAMERA": video}
    shot = ("--input_video", video, "--cam", "60", *(named.get(str(o), o) for o in options))
    code, _, err = ex4d("remote", "guides", *shot, "--output_dir", tmp_path / "out", "--backend", "tcp://127.0.0.1:1")
    assert code == 2 and sentence in err
    assert not (tmp_path / "out").exists()


def test_depth_that_is_not_given_is_estimated_on_the_backend(
    ex4d, clip_files, tmp_path, make_module_backend, monkeypatch
):
    (tmp_path / "tool.py").write_text(TOOL)
    command = CONFIG.format(name="ramp", python=sys.executable, script=tmp_path / "tool.py", seconds=0)
    (tmp_path / "depth.toml").write_text(command)
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(tmp_path / "depth.toml"))
    server = make_module_backend(environment={"EX4D_DEPTH_CONFIG": str(tmp_path / "depth.toml")})
    shot = ("--input_video", clip_files[0], "--cam", "orbit_left", "--estimator", "ramp")
    kept = ("--save_depth", tmp_path / "kept.npz")
    where = ("--output_dir", tmp_path / "there", "--backend", server.address)
    code, _, err = ex4d("remote", "guides", *shot, *kept, *where)
    assert code == 0, err
    assert "test licence - RESEARCH ONLY" in err and "Kept the depth" in err
    shot = ("--input_video", clip_files[0], "--cam", "orbit_left", "--depth", tmp_path / "kept.npz")
    assert ex4d("recon", *shot, "--output_dir", tmp_path / "here", "--lossless")[0] == 0
    with np.load(tmp_path / "here" / "guides_orbit_left.npz") as here:
        np.testing.assert_array_equal(guides_of(tmp_path / "there"), here["rgba"])


def room_on_disk(folder, move: str) -> tuple[object, ...]:
    """A filmed room's pictures and depth as files, as options."""
    room = film(move, seed=6, width=256, height=192, frames=8).clip
    (folder / move).mkdir()
    for i, frame in enumerate(np.asarray(room.frames)):
        cv2.imwrite(str(folder / move / f"f_{i:03d}.png"), frame[..., ::-1])
    np.save(folder / f"{move}.npy", np.asarray(room.depth))
    where = ("--input_video", folder / move, "--depth", folder / f"{move}.npy")
    return (*where, "--focal", room.intrinsics.fx, "--cam", "static", "--source_camera", "estimate")


@pytest.mark.slow
def test_the_filming_camera_is_estimated_by_the_backend_as_it_would_be_here(ex4d, tmp_path, monkeypatch):
    shot = room_on_disk(tmp_path, "handheld")
    assert ex4d("recon", *shot, "--output_dir", tmp_path / "here", "--lossless")[0] == 0
    moving = room_on_disk(tmp_path, "follow")
    with monkeypatch.context() as away:
        away.setattr("ex4d.shots.filming.solve_camera", None)  # nothing is solved on this machine
        code, _, err = ex4d("remote", "guides", *shot, "--output_dir", tmp_path / "there")
        assert code == 0, err
        assert "The filming camera was estimated: " in err and "points were followed" in err
        code, _, err = ex4d("remote", "guides", *moving, "--output_dir", tmp_path / "none")
        assert code == 2 and "% of the frame moves by itself" in err and "give a camera" in err
        assert not (tmp_path / "none").exists()
    with np.load(tmp_path / "here" / "guides_static.npz") as here:
        np.testing.assert_array_equal(guides_of(tmp_path / "there"), here["rgba"])
    listed = json.loads(ex4d("jobs", "list", "--json")[1])
    assert [job["kind"] for job in listed if job["title"] == "Camera of handheld"] == ["SolveCamera"]


def test_jobs_are_listed_shown_and_cancelled(ex4d, backend, owner, send_clip):
    job = owner.submit(long_job(send_clip(owner)), fetch=False, title="a long one")
    owner.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running" and e.state.share > 0, 120)
    with backend.held():
        code, out, _ = ex4d("jobs", "list")
        line = next(line for line in out.splitlines() if line.startswith(job[:12]))
        assert code == 0 and "running" in line and line.endswith("a long one")
        code, out, _ = ex4d("jobs", "show", job[:8], "--json")
        assert code == 0 and json.loads(out)["job_id"] == job
    code, out, _ = ex4d("jobs", "cancel", job)
    assert code == 0 and out == f"Job {job} is cancelled.\n"
    code, out, _ = ex4d("jobs", "cancel", job)
    assert code == 0 and "had ended already" in out


def test_a_title_commands_no_terminal_and_forges_no_line(ex4d, owner, send_clip):
    title = "\x1b]0;taken over\x07\x1b[2J\r\nJOB FAKE done\u202e"
    job = owner.submit(long_job(send_clip(owner), 2), title=title)
    owner.wait_job(job, 120)
    for command in (("list",), ("show", job), ("logs", job)):
        code, out, _ = ex4d("jobs", *command)
        assert code == 0 and not set("\x1b\x07\r\u202e") & set(out), command
        assert not any(line.startswith("JOB FAKE") for line in out.splitlines())
    assert json.loads(ex4d("jobs", "show", job, "--json")[1])["title"] == title


@contextmanager
def saying(welcome: m.Welcome, told: dict[str, msgspec.Struct]) -> Iterator[str]:
    """The address of a backend that answers each kind of question with what it was told, whatever that is."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as control, context.socket(zmq.ROUTER) as data:
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (control, data)]
        told = {"Hello": msgspec.structs.replace(welcome, data_port=ports[1]), "Attach": m.Attached(), **told}
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                for socket in (control, data):
                    while socket.poll(5):
                        identity, *frames = socket.recv_multipart()
                        header = framing.header_of(frames)
                        reply = told.get(header.type, m.Pong())
                        socket.send_multipart([identity, *framing.encode(reply, reply_to=header.id)])

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{ports[0]}"
        finally:
            ended.set()
            thread.join()
            for socket in (control, data):
                socket.setsockopt(zmq.LINGER, 0)


def test_a_backend_commands_no_terminal_whatever_it_says(ex4d, backend):
    """A backend is somebody else's machine: what it answers is words, in errors too."""
    evil = "\x1b]0;taken over\x07\x1b[2J\r\nFORGED line\u202e"
    welcome = m.Welcome(session="s", data_port=1, server_id="s", minor=1, versions={"ex4d": evil[:20]})
    remedy = Remedy(action="", cli=evil, panel=evil)
    device = m.DeviceSpec(name=evil, kind="cpu", memory_bytes=1, worker="idle")
    told = {
        "GetHealth": m.Health(devices=(device,)),
        "ListJobs": m.ErrorReply(code="bad_request", message=evil, detail=evil, remedy=remedy),
    }
    with saying(welcome, told) as address:
        for command in (("remote", "status"), ("jobs", "list")):
            _, out, err = ex4d(*command, "--backend", address)
            assert "taken over" in out + err and not set("\x1b\x07\r\u202e") & set(out + err), command
            assert not any(line.startswith("FORGED") for line in (out + err).splitlines())


def test_who_runs_the_backend_sees_and_cancels_everyones_jobs(ex4d, backend, connect, send_clip, tmp_path):
    artist = connect(backend, client_id="artist-somewhere")
    job = artist.submit(long_job(send_clip(artist)), fetch=False, title="the artist's")
    artist.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running", 120)
    everyone = ("--all", "--data-dir", backend.data_dir)
    with backend.held():
        assert job[:12] not in ex4d("jobs", "list")[1]
        assert ex4d("jobs", "cancel", job)[0] == 2, "another client may not"
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
    until(lambda: "queue: 0 waiting" in ex4d("remote", "status")[1])  # another test's cancelled job may still be there
    code, out, _ = ex4d("remote", "status")
    assert code == 0 and "EX-4D backend" in out and "device:" in out and "queue: 0 waiting" in out
    code, out, _ = ex4d("remote", "status", "--json")
    assert code == 0 and json.loads(out)["health"]["devices"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("jobs", "show", "nonesuch"), 2, "No job seen here begins with 'nonesuch'"),
        (("jobs", "list", "--backend", "tcp://127.0.0.1:1"), 1, "start one with 'ex4d-backend' or check the address"),
        (("jobs", "list", "--backend", "nonsense"), 2, "An address looks like tcp://"),
        (("jobs", "list", "--keys", "/nonesuch.toml"), 2, "The key file /nonesuch.toml cannot be read"),
        (("jobs", "list", "--all", "--data-dir", "DATA"), 2, "name its data folder with --data-dir"),
        (("keys", "new", "../up", "--data-dir", "DATA"), 2, "A key's name has letters"),
    ],
)
def test_a_mistake_is_one_sentence(ex4d, tmp_path, arguments, code, sentence):
    got, _, err = ex4d(*(str(tmp_path) if a == "DATA" else a for a in arguments))
    assert got == code, err
    assert sentence in err and err.strip().count("\n") == 0


def test_what_a_backend_lacks_is_refused_before_anything_is_sent(ex4d, clip_files, tmp_path):
    video, depth = clip_files
    source = ("--input_video", video, "--depth", depth, "--cam", "30", "--output_dir", tmp_path / "out")
    code, _, err = ex4d("remote", "generate", *source, "--engine", "preview", "--set", "nonesuch=1")
    assert code == 2 and "The preview engine has no setting" in err and "upload" not in err.lower()
    code, _, err = ex4d("remote", "generate", *source, "--engine", "wna")
    assert code == 2 and "The backend has no engine 'wna'; it has: " in err and "upload" not in err.lower()
    code, _, err = ex4d("remote", "generate", *source, "--engine", "wan")
    assert code == 5 and "The backend cannot run wan" in err and "upload" not in err.lower()
    assert "\n" not in err.strip()
    code, _, err = ex4d("remote", "generate", *source, "--engine", "preview", "--set", "nonsense")
    assert code == 2 and "NAME=VALUE" in err
    assert not (tmp_path / "out").exists()


def test_keys_are_made_listed_and_revoked(ex4d, tmp_path):
    code, out, _ = ex4d("keys", "new", "alice", "--data-dir", tmp_path)
    assert code == 0 and out.count("'") == 6
    assert ex4d("keys", "list", "--data-dir", tmp_path)[1] == "alice\n"
    assert ex4d("keys", "revoke", "alice", "--data-dir", tmp_path)[0] == 0
    assert ex4d("keys", "list", "--data-dir", tmp_path)[1] == ""
