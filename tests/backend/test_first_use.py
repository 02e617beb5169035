"""A backend that has compiled nothing yet says so while a job waits for it, once."""

from __future__ import annotations

from pathlib import Path

from ex4d_ground import stages
from ex4d_protocol import messages as m
from ex4d_protocol.requests import BuildMesh


def test_a_job_that_waits_for_compiling_says_so(make_backend, connect, send_clip, tmp_path: Path) -> None:
    backend = make_backend(environment={"NUMBA_CACHE_DIR": str(tmp_path / "cache")}).start()
    client = connect(backend)
    clip = send_clip(client)
    told: list[list[str]] = []
    for _ in range(2):
        job = client.submit(BuildMesh(clip=clip))
        assert client.wait_job(job, 270)  # all kernels are compiled.phase == "done"
        told.append(
            [line for line in client.ask(m.GetJobLog(job_id=job)).text.splitlines() if stages.PREPARING in line]
        )
    assert len(told[0]) == 1 and told[0][0].endswith(f"stage: {stages.PREPARING}")
    assert told[1] == [], "what was compiled is kept"
