"""Items that a client has leave the backend's disk as they arrive, if it says so; whoever does not keeps all."""

from __future__ import annotations

from backend.conftest import found, long_job, poses, until
from ex4d_protocol import messages as m
from ex4d_protocol.events import ItemReceived, JobRejected
from ex4d_protocol.requests import RenderGuides

FRAMES = 40


def on_disk(server) -> int:
    return len(found(server.data_dir / "jobs", "*/items-*/*.bin"))


def test_items_go_as_they_arrive_and_no_reader_misses_one(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    request = RenderGuides(clip=clip, trajectory=poses(FRAMES))
    kept: dict[tuple[str, int], bytes] = {}
    whole = client.submit(request)
    client.wait_job(whole, 120, on_event=lambda e: _keep(e, kept))
    assert len(kept) == 2 * FRAMES + 1 == on_disk(server)
    before = client.ask(m.GetHealth()).result_bytes
    assert before == sum(map(len, kept.values()))
    client.ask(m.AckResults(job_id=whole))
    until(lambda: on_disk(server) == 0, 60)

    taken: dict[tuple[str, int], bytes] = {}
    job = client.submit(request, frees=True)
    client.wait_job(job, 120, on_event=lambda e: _keep(e, taken))
    assert taken.keys() == kept.keys() and all(taken[key] == kept[key] for key in kept)
    until(lambda: on_disk(server) <= 8, 60)  # those since the last credit
    left = client.ask(m.GetHealth()).result_bytes
    assert left < before / 4
    assert job in [s.job_id for s in client.ask(m.ListJobs(unacknowledged_only=True)).jobs]
    assert client.ask(m.GetJob(job_id=job)).items == len(kept)

    client_id = client.client_id
    client.close()
    server.kill()
    server.start()
    later = connect(server, client_id=client_id)
    assert later.ask(m.GetHealth()).result_bytes == left
    later.follow(job)  # as if this were a later run of the program, which has none of them
    refused = later.wait_for(lambda e: isinstance(e, JobRejected), 60)
    assert f"results of job {job} were fetched and are deleted" in refused.message
    later.ask(m.AckResults(job_id=job))
    until(lambda: on_disk(server) == 0, 60)
    assert later.ask(m.GetHealth()).result_bytes == 0


def test_a_kill_in_between_loses_none(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    frames = 300
    job = client.submit(long_job(send_clip(client), frames), frees=True)
    taken: dict[tuple[str, int], bytes] = {}
    client.wait_for(lambda e: _keep(e, taken) and len(taken) >= 40, 120)
    with server.held():
        until(lambda: not found(server.data_dir / "jobs", "*/items-1/00000000.bin"), 60)  # some have left the disk
        server.kill()
    server.start()
    client.wait_job(job, 180, on_event=lambda e: _keep(e, taken))
    assert len(taken) == 2 * frames + 1
    assert client.ask(m.GetJob(job_id=job)).attempt == 2


def _keep(event, into: dict[tuple[str, int], bytes]) -> bool:
    if isinstance(event, ItemReceived):
        assert (event.name, event.frame) not in into
        into[event.name, event.frame] = bytes(event.data)
        return True
    return False
