"""What all tests share."""

from __future__ import annotations

import os

import process_end
import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""For torch, here and in processes that tests start: its threads wait for one another by spinning, which takes twenty
times what tiny models compute where two runs of tests share two cores."""

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")  # how long an example takes says more of what else runs than of the code


def pytest_configure(config: pytest.Config) -> None:
    process_end.register(config, process_end)


@pytest.fixture(scope="session", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is found of clips' places stays with the tests; processes that they start have it from here, too."""
    os.environ["EX4D_PLACES"] = str(tmp_path_factory.mktemp("places"))
