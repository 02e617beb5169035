"""One shot on several devices: the same frames as on one, whatever is divided; refused where it does not divide."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_runs import CASES, take

from ex4d.device_names import Devices
from ex4d.engines import Gpu, cost
from ex4d.engines.wan.blocks import attend_to_all
from ex4d.engines.wan.cost_model import PUBLISHED, exchanged_bytes
from ex4d.engines.wan.division import Division, divided
from ex4d.engines.wan.plan import MemoryPlan, Workload, phases, plans
from ex4d_ground.errors import SettingError

ROOT = Path(__file__).parents[3]
LAUNCH = (
    "import sys; from ex4d.device_names import Devices; from ex4d.engines.launch import launch; "
    "sys.exit(launch(Devices.named(sys.argv[1]), sys.argv[2], sys.argv[3:], everywhere=True))"
)
LATENT_ERROR = 1e-4
"""Largest difference of latents of unit size: float32 sums in another order, several steps on."""
TOKENS = 13 * 32 * 32


def launched(count: int, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A module in every process of a group on the processor."""
    folders = [ROOT, ROOT / "protocol", Path(__file__).parent]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LAUNCH, "+".join(["cpu"] * count), module, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500, check=False)


def pictures(frames: np.ndarray) -> np.ndarray:
    return ((frames + 1) * 127.5).clip(0, 255).astype(np.uint8).astype(int)


def assert_alike(count: int, names: list[str], folder: Path) -> None:
    ran = launched(count, "shared_runs", folder / "many.npz", *names)
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / "many.npz") as many:
        for name in names:
            one = take(None, **CASES[name])
            found = {key: many[f"{name}/{key}"] for key in one}
            assert np.abs(found["y"] - one["y"]).max() < LATENT_ERROR, name
            assert np.abs(found["latents"] - one["latents"]).max() < LATENT_ERROR, name
            assert found["frames"].shape == one["frames"].shape
            assert np.abs(pictures(found["frames"]) - pictures(one["frames"])).max() <= 1, name


@pytest.mark.timeout(900)
def test_two_processes_make_the_frames_of_one(tmp_path: Path) -> None:
    """Branches side by side, 8 bits, tokens shared; videos encoded one each or in strips, decoded in strips."""
    assert_alike(2, ["exact", "fp8", "turbo"], tmp_path)


def test_what_aborts_while_a_follower_ends_is_not_its_work_failing(tmp_path: Path, monkeypatch) -> None:
    """As torch's threads do now and then, after all is done."""
    (tmp_path / "ends_badly.py").write_text(
        "import atexit, os\nfrom ex4d.engines.members import joined\n"
        "assert joined().agree() is False\n"
        "if not joined().leads:\n    atexit.register(os.abort)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    ran = launched(2, "ends_badly")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [2, 4, 8])
def test_so_many_processes_make_the_frames_of_one(count: int, tmp_path: Path) -> None:
    """With 2, branches or tiles side by side; with 4 and 8 both; and tokens and heads shared wherever neither is."""
    names = ["fast", "offload", "unguided", "turbo", "fp8", "cached", "tiles", "turbo-tiles", "compiled"]
    assert_alike(count, [*names, "three-tiles"] if count == 2 else names, tmp_path)


def test_branches_are_divided_first_then_tiles_are_dealt_then_tokens_are_shared() -> None:
    guided = {"guided": True, "heads": 40, "tokens": TOKENS}
    assert divided(1, **guided) == Division(1, 1)
    assert divided(2, **guided) == Division(2, 1) and not divided(2, **guided).shares_tokens
    assert [divided(n, **guided) for n in (4, 8, 16)] == [Division(2, n // 2) for n in (4, 8, 16)]
    assert divided(4, guided=False, heads=40, tokens=TOKENS) == Division(1, 4)
    assert divided(4, guided=True, heads=40, tokens=TOKENS, tiles=4) == Division(2, 2, deals=True)
    assert divided(3, guided=False, heads=40, tokens=TOKENS, tiles=6).deals  # heads no longer matter


UNFIT = [(3, True, "1 or 2"), (6, True, "1, 2 or 4"), (7, False, "1, 2 or 4")]


@pytest.mark.parametrize(("gpus", "guided", "fitting"), UNFIT)
def test_what_does_not_divide_is_refused_with_what_would(gpus: int, guided: bool, fitting: str) -> None:
    with pytest.raises(SettingError) as caught:
        divided(gpus, guided=guided, heads=40, tokens=TOKENS)
    text = str(caught.value)
    assert f"{gpus} GPUs cannot share this take" in text and "40 heads and 13312 tokens" in text
    assert f"let {fitting} GPUs make it" in text and text.count(". ") == 0


def test_the_first_half_of_a_block_hands_its_heads_to_who_shares_them() -> None:
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 6, 2, 4, generator=generator) for _ in range(3))
    seen = []
    alone = attend_to_all(q, k, v, None)
    attend_to_all(q, k, v, lambda *given: seen.append([x.shape for x in given]) or alone)
    assert seen == [[(1, 6, 2, 4)] * 3] and alone.shape == (1, 6, 8)


@pytest.mark.parametrize(
    ("name", "kind", "count", "visible"),
    [("cpu", "cpu", 1, ""), ("cuda:3", "cuda", 1, "3"), ("cuda:2+0+5", "cuda", 3, "2,0,5"), ("cpu+cpu", "cpu", 2, "")],
)
def test_devices_are_named_one_or_several(name: str, kind: str, count: int, visible: str) -> None:
    found = Devices.named(name)
    assert (found.kind, len(found), found.visible, found.name) == (kind, count, visible, name)


@pytest.mark.parametrize("name", ["", "cuda", "cuda:", "cuda:0+", "cuda:0+cpu", "cpu+cuda:0", "cuda:1+1", "cuda:-1"])
def test_devices_that_are_none_are_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match="twice" if name == "cuda:1+1" else "cuda:N"):
        Devices.named(name)


def test_a_plan_is_of_one_of_the_gpus_and_needs_less_the_more_share() -> None:
    work = Workload(TOKENS, 512 * 512, branches=2)
    alone = plans("exact", "resident", PUBLISHED, work, 1 << 40)[0]
    peaks = [alone.expected_peak]
    for branches, sharing in ((1, 1), (1, 2), (1, 4)):
        each = replace(work, branches=branches, sharing=sharing, strips=2 * sharing)
        found = plans("exact", "resident", PUBLISHED, each, 1 << 40)[0]
        assert phases(found, "exact", PUBLISHED, each).denoising < phases(alone, "exact", PUBLISHED, work).denoising
        peaks.append(found.expected_peak)
    assert peaks == sorted(peaks, reverse=True)


def test_videos_are_dealt_where_a_whole_picture_fits_then_encoded_in_strips_then_in_tiles() -> None:
    work = Workload(TOKENS, 3840 * 2160, branches=2, sharing=2, strips=4)

    def plan(free: float) -> MemoryPlan:
        return plans("fast", "resident", PUBLISHED, work, int(free))[0]

    most = plan(1 << 40)
    in_strips = plan(most.expected_peak - 1)
    in_tiles = plan(in_strips.expected_peak - 1)
    ways = [(p.deals_videos, p.vae_tiled) for p in (most, in_strips, in_tiles)]
    assert ways == [(True, False), (False, False), (False, True)]
    assert most.expected_peak > in_strips.expected_peak > in_tiles.expected_peak


def test_the_cost_line_reckons_with_all_of_them_and_says_where_they_cannot_share() -> None:
    size = {"frames": 49, "width": 512, "height": 512}
    one = cost("wan", **size, gpu=Gpu("NVIDIA H200", 140 << 30, 140 << 30))
    assert one.gpus == 1 and "GPUs" not in one.text
    answers = [cost("wan", **size, gpu=Gpu("NVIDIA H200", 140 << 30, 140 << 30, n)) for n in (2, 4, 8)]
    seconds = [one.seconds, *(answer.seconds for answer in answers)]
    assert all(before > after > before / 2.001 for before, after in pairwise(seconds))
    assert [answer.gpus for answer in answers] == [2, 4, 8] and "of each of 2 GPUs" in answers[0].text
    three = cost("wan", **size, gpu=Gpu("NVIDIA H200", 140 << 30, 140 << 30, 3))
    assert "3 GPUs cannot share this take" in three.problem and three.seconds is None


def test_what_is_exchanged_is_four_tensors_of_every_block_but_ones_own_part() -> None:
    assert exchanged_bytes(TOKENS, 1) == 0
    assert exchanged_bytes(TOKENS, 2) == 4 * (TOKENS / 2) * 5120 * 2 / 2 * 40
    assert exchanged_bytes(TOKENS, 8) < exchanged_bytes(TOKENS, 4) < exchanged_bytes(TOKENS, 2)
