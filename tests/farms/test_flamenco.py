"""Flamenco's job type in a JavaScript engine, and the requests to a Manager; the Manager is a small one of our own."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from flamenco_manager import FlamencoManager, JobType
from py_mini_racer import JSEvalException

from ex4d.cli.app import main
from ex4d_ground.errors import FarmError, InputError
from ex4d_ground.farms import FarmJob
from ex4d_ground.flamenco import Manager, job_type_source, submission

TYPES, SUBTYPES = {"string", "int32", "float", "bool"}, {"file_path", "dir_path", "file_name", "hashed_file_path"}
KEYS = {"key", "type", "subtype", "choices", "propargs", "description", "label", "default", "eval", "evalInfo"}
KEYS |= {"visible", "required", "editable"}
"""Of a setting, by the schema AvailableJobSetting of Flamenco's OpenAPI description."""


@pytest.fixture
def manager() -> Iterator[FlamencoManager]:
    there = FlamencoManager(job_type_source())
    yield there
    there.close()


@pytest.fixture(scope="module")
def job_type() -> JobType:
    return JobType(job_type_source())


def compiled(job_type: JobType, **settings: object) -> list[dict]:
    return job_type.compile({"name": "n", "settings": {"shots_folder": "/show/shots", "shots": "010", **settings}})


def test_its_settings_are_those_that_blender_can_show(job_type: JobType) -> None:
    settings = job_type.info["settings"]
    for setting in settings:
        assert set(setting) <= KEYS and setting["type"] in TYPES
        assert setting.get("subtype", "file_path") in SUBTYPES
        assert setting["visible"] in ("visible", "hidden", "submission", "web")
        assert setting["label"] and setting["description"]
        kinds = {"string": str, "int32": int}
        assert isinstance(setting.get("default", kinds[setting["type"]]()), kinds[setting["type"]])
    sent = submission(FarmJob(Path("/s"), ("010",)), etag="e")["settings"]
    assert {setting["key"] for setting in settings} == set(sent)


def test_blender_fills_in_the_shots_of_the_folder(job_type: JobType, shots: Path) -> None:
    (shots / "notes").mkdir()
    expression = next(each["eval"] for each in job_type.info["settings"] if each["key"] == "shots")
    names = {"Path": Path, "abspath": Path, "settings": SimpleNamespace(shots_folder=str(shots))}
    assert eval(expression, names) == "010, 020, sh 030"  # noqa: S307 - as Blender does


def test_a_shot_is_a_task_and_its_windows_are_a_chain(job_type: JobType) -> None:
    tasks = compiled(job_type, shots="010, sh 020\n030", options="--seed 3 --name '{shot} x'")
    assert [task["name"] for task in tasks] == ["010", "sh 020", "030"]
    command = {"exe": "ex4d", "args": ["run", "/show/shots/sh 020", "--seed", "3", "--name", "{shot} x"]}
    assert tasks[1]["commands"] == [{"name": "exec", "parameters": command}]
    assert [task["type"] for task in compiled(job_type, task_type="gpu")] == ["gpu"]
    chain = compiled(job_type, shots="010, 020", windows=3, command="{ex4d}")
    assert [task["name"] for task in chain[:3]] == ["010 window 1", "010 window 2", "010"]
    assert [task["dependencies"] for task in chain[:4]] == [[], ["010 window 1"], ["010 window 2"], []]
    assert [task["commands"][0]["parameters"]["args"][2:] for task in chain[:3]] == [
        ["--windows", "1"],
        ["--windows", "2"],
        [],
    ]


@pytest.mark.parametrize(
    ("shots", "says"),
    [(" , ", "No shots are named"), ("../x", "no name of a shot"), ("a\\b", "no name"), ("1,1", "named twice")],
)
def test_shots_that_are_none_are_refused_at_the_submission(job_type: JobType, shots: str, says: str) -> None:
    with pytest.raises(JSEvalException, match=says):
        compiled(job_type, shots=shots)


def test_shots_are_submitted_watched_and_made(
    shots: Path, command: Path, manager: FlamencoManager, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(shots / "020")
    arguments = ["farm", "flamenco", str(shots), "--manager", manager.address, "--command", str(command)]
    assert main([*arguments, "--option=--num_frames=2"]) == 0
    job_id = capsys.readouterr().out.strip()
    manager.work(job_id)
    assert main(["farm", "watch", job_id, "--manager", manager.address]) == 0
    assert "2 of 2 tasks, completed" in capsys.readouterr().err
    assert [len(list(shots.glob(f"{name}/take_001/*.png"))) for name in ("010", "sh 030")] == [2, 2]


def test_a_failed_and_a_cancelled_job_say_so(
    shots: Path, manager: FlamencoManager, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--manager", manager.address]
    assert main(["farm", "flamenco", str(shots), *where, "--command", "false"]) == 0
    first = capsys.readouterr().out.strip()
    manager.work(first)
    assert main(["farm", "watch", first, *where]) == 1
    assert f"The job {first} is failed: task 010 failed" in capsys.readouterr().err
    there = Manager(manager.address)
    second = there.submit(submission(FarmJob.of(shots), etag=there.etag()))
    assert (second.status, second.total, second.ended) == ("queued", 3, False)
    assert main(["farm", "cancel", second.job_id, *where]) == 0
    assert there.news(second.job_id).status == "canceled"
    assert main(["farm", "cancel", "none", *where]) == 1
    assert "has no job none" in capsys.readouterr().err


def test_a_manager_that_cannot_help_is_a_sentence(shots: Path, manager: FlamencoManager) -> None:
    there, job = Manager(manager.address), FarmJob.of(shots)
    with pytest.raises(FarmError, match=r"etag does not match \(412\)"):
        there.submit(submission(job, etag="older"))
    bad = submission(job, etag=there.etag())
    bad["settings"]["shots"] = "../elsewhere"
    with pytest.raises(FarmError, match="no name of a shot"):
        there.submit(bad)
    manager.type = None
    with pytest.raises(FarmError, match=r"no job type ex4d-run: put ex4d-run\.js into its scripts"):
        there.etag()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FarmError, match="cannot be reached"):
        Manager(f"127.0.0.1:{port}").etag()
    for address in ("ftp://farm", "http://", "http://me@farm", "http://[::1", "http://farm:99999", "farm:x"):
        with pytest.raises(InputError, match="looks like http://farm:8080"):
            Manager(address)
    with pytest.raises(InputError, match="commas separate names"):
        submission(FarmJob(shots, ("a,b",)), etag="")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"[" * 100_000, "does not answer like a Flamenco Manager"),
        (200, b"<html>", "does not answer like a Flamenco Manager"),
        (500, b"[" * 60_000, r"refuses: Internal Server Error \(500\)"),
        (302, b"", r"refuses: [^\n\\]* \(302\)"),
    ],
)
def test_who_is_no_manager_is_told_in_a_sentence(status: int, body: bytes, said: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("Location", self.path)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(FarmError, match=said):
            Manager(f"127.0.0.1:{server.server_port}").etag()
        server.shutdown()
        thread.join()


def test_the_job_type_is_written_where_the_manager_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["farm", "job_type", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "ex4d-run.js")
    assert (tmp_path / "ex4d-run.js").read_text() == job_type_source()
