from __future__ import annotations

import random

import pytest

from backend.load import check_books, run_load

MEMORY_LIMIT = 256 << 20
"""Resident memory of the server process with 50 clients and 1,000 jobs; about 60 MiB are there before the first."""


def seed_of(request) -> int:
    """A new seed each time, printed so that a failure can be run again."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"{request.node.name}: seed {seed}")
    return seed


@pytest.fixture
def served(make_backend, clip_files):
    return make_backend().start(), clip_files


def test_jobs_of_many_clients_are_each_run_once_whatever_dies(served, request):
    server, files = served
    submitters, highest = run_load(
        server, files, clients=8, jobs=48, seed=seed_of(request), client_kills=5, worker_kills=1
    )
    check_books(server, submitters, worker_kills=1)
    assert highest < MEMORY_LIMIT


@pytest.mark.slow
def test_a_thousand_jobs_of_fifty_clients_are_each_run_once(served, request):
    server, files = served
    submitters, highest = run_load(server, files, clients=50, jobs=1000, seed=seed_of(request))
    check_books(server, submitters, worker_kills=0)
    print(f"highest resident memory of the server: {highest >> 20} MiB")
    assert highest < MEMORY_LIMIT


@pytest.mark.slow
def test_a_thousand_jobs_survive_killed_clients_and_workers(served, request):
    server, files = served
    submitters, highest = run_load(
        server, files, clients=50, jobs=1000, seed=seed_of(request), client_kills=60, worker_kills=12
    )
    check_books(server, submitters, worker_kills=12)
    print(f"highest resident memory of the server: {highest >> 20} MiB")
    assert highest < MEMORY_LIMIT
