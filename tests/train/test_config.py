from __future__ import annotations

import json
import re
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from typing import get_type_hints

import pytest
from msgspec import structs
from msgspec.structs import replace

from ex4d.engines.gpu import Gpu
from ex4d.engines.wan.cost_model import PUBLISHED, tokens
from ex4d.train.config import ConfigError, TrainConfig, parse_config, read_config
from ex4d.train.cost import GIB, decided, geometry_parameters, lora_parameters, per_block, step_cost, step_tflop
from ex4d.train.doctor import examine, gpu_of
from ex4d_ground.errors import SettingError

EXAMPLES = Path(__file__).parents[2] / "examples" / "train"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "results"
CLIP = tokens(49, 512, 512)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"train": {"learning_rat": 1e-4}},
            r"train\.learning_rat, which there is not; did you mean train\.learning_rate",
        ),
        ({"trainn": {"steps": 3}}, r"sets trainn, which there is not; did you mean train"),
        ({"data": {"accumulate": 3}}, r"data\.accumulate, which there is not; it belongs to \[train\]"),
        ({"train": {"steps": 0}}, r"train\.steps = 0: give a whole number from 1"),
        ({"train": {"steps": "many"}}, r"train\.steps = 'many': give a whole number"),
        ({"memory": {"base": "4bit"}}, r"memory\.base = '4bit': give one of"),
        ({"memory": {"swap_blocks": 4, "recompute": "kept"}}, "swapped blocks recompute in full"),
        ({"memory": {"swap_blocks": 4}, "parallel": {"kind": "fsdp2"}}, "fsdp2 splits the blocks already"),
    ],
)
def test_a_wrong_configuration_says_what_is_meant(content, said) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(content, Path())


def numbers() -> Iterator[tuple[str, str, str]]:
    """Every number of a configuration, with what makes no sense for it."""
    for table in structs.fields(TrainConfig):
        for name, hint in get_type_hints(table.type).items() if isclass(table.type) else ():
            for value in {int: ("-1", "9" * 20), float: ("nan", "inf", "-inf", "-1", "1e30")}.get(hint, ()):
                yield table.name, name, value


def test_the_walk_meets_the_numbers_there_are() -> None:
    met = {f"{table}.{name}" for table, name, _ in numbers()}
    assert {"train.learning_rate", "train.ema", "data.batch", "model.alpha", "output.keep", "train.seed"} <= met


@pytest.mark.parametrize(("table", "name", "value"), list(numbers()))
def test_an_absurd_number_is_refused_with_its_name_its_value_and_what_it_may_be(tmp_path, table, name, value) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"[{table}]\n{name} = {value}\n")
    with pytest.raises(ConfigError) as refused:
        read_config(path)
    said = str(refused.value)
    assert said.startswith(f"a.toml sets {table}.{name} = ") and re.search(
        r": give a (whole )?number (from|above)", said
    )
    assert f"{float(value):g}" in said or value in said or "1e+30" in said


def test_a_file_that_is_no_toml_is_named(tmp_path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("steps = = 3")
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read as TOML"):
        read_config(path)
    with pytest.raises(ConfigError, match="There is no configuration"):
        read_config(tmp_path / "b.toml")


def test_paths_are_relative_to_the_file(tmp_path) -> None:
    (tmp_path / "a.toml").write_text('[data]\ndataset = "set"\n[model]\nstart = "runs/x.safetensors"\n')
    config = read_config(tmp_path / "a.toml")
    assert config.data.dataset == str(tmp_path / "set")
    assert config.model.start == str(tmp_path / "runs" / "x.safetensors")
    assert parse_config({"model": {"start": "ex4d"}}, tmp_path).model.start == "ex4d"


def test_the_published_sizes_are_reckoned_right() -> None:
    assert lora_parameters(PUBLISHED, 16) == 76_677_120
    assert geometry_parameters(PUBLISHED, 1024) == pytest.approx(23.11e6, rel=1e-3)
    assert step_tflop(CLIP, PUBLISHED, 1.0) == pytest.approx(1640, rel=0.02)


@pytest.mark.parametrize(("name", "gib"), [("one_24gb", 24), ("one_80gb", 80), ("two_80gb", 80), ("eight_80gb", 80)])
def test_every_example_fits_its_card(name, gib) -> None:
    config = read_config(EXAMPLES / f"{name}.toml")
    found = examine(config, gpu_of(f"H200:{gib - 1}"), processes={"two_80gb": 2, "eight_80gb": 8}.get(name, 1))
    assert found.problem is None, found.lines
    assert any("a step" in line for line in found.lines)


def test_what_saves_memory_lowers_the_estimate_and_what_keeps_raises_it() -> None:
    def peak(recompute: str = "full", **memory) -> float:
        config = parse_config({"memory": memory | {"recompute": recompute}}, Path())
        return step_cost(config, PUBLISHED, CLIP, "H200").peak_bytes / GIB

    falling = [peak("kept"), peak("products", eased_blocks=16), peak("products"), peak("attention", eased_blocks=1)]
    falling += [peak("attention"), peak()]
    falling += [peak(base="fp8"), peak(base="fp8", swap_blocks=20)]
    assert falling == sorted(falling, reverse=True)
    assert peak() == pytest.approx(40.8, rel=0.1)  # measured with diffusers and peft, compiled


@pytest.mark.parametrize(("free", "least", "further"), [(139, "products", "kept"), (79, "attention", "products")])
def test_as_little_is_computed_again_as_the_memory_allows(free, least, further) -> None:
    found = decided(parse_config({}, Path()), PUBLISHED, CLIP, "H200", free * GIB)
    blocks = per_block(found.memory, 40)
    assert blocks == sorted(blocks, key=(least, further).index) and set(blocks) == {least, further}

    def peak(eased: int) -> float:
        memory = replace(found.memory, eased_blocks=eased)
        return step_cost(replace(found, memory=memory), PUBLISHED, CLIP, "H200").peak_bytes

    assert peak(found.memory.eased_blocks) <= 0.9 * free * GIB < peak(found.memory.eased_blocks + 1)
    lines = examine(parse_config({}, Path()), gpu_of(f"H200:{free}")).lines
    assert any(f"{least} (" in line and f"{further} (" in line for line in lines), lines


MEASURED = [
    pytest.param(file, *place, id=f"{file} {' '.join(place)}")
    for file, places in {
        "train_h200": [("ours", k) for k in ("full", "attention", "products", "attention_offloaded")],
        "train_h200_x2": [
            *(("ours", k) for k in ("full", "attention", "products", "full_offloaded", "attention_offloaded")),
            *(("fp8", k) for k in ("full", "attention")),
            ("parallel", "ddp"),
            ("parallel", "fsdp2"),
            ("card24", ""),
        ],
        "train_h200_third": [("ours", k) for k in ("attention", "products", "products_eased", "attention_offloaded")],
    }.items()
    for place in places
]


@pytest.mark.parametrize(("file", "section", "kind"), MEASURED)
def test_estimates_are_within_a_tenth_of_what_was_measured(file, section, kind) -> None:
    results = json.loads((BENCHMARKS / f"{file}.json").read_text(encoding="utf-8"))
    found = results[section][kind] if kind else results[section]
    recompute, _, how = (kind if section in ("ours", "fp8") else "full").partition("_")
    base = "16bit" if section in ("ours", "parallel") else "fp8"
    memory = {"base": base, "recompute": recompute, "offload_inputs": how == "offloaded"}
    memory |= {"swap_blocks": found.get("swapped", 0), "eased_blocks": found.get("eased", 0)}
    tables = {"memory": memory}
    tables |= {"parallel": {"kind": kind if section == "parallel" else "ddp"}}
    processes = results["parallel"]["processes"] if section == "parallel" else 1
    config = parse_config(tables, Path())
    cost = step_cost(config, PUBLISHED, CLIP, results["environment"]["gpu"], processes=processes)
    assert cost.peak_bytes / GIB == pytest.approx(found["peak_gib"], rel=0.1)
    assert cost.seconds == pytest.approx(found["seconds"], rel=0.1)


def test_a_run_that_cannot_fit_is_told_with_what_would_help() -> None:
    found = examine(parse_config({}, Path()), Gpu("RTX 4090", 24 * GIB, 23 * GIB))
    assert found.problem is not None and 'set memory.base to "fp8"' in str(found.problem)
    config = parse_config({"memory": {"base": "fp8"}}, Path())
    assert "memory.swap_blocks" in str(examine(config, Gpu("RTX 4090", 24 * GIB, 12 * GIB)).problem)


def test_auto_takes_what_fits() -> None:
    for gib, expected in ((200, "kept"), (139, "products"), (60, "attention"), (44, "full")):
        assert examine(parse_config({}, Path()), gpu_of(f"H200:{gib}")).recompute.split(" ")[0] == expected


def test_a_gpu_is_given_with_its_memory() -> None:
    gpu = gpu_of("RTX 4090:24")
    assert gpu is not None and gpu.name == "RTX 4090" and gpu.total == 24 * GIB
    with pytest.raises(SettingError, match="NAME:GIB"):
        gpu_of("RTX 4090")
