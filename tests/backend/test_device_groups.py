"""A worker on several devices: one shot made together, a cancel that all hear, a process that dies, the next start."""

from __future__ import annotations

import signal

import psutil
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from backend.conftest import Backend, ended, poses, until
from backend.wan_home import SETTINGS, wan_home
from ex4d_backend.devices import wanted_devices
from ex4d_backend.supervisor import visible_devices
from ex4d_ground.errors import SettingError
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobCancelled, JobFailed
from ex4d_protocol.events import JobChanged
from ex4d_protocol.requests import Generate


@pytest.fixture
def pair(make_backend, tmp_path) -> Backend:
    """A server whose one worker is two processes, with tiny weights of the model."""
    environment = {**wan_home(tmp_path), "EX4D_BACKEND_THREADS": "1"}
    environment["EX4D_BACKEND_CANCEL_GRACE_S"] = "600"  # that a cancel is heard is what is tested
    return make_backend(device="cpu+cpu", environment=environment).start()


def members(server: Backend) -> list[psutil.Process]:
    """The processes of the group, the leader first."""
    found = [p for p in psutil.Process(server.process.pid).children(recursive=True) if p.status() != "zombie"]
    ranks = [p for p in found if "ex4d.engines.rank" in p.cmdline()]
    return sorted(ranks, key=lambda p: int(p.environ()["RANK"]))


def take(clip, steps: int) -> Generate:
    return Generate(clip=clip, trajectory=poses(5), engine="wan", settings={**SETTINGS, "steps": steps})


def denoises(job: str):
    """Both are in the midst of it."""
    return lambda e: (
        isinstance(e, JobChanged) and e.state.job_id == job and e.state.stage == "denoising" and e.state.done > 0
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cancel_is_heard_by_all_and_a_death_ends_the_job_and_starts_them_again(pair, connect, send_clip) -> None:
    client = connect(pair)
    clip = send_clip(client)
    assert client.wait_job(client.submit(take(clip, 1)), 240).phase == "done"
    (device,) = client.ask(m.GetHealth()).devices
    assert (device.gpus, device.worker) == (2, "idle")
    leader, follower = members(pair)

    cancelled = client.submit(take(clip, 100))
    client.wait_for(denoises(cancelled), 240)
    client.cancel(cancelled)
    with pytest.raises(JobCancelled):
        client.wait_job(cancelled, 240)
    assert client.wait_job(client.submit(take(clip, 1)), 240).phase == "done"
    assert members(pair) == [leader, follower], "they are the same processes: nobody was left waiting"

    killed = client.submit(take(clip, 100))
    client.wait_for(denoises(killed), 240)
    follower.send_signal(signal.SIGKILL)
    with pytest.raises(JobFailed, match=r"GPUs' processes ended|process 2 was ended by signal 9"):
        client.wait_job(killed, 240)
    assert client.wait_job(client.submit(take(clip, 1)), 240).phase == "done"
    again = members(pair)
    assert len(again) == 2 and not {leader, follower} & set(again)
    assert ended(leader)

    assert pair.stop() == 0
    until(lambda: all(ended(process) for process in again))


def test_a_group_is_one_device_and_names_no_gpu_that_another_has() -> None:
    assert wanted_devices(["cuda:0+1", " cuda:2 ", "cpu"]) == ["cuda:0+1", "cuda:2", "cpu"]
    assert visible_devices("cuda:0+1") == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert visible_devices("cpu+cpu") == {"CUDA_VISIBLE_DEVICES": ""}
    for names in (["cuda:0+1", "cuda:1"], ["cpu", "cpu"], []):
        with pytest.raises(SettingError, match="Name each device once"):
            wanted_devices(names)
    with pytest.raises(SettingError, match="cuda:N"):
        wanted_devices(["gpu0"])
