"""One client with more finished jobs than it may have result streams."""

from __future__ import annotations

import pytest

from backend.conftest import poses, until
from ex4d_protocol import messages as m
from ex4d_protocol.base import MAX_RESULT_STREAMS
from ex4d_protocol.client import Client
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.job_book import MAX_FETCHES, MAX_WAITING_FETCHES
from ex4d_protocol.requests import ClipSpec, Media, RenderGuides

JOBS = 200
OWNER = "many-jobs-0001"


@pytest.fixture(scope="module")
def finished(make_module_backend, clip_files):
    """A backend with finished jobs of one owner that nobody has fetched; with their ids."""
    server = make_module_backend()
    client = Client(server.address, client_name="submits", client_id=OWNER)
    client.connect()
    client.wait_connected(120)
    video, depth = (client.wait_uploaded(client.upload(path), 120).ref for path in clip_files)
    clip = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)), focal_px=50.0)
    jobs = [client.submit(RenderGuides(clip=clip, trajectory=poses(1)), fetch=False) for _ in range(JOBS)]
    until(lambda: client.poll(0.01) is not None and all(client.jobs[job].final for job in jobs), 270)
    client.close()
    return server, jobs


def test_two_hundred_finished_jobs_all_deliver_after_a_reconnect(finished, connect):
    server, jobs = finished
    client = connect(server, client_id=OWNER)
    waiting = client.ask(m.ListJobs(unacknowledged_only=True)).jobs
    assert {job.job_id for job in waiting} == set(jobs)
    for job in jobs:
        client.follow(job)
    items: dict[str, list[str]] = {job: [] for job in jobs}

    def all_there() -> bool:
        for event in client.poll(0.01):
            if isinstance(event, ItemReceived):
                items[event.job_id].append(event.name)
        return all(client.jobs[job].results_complete for job in jobs)

    until(all_there, 270)
    assert all(sorted(names) == ["colour", "coverage", "mask"] for names in items.values())


def test_never_more_streams_are_asked_for_than_the_server_takes(finished, connect):
    server, jobs = finished
    client = connect(server, client_id=OWNER)
    for job in jobs:
        client.follow(job)
    most = 0

    def all_there() -> bool:
        nonlocal most
        client.poll(0.01)
        most = max(most, len(client._jobs._fetching))
        return all(client.jobs[job].results_complete for job in jobs)

    until(all_there, 270)
    assert 1 < most <= MAX_FETCHES < MAX_RESULT_STREAMS and MAX_WAITING_FETCHES < MAX_FETCHES


def test_a_stream_too_many_is_refused_with_its_job(finished, connect):
    """Another program than ours may ask for all at once: it is told which were refused, and that it may ask again."""
    server, jobs = finished
    client = connect(server, client_id=OWNER)
    refused: list[m.ErrorReply] = []
    client._jobs.refused = lambda error, _: not refused.append(error)
    # Nothing may be sent of them, so that none ends: the first parts of all are asked for without reading any.
    for job in jobs:
        client.connection.data.send(m.GetResults(job_id=job, credit=1), request_id=7)
    until(lambda: client.poll(0.01) is not None and len(refused) >= JOBS - MAX_RESULT_STREAMS, 120)
    assert {error.code for error in refused} == {"rate_limited"}
    assert len({error.job_id for error in refused}) == len(refused) and {e.job_id for e in refused} <= set(jobs)


def test_a_job_that_waits_does_not_keep_what_is_done_from_being_delivered(finished, connect, send_clip):
    """Streams of waiting jobs fill a quarter of the places at most."""
    server, jobs = finished
    client = connect(server, client_id=OWNER)
    request = RenderGuides(clip=send_clip(client), trajectory=poses(2000, step=1e-5))
    for _ in range(MAX_RESULT_STREAMS + 10):
        client.submit(request, priority=-5)
    until(lambda: client.poll(0.01) is not None and len(client._jobs._fetching) >= MAX_WAITING_FETCHES, 120)
    client.follow(jobs[-1])
    client.wait_job(jobs[-1], 120)
    assert client.jobs[jobs[-1]].results_complete
    for job in client.jobs:
        client.cancel(job)


def test_an_unknown_job_is_refused_with_its_id(client):
    with pytest.raises(RequestRefused, match="no job"):
        client.ask(m.GetJob(job_id="0" * 32))
