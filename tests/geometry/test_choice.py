"""Which rasterizer draws, and why."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest

from ex4d import cuda
from ex4d.dwmesh import DWMesh
from ex4d.guides import FrameRenderer, render_guides
from ex4d.raster import Choice, choice, choose_rasterizer
from ex4d_ground.errors import SettingError

from .conftest import make_clip, make_trajectory

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with everything that Triton needs; tests take parts of it away."""
    torch = SimpleNamespace(
        device=str,
        cuda=SimpleNamespace(
            is_available=lambda: True, get_device_capability=lambda: (9, 0), get_device_name=lambda: "NVIDIA H200"
        ),
    )
    here = SimpleNamespace(monkeypatch=monkeypatch, torch=torch)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(choice, "find_spec", lambda name: name)
    monkeypatch.setattr(choice, "has_driver", lambda: True)
    monkeypatch.setattr(choice, "has_triton", lambda: True)
    monkeypatch.setattr(choice, "interpreted", lambda: False)
    monkeypatch.setattr(choice, "free_bytes", lambda device: 8 * GIB)
    return here


def test_auto_is_triton_where_a_device_can(machine: SimpleNamespace) -> None:
    assert choose_rasterizer(device_bytes=8 * GIB) == Choice("triton", "on NVIDIA H200")
    assert choose_rasterizer().on_gpu


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("has_driver", lambda: False, "no NVIDIA driver"),
        ("find_spec", lambda name: None, "PyTorch is not installed"),
        ("has_triton", lambda: False, "Triton is not installed"),
        ("interpreted", lambda: True, "interpret"),
        ("free_bytes", lambda device: 3 * GIB // 2, r"takes 2\.0 GiB, and 1\.5 GiB are free"),
    ],
)
def test_auto_is_the_cpu_and_says_why(machine: SimpleNamespace, part: str, value: object, why: str) -> None:
    machine.monkeypatch.setattr(choice, part, value)
    chosen = choose_rasterizer(device_bytes=2 * GIB)
    assert chosen.name == "cpu"
    assert not chosen.on_gpu
    assert re.search(why, chosen.why)


def test_auto_is_the_cpu_where_torch_finds_no_device_or_an_old_one(machine: SimpleNamespace) -> None:
    machine.torch.cuda.get_device_capability = lambda: (6, 1)
    assert choose_rasterizer() == Choice("cpu", "NVIDIA H200 is too old for Triton")
    machine.torch.cuda.is_available = lambda: False
    assert choose_rasterizer() == Choice("cpu", "PyTorch finds no CUDA device")


@pytest.mark.parametrize("name", ["cpu", "triton", "nvdiffrast"])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert choose_rasterizer(name, device_bytes=2**60).name == name


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(SettingError, match="no rasterizer 'sketch'"):
        choose_rasterizer("sketch")


@pytest.mark.parametrize("visible", ["", "-1", " "])
def test_no_driver_is_looked_for_where_no_device_may_be_seen(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: pytest.fail("looked for"))
    assert not cuda.has_driver()


def test_guides_and_live_views_say_what_drew_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    clip = make_clip()
    mesh = DWMesh(clip)
    assert render_guides(mesh, make_trajectory(clip)).rasterizer == "cpu"
    assert render_guides(mesh, make_trajectory(clip), rasterizer="cpu").rasterizer == "cpu"
    with FrameRenderer(mesh) as live:
        assert live.choice == choose_rasterizer()
