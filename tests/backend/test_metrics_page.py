"""The metrics page answers this machine's programs, and nobody can hold it up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from backend.conftest import until
from ex4d_backend import http_thread
from ex4d_backend.metrics import MetricsPage


@pytest.fixture
def page() -> Iterator[MetricsPage]:
    served = MetricsPage(0)
    served.publish("ex4d_jobs_queued 0\n")
    yield served
    served.close()


def said(page: MetricsPage, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as connection:
        parts = []
        try:
            connection.sendall(request)
            while part := connection.recv(4096):
                parts.append(part)
        except (ConnectionResetError, BrokenPipeError):
            pass
    return b"".join(parts)


def get(host: str, *, method: str = "GET", path: str = "/metrics", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n{f'Host: {host}' + chr(13) + chr(10) if host else ''}{more}\r\n".encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.0.0.1:9764", "[::1]:9764"])
def test_names_of_this_machine_are_answered(page, host):
    assert said(page, get(host)).endswith(b"ex4d_jobs_queued 0\n")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9764",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.1@evil",
        "::1",
    ],
)
def test_a_web_page_whose_name_leads_here_gets_nothing(page, host):
    answer = said(page, get(host))
    assert b" 421 " in answer.splitlines()[0] and b"ex4d_jobs" not in answer


def test_two_names_in_one_request_are_refused(page):
    assert b" 421 " in said(page, get("127.0.0.1", more="Host: evil.example\r\n")).splitlines()[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "X" * 50])
def test_nothing_but_get_is_done(page, method):
    answer = said(page, get("127.0.0.1", method=method))
    assert b" 501 " in answer.splitlines()[0] and b"ex4d_jobs" not in answer


def test_long_requests_are_cut_off(page):
    for request in (
        get("127.0.0.1", path="/metrics?" + "x" * 100_000),
        get("127.0.0.1", more="".join(f"X-{k}: {'y' * 100}\r\n" for k in range(1000))),
        b"x" * 100_000,
    ):
        assert b"ex4d_jobs" not in said(page, request)
    assert said(page, get("localhost")).endswith(b"ex4d_jobs_queued 0\n")


def test_who_sends_byte_by_byte_is_let_go_and_holds_up_nobody(page, monkeypatch):
    """The time counts for the whole request: a byte now and then does not put its end off."""
    monkeypatch.setattr(http_thread, "REQUEST_S", 4.0)
    slow = socket.create_connection(("127.0.0.1", page.port), timeout=30)
    stop = threading.Event()

    def drip() -> None:
        for byte in get("127.0.0.1", more="X: " + "y" * 5000):
            try:
                slow.send(bytes([byte]))
            except OSError:
                return
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=drip)
    thread.start()
    assert said(page, get("127.0.0.1")).endswith(b"ex4d_jobs_queued 0\n")
    with suppress(ConnectionResetError):
        assert b"ex4d_jobs" not in slow.recv(4096)
    stop.set()
    thread.join()
    slow.close()


def test_connections_without_a_request_take_places_for_a_moment_only(page, monkeypatch):
    monkeypatch.setattr(http_thread, "REQUEST_S", 4.0)
    idle = [socket.create_connection(("127.0.0.1", page.port), timeout=30) for _ in range(100)]
    until(lambda: said(page, get("127.0.0.1")).endswith(b"ex4d_jobs_queued 0\n"), 120)
    assert sum(thread.name.startswith("Thread-") for thread in threading.enumerate()) < 100
    for connection in idle:
        connection.close()
