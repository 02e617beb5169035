"""The job table: what is damaged in it is named and the rest delivered, and what clients put into it is bounded."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from backend.conftest import Backend, long_job, poses, until
from backend.test_clock import Time, scheduler_on
from ex4d_backend import store as store_module
from ex4d_backend.admission import OWN_JOBS
from ex4d_backend.logs import JsonLines, Measured, TextLines
from ex4d_backend.store import JobStore
from ex4d_backend.supervisor import LOG_BYTES, shorten
from ex4d_protocol import messages as m
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.requests import BuildMesh, RenderGuides

DAMAGE = {
    "a description that cannot be decoded": "UPDATE items SET description = x'c1ff' WHERE idx = 2",
    "a description that is text": "UPDATE items SET description = 'none' WHERE idx = 2",
    "another item's description": "UPDATE items SET description = (SELECT description FROM items WHERE idx = 4) "
    "WHERE idx = 2",
    "a row that is gone": "DELETE FROM items WHERE idx = 2",
}


def _execute(backend: Backend, statement: str) -> None:
    with closing(sqlite3.connect(backend.data_dir / "jobs.sqlite")) as db:
        db.execute(statement)
        db.commit()


FILES = ("a file that is gone", "a file that is cut")


def _damage(backend: Backend, job: str, damage: str) -> None:
    """Do that to item 2 of a job."""
    if damage in DAMAGE:
        statement = DAMAGE[damage]
        for index in ("idx = 2", "idx = 4"):
            statement = statement.replace(index, f"{index} AND job_id = '{job}'")
        _execute(backend, statement)
        return
    folder = backend.data_dir / "jobs" / hashlib.sha256(job.encode()).hexdigest()[:32]
    file = sorted(folder.glob("items-1/*.bin"))[2]
    if damage.endswith("gone"):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])


@pytest.mark.parametrize(
    "kinds", [[*DAMAGE, *FILES], *(pytest.param([each], id=each, marks=pytest.mark.slow) for each in (*DAMAGE, *FILES))]
)
def test_a_damaged_item_is_named_and_the_others_are_delivered(make_backend, connect, send_clip, kinds) -> None:
    """Every kind of damage, each in a job of its own."""
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    damaged = {client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False): kind for kind in kinds}
    for job in damaged:
        client.wait_job(job, 120)
    server.kill()
    for job, kind in damaged.items():
        _damage(server, job, kind)
    server.start()
    later = connect(server, client_id=client.client_id)
    for job, kind in damaged.items():
        later.follow(job)
        with pytest.raises(RequestRefused, match=r"Item 2 .*The other 6 items are here"):
            later.wait_job(job, 120)
        assert len(later.jobs[job].received) == 6, kind
    assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", marks=pytest.mark.slow),
        pytest.param(b"no database at all " * 999, marks=pytest.mark.slow),
        None,
    ],
    ids=["empty", "nonsense", "cut"],
)
def test_a_job_table_that_is_no_table_is_set_aside_and_a_new_one_begun(
    make_backend, connect, send_clip, content
) -> None:
    server = make_backend().start()
    client = connect(server)
    client.wait_job(client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(2))), 120)
    client.close()
    assert server.stop() == 0
    table = server.data_dir / "jobs.sqlite"
    for end in ("-wal", "-shm"):
        table.with_name(table.name + end).unlink(missing_ok=True)
    whole = table.read_bytes()
    damaged = whole[:4096] + b"\xff" * (len(whole) - 4096) if content is None else content
    table.write_bytes(damaged)
    server.start()
    again = connect(server)
    again.wait_job(again.submit(RenderGuides(clip=send_clip(again), trajectory=poses(2))), 120)
    aside = server.data_dir / "jobs.sqlite.damaged-1"
    if content == b"":  # an empty file is an empty table to SQLite
        assert not aside.exists()
        return
    assert aside.read_bytes()[100:] == damaged[100:], "but for what SQLite counts at its beginning"
    assert "The job table was damaged: it was set aside as jobs.sqlite.damaged-1" in server.output()
    assert "it was set aside as jobs.sqlite.damaged-1" in server.output()


def _add(store: JobStore, number: int, owner: str = "o" * 8, size: int = 100):
    request = bytes(size)
    return store.add(f"job-{number:06d}", owner=owner, title="", kind="BuildMesh", priority=0, request=request)


def test_a_job_that_is_over_keeps_no_request_but_is_known_by_it(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    job = _add(store, 1, size=1 << 20)
    assert store.waiting_bytes(job.owner) == (1 << 20, 1 << 20)
    store.set_phase(job, "cancelled")
    assert store.request(job.job_id) == b"" and store.waiting_bytes(job.owner) == (0, 0)
    assert store.is_request(job.job_id, bytes(1 << 20)) and not store.is_request(job.job_id, b"other")
    store.close()


def test_the_tables_log_stays_short_whatever_is_written(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    highest = 0
    for number in range(60):
        store.set_phase(_add(store, number, size=4 << 20), "cancelled")
        store._checkpointer.submit(lambda: None).result()
        highest = max(highest, (tmp_path / "jobs.sqlite-wal").stat().st_size)
    table = (tmp_path / "jobs.sqlite").stat().st_size
    print(f"240 MiB of requests: the log was {highest >> 20} MiB at most, the table {table >> 20} MiB")
    assert highest <= store_module.LOG_BYTES + (16 << 20)
    assert table < 32 << 20
    store.close()


def test_one_clients_jobs_leave_places_for_another(make_backend, make_peer, connect, send_clip) -> None:
    server = make_backend(environment={"EX4D_BACKEND_QUEUED_JOBS": "40"}).start()
    client, other = connect(server), connect(server)
    clip = send_clip(client)
    client.submit(long_job(clip, 9000), fetch=False)
    send_clip(other)
    hostile = make_peer(server, client_id=other.client_id)
    for number in range(50):
        name = f"{hostile.client_id[:8]}-{number:06d}"
        hostile.send(m.SubmitJob(job_id=name, request=BuildMesh(clip=clip)))
    refused = [a.message for a in hostile.answers(50) if isinstance(a.message, m.ErrorReply)]
    assert {a.code for a in refused} == {"queue_full"} and len(refused) >= 10
    assert "kept for others" in refused[0].message
    job = client.submit(RenderGuides(clip=clip, trajectory=poses(2)), fetch=False)
    until(lambda: client.poll(0.05) is not None and (client.jobs[job].state or client.jobs[job].rejected))
    assert not client.jobs[job].rejected


def test_jobs_that_are_over_and_fetched_are_forgotten_beyond_a_number(tmp_path: Path) -> None:
    with scheduler_on(tmp_path, Time()) as (scheduler, store, _):
        for number in range(OWN_JOBS):
            store.set_phase(_add(store, number), "failed", "x")
        scheduler._admission.check_share("o" * 8, b"", ())
        assert store.count < OWN_JOBS
        assert store.get("job-000000") is None and store.get(f"job-{OWN_JOBS - 1:06d}") is not None


def test_what_is_not_over_is_known_without_looking_at_all_that_is(tmp_path: Path) -> None:
    """The loop asks for it many times a second, beside thousands of jobs that are over."""
    with scheduler_on(tmp_path, Time()) as (_, store, _):
        first, second, third = (_add(store, number) for number in range(3))
        store.set_phase(second, "running")
        assert store.jobs(phase="queued") == [first, third] and store.jobs(phase="running") == [second]
        store.start_over(second)
        assert store.jobs(phase="queued") == [first, second, third]
        store.set_phase(second, "running")
        store.set_phase(second, "done")
        store.forget(first, third)
        assert store.jobs(phase="queued") == store.jobs(phase="running") == [] and store.jobs(phase="done") == [second]
        assert not store._not_over and store.jobs() == [second]


# --- logs -------------------------------------------------------------------------------------------------


def _record(text: str, *args, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("ex4d_backend.test", level, "x.py", 1, text, args, None)


NAMES = {
    "a line of its own": "x\n2026-11-28 00:00:00,000 ERROR ex4d_backend.server FORGED",
    "a terminal's command": "\x1b[2J\x1b]0;pwned\x07",
    "a return": "a\rb",
    "a line of Unicode's": "a\u2028b",
    "an 8-bit command": "\x9b31m",
    "another direction": "right\u202eleft",
}


@pytest.mark.parametrize("name", NAMES)
def test_nobody_forges_a_line_or_a_terminals_command(name: str) -> None:
    line = TextLines().format(_record("client %s connected", NAMES[name]))
    assert line.isprintable() and len(line.splitlines()) == 1
    assert len(JsonLines().format(_record("client %s connected", NAMES[name])).splitlines()) == 1


def test_a_long_record_is_cut_and_says_so() -> None:
    line = TextLines().format(_record("client %s", "y" * (7 << 20)))
    assert len(line) < 5000 and f"{(7 << 20) + 7} characters" in line


def test_a_flood_of_one_kind_of_line_is_thinned_and_counted_and_errors_are_kept() -> None:
    now = 0.0
    measured = Measured(lambda: now)
    passed = sum(measured.filter(_record("client %s connected", i)) for i in range(100_000))
    assert passed == 5000
    assert measured.filter(_record("job %s accepted", 1)), "another kind is not concerned"
    assert all(measured.filter(_record("broken %s", i, level=logging.ERROR)) for i in range(9000))
    now += 10.0
    record = _record("client %s connected", "last")
    assert measured.filter(record)
    assert record.getMessage() == "client last connected (95000 lines like it were left out)"


def test_what_a_child_prints_without_end_is_kept_short(tmp_path: Path) -> None:
    path = tmp_path / "worker-cpu.log"
    with path.open("ab", buffering=0) as output:
        output.write(b"x" * (LOG_BYTES + 1) + b"last words")
        shorten(path)
        assert path.stat().st_size == 0
        output.write(b"new words")
    assert path.read_bytes() == b"new words"
    kept = path.with_name("worker-cpu.log.1").read_bytes()
    assert kept.endswith(b"last words") and len(kept) == LOG_BYTES // 2


def test_a_hello_cannot_forge_the_log_of_a_real_server(backend, make_peer) -> None:
    peer = make_peer(backend, hello=False)
    forged = "x\n2026-11-28 00:00:00,000 ERROR ex4d_backend.server FORGED LINE"
    hello = msgspec.structs.replace(peer.hello(), client_name=forged)
    assert isinstance(peer.ask(hello), m.Welcome)
    until(lambda: "FORGED LINE" in backend.output())
    assert not any(line.startswith("2026-11-28 00:00:00,000 ERROR") for line in backend.output().splitlines())
