"""A browser for the tests of pages, and a small page."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium_page import started
from page_cases import a_ball_before_a_wall

from ex4d.dwmesh import DWMesh
from ex4d.trajectory import preset
from ex4d.types import Clip
from ex4d.web import Replay, shot_source, write_page
from ex4d_ground.options import MeshOptions


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> tuple[Clip, DWMesh, Path]:
    """A clip, its mesh, and their page with two moves: one plays on, one stops the clip."""
    clip = a_ball_before_a_wall()
    mesh = DWMesh(clip, MeshOptions(mode="solid"))
    orbit = preset("orbit_left", clip, amount=20)
    frozen = replace(orbit, source_time=np.array([0.0, 2, 2, 2, 4]), name="frozen")
    replays = [Replay("orbit", orbit, list(range(5))), Replay("frozen", frozen, [0, 2, 2, 2, 4])]
    return clip, mesh, write_page(tmp_path_factory.mktemp("page"), [shot_source(mesh)], replays)
