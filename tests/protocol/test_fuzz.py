from __future__ import annotations

import random
import re
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ex4d_protocol import framing
from ex4d_protocol.arrays import view_array
from ex4d_protocol.client import Client
from ex4d_protocol.errors import FrameError
from ex4d_protocol.messages import Item
from ex4d_protocol.requests import Generate, RenderGuides
from ex4d_protocol.tracked_job import TrackedJob
from protocol.mutations import stream


def resident() -> int:
    """Highest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def new_seed(name: str) -> int:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"{name}: seed {seed}")
    return seed


def read_all(seed: int, count: int, *, to_server: bool) -> int:
    """Decode a stream of ``count``; whatever is read is used as its receiver would. Returns how many were read."""
    decoders = framing.CLIENT_DECODERS if to_server else framing.SERVER_DECODERS
    tried = read = 0
    for frames in stream(seed, count, to_server=to_server):
        tried += 1
        try:
            received = framing.decode(frames, decoders)
        except FrameError as error:
            assert str(error) and len(str(error)) < 2000, seed
            continue
        read += 1
        use(received)
    assert tried == count
    return read


def use(received: framing.Received) -> None:
    message = received.message
    request = getattr(message, "request", None)
    try:
        if isinstance(request, RenderGuides | Generate):
            request.trajectory.unpack()
        if isinstance(message, Item):
            blob = received.blobs[0] if received.blobs else b""
            view_array(memoryview(blob), dtype=message.dtype, shape=message.shape, order=message.order)
    except (FrameError, ValueError) as error:
        assert str(error)


@pytest.mark.parametrize("to_server", [True, False], ids=["server", "client"])
def test_damaged_messages_are_read_or_refused_in_one_sentence(to_server, request):
    assert read_all(new_seed(request.node.name), 2500, to_server=to_server) > 50


@pytest.mark.slow
@pytest.mark.parametrize("to_server", [True, False], ids=["server", "client"])
def test_a_hundred_thousand_damaged_messages_grow_nothing(to_server, request):
    seed = new_seed(request.node.name)
    read_all(seed, 5000, to_server=to_server)
    before = resident()
    read_all(seed + 1, 100_000, to_server=to_server)
    assert resident() - before < 32 << 20


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
def test_a_hundred_thousand_inputs_guided_by_coverage_break_nothing(tmp_path):
    command = [sys.executable, str(Path(__file__).parent / "guided.py"), str(tmp_path / "corpus")]
    limits = ["-runs=100000", "-timeout=10", "-rss_limit_mb=1024", "-max_len=70000"]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = [int(n) for n in re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)]
    assert runs and runs[0] >= 100_000, done.stderr[-500:]


def test_a_client_survives_whatever_a_server_sends(request):
    """The client's own handling behind the framing: state, items, uploads, questions."""
    client = Client("tcp://127.0.0.1:1")
    seed = new_seed(request.node.name)
    try:
        job = client.submit(lambda: None, job_id="0123456789abcdef")  # type: ignore[arg-type,return-value]
        for frames in stream(seed, 2500, to_server=False):
            client._jobs.tracked[job] = TrackedJob(job, stage="confirmed")
            client.connection.state = "connected"
            try:
                received = framing.decode(frames, framing.SERVER_DECODERS)
                if type(received.message).__name__ not in ("Welcome", "Attached"):  # these open sockets
                    client._take(received)
            except FrameError as error:
                assert str(error), seed
    finally:
        client.close()
