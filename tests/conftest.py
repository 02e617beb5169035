"""What all tests share."""

from __future__ import annotations

import process_end
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")  # how long an example takes says more of what else runs than of the code


def pytest_configure(config: pytest.Config) -> None:
    process_end.register(config, process_end)
