"""A browser for the tests of pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from chromium_page import started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started() as browser:
        yield browser
