from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import get_type_hints

import msgspec
import psutil
import pytest

from backend.conftest import poses, until
from backend.test_start import one_sentence, start
from ex4d_backend.settings import ServerSettings, load_settings
from ex4d_protocol.requests import RenderGuides

FOLDER = Path(__file__).parents[2] / "backend"
EXAMPLE = FOLDER / "backend.example.toml"


def commented_out(text: str) -> str:
    """The example with every setting switched on."""
    return re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)


def test_the_example_is_every_setting_at_its_default(tmp_path):
    values = tomllib.loads(commented_out(EXAMPLE.read_text()))
    assert set(values) == set(get_type_hints(ServerSettings))
    assert msgspec.convert(values, ServerSettings) == ServerSettings()
    assert load_settings(EXAMPLE, environment={}) == ServerSettings()
    assert "Settings are valid" in start("--config", str(EXAMPLE), "--check-config").stdout
    (tmp_path / "all.toml").write_text(commented_out(EXAMPLE.read_text()))
    assert "Settings are valid" in start("--config", str(tmp_path / "all.toml"), "--check-config").stdout


def test_every_setting_is_explained_where_it_is_defined():
    source = (FOLDER / "ex4d_backend" / "settings.py").read_text()
    for name in ("requests_per_s", "clients", "metrics_port", "job_stall_s", "clip_pixels", "log_format"):
        assert re.search(rf'    {name}: .*\n    """', source), name


def test_the_unit_starts_what_is_installed_and_checks_its_settings_first():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string((FOLDER / "ex4d-backend.service").read_text())
    service = unit["Service"]
    assert service["ExecStart"].endswith("ex4d-backend --config /etc/ex4d/backend.toml")
    assert service["ExecStartPre"] == service["ExecStart"] + " --check-config"
    assert int(service["TimeoutStopSec"]) > ServerSettings().drain_s


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit_and_little_exposed(tmp_path):
    unit = tmp_path / "ex4d-backend.service"
    here = f"{Path(sys.executable).parent}/"
    unit.write_text((FOLDER / "ex4d-backend.service").read_text().replace("/opt/ex4d/bin/", here))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    about_it = [line for line in checked.stderr.splitlines() if unit.name in line]
    assert checked.returncode == 0 and not about_it, checked.stderr
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=25", str(unit)]
    exposure = subprocess.run(command, capture_output=True, text=True, check=False)
    assert exposure.returncode == 0, exposure.stdout[-300:]


def test_the_containers_files_are_enough_to_install_and_start_the_backend(tmp_path):
    """Its COPY and RUN steps in a folder and a target of their own, with the dependencies of this environment."""
    source, target = tmp_path / "src", tmp_path / "installed"
    source.mkdir()
    steps = (FOLDER / "Containerfile").read_text()
    for line in re.findall(r"^COPY (.*)$", steps, flags=re.MULTILINE):
        *names, into = line.split()
        for name in names:
            place = source / into / name if into == "./" else source / into
            place.parent.mkdir(exist_ok=True)
            if (FOLDER.parent / name).is_dir():
                shutil.copytree(FOLDER.parent / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(FOLDER.parent / name, place)
    assert 'pip install --no-cache-dir ".${EXTRAS}"' in steps
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*pip, "--target", str(target), "."], cwd=source, check=True, capture_output=True)
    assert 'ENTRYPOINT ["ex4d-backend"]' in steps
    script = target / "bin" / "ex4d-backend"
    environment = {**os.environ, "PYTHONPATH": str(target), "EX4D_BACKEND_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, str(script), "--check-config"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Settings are valid" in done.stdout, done.stderr
    where = "import ex4d_backend, ex4d_protocol; print(ex4d_backend.__file__, ex4d_protocol.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.count(str(target)) == 2, "what was tested is what was installed"


def test_the_container_copies_what_the_package_needs():
    copied = re.findall(r"^COPY (.*) \S+$", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "LICENSES",
        "ex4d",
        "protocol",
        "backend",
        "scripts/wheel_hook.py",
    }
    assert all((FOLDER.parent / name).exists() for name in names)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_metrics_are_served_on_loopback_only_and_count(make_backend, connect, send_clip):
    port = free_port()
    server = make_backend(environment={"EX4D_BACKEND_METRICS_PORT": str(port), "EX4D_BACKEND_LOG_FORMAT": "json"})
    server.start()
    client = connect(server)
    client.wait_job(client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3))), 120)

    def page() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = [line for line in reply.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    until(lambda: page().get('ex4d_jobs_ended_total{phase="done"}') == 1, 120)
    found = page()
    assert found["ex4d_clients"] == 1 and found["ex4d_jobs_running"] == 0 and found["ex4d_result_bytes"] > 0
    assert 10 << 20 < found["ex4d_resident_bytes"] < 1 << 30
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs", timeout=60)
    listening = [c.laddr for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    entries = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    assert any("accepted" in e["message"] and e["level"] == "info" and e["time"].endswith("Z") for e in entries)


def test_a_taken_metrics_port_is_one_clear_sentence(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ("--address", "tcp://127.0.0.1:auto", "--data-dir", str(tmp_path))
        assert f"127.0.0.1:{port}" in one_sentence(start(*arguments, EX4D_BACKEND_METRICS_PORT=port))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of single threads")
def test_the_thread_that_copies_bulk_data_gives_way_and_no_other(backend):
    def giving_way() -> set[str]:
        names = set()
        for task in Path(f"/proc/{backend.process.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
                if os.getpriority(os.PRIO_PROCESS, int(task.name)) != os.getpriority(os.PRIO_PROCESS, 0):
                    names.add((task / "comm").read_text().strip())
        return names

    until(giving_way)
    assert giving_way() == {"ZMQbg/IO/1"}
