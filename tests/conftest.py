"""What all tests share."""

from __future__ import annotations

import process_end
import pytest


def pytest_configure(config: pytest.Config) -> None:
    process_end.register(config, process_end)
