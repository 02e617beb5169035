"""``ex4d doctor``: every part with its licence, every gap with the one command that closes it."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from ex4d import doctor


@pytest.fixture(scope="module")
def report() -> doctor.Report:
    return doctor.examine()


def test_json_is_the_whole_report(ex4d) -> None:
    outcome = ex4d("doctor", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert found["version"] == metadata.version("ex4d")
    assert {d["kind"] for d in found["devices"]} >= {"cpu"}
    assert found["problems"] == []


def test_every_package_in_use_has_a_version_and_a_licence(report: doctor.Report) -> None:
    names = {p.name.lower() for p in report.packages}
    assert {"numpy", "numba", "av", "openexr", "typer", "rich"} <= names
    for package in report.packages:
        assert package.version == metadata.version(package.name)
        assert package.licence
        assert package.licence != "not stated in its metadata"


def test_every_extra_says_what_it_is_for_and_how_to_get_it(report: doctor.Report) -> None:
    stated = set(metadata.metadata("ex4d").get_all("Provides-Extra") or [])
    assert {e.name for e in report.extras} == stated == set(doctor.EXTRA_PURPOSES)
    for extra in report.extras:
        assert extra.purpose
        assert extra.command == (f"pip install '.[{extra.name}]'" if extra.missing else "")


def test_a_missing_extra_names_its_packages_and_the_command(ex4d, monkeypatch) -> None:
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("peft", "bpy") else real(name))
    extras = {e.name: e for e in doctor.examine().extras}
    assert "peft" in extras["wan"].missing
    assert extras["wan"].command == "pip install '.[wan]'"
    shown = " ".join(ex4d("doctor").out.split())
    assert "pip install '.[blender]'" in shown


def test_a_broken_base_install_is_a_problem_and_exit_code_1(ex4d, monkeypatch) -> None:
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "numba" else real(name))
    outcome = ex4d("doctor")
    assert outcome.code == 1
    assert "Problem: numba missing; in the folder of EX-4D's source run: pip install --force-reinstall ./" in " ".join(
        outcome.out.split()
    )


def test_engines_and_estimators_state_licence_and_what_they_lack(report: doctor.Report) -> None:
    names = {p.name for p in report.parts if p.kind == "engine"}
    assert {"preview", "wan"} <= names
    assert any(p.kind == "depth estimator" for p in report.parts)
    for part in report.parts:
        assert part.licence
        assert part.available or part.missing


def test_where_there_is_a_gpu_what_draws_on_it_is_named_with_its_command(monkeypatch) -> None:
    from ex4d.raster import choice

    lacking = {"nvdiffrast"}
    monkeypatch.setattr(choice, "has_driver", lambda: True)
    monkeypatch.setattr(choice, "has_triton", lambda: False)
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name in lacking else object())
    lacks = {p.name: p.missing for p in doctor.examine().parts if p.kind == "rasterizer"}
    assert lacks["triton"] == "Triton is not installed; run: pip install triton"
    assert lacks["nvdiffrast"].startswith("nvdiffrast is not installed; run: pip install --no-build-isolation git+")
    lacking.add("torch")  # which both need first
    lacks = {p.name: p.missing for p in doctor.examine().parts if p.kind == "rasterizer"}
    assert lacks["triton"].startswith("PyTorch is not installed; ") and lacks["triton"].endswith("pip install '.[gpu]'")
    assert lacks["nvdiffrast"] == lacks["triton"]
    monkeypatch.setattr(choice, "has_driver", lambda: False)  # then no command would help
    lacks = {p.name: p.missing for p in doctor.examine().parts if p.kind == "rasterizer"}
    assert "run:" not in lacks["nvdiffrast"] and "no NVIDIA driver" in lacks["nvdiffrast"]


def test_the_table_shows_what_the_json_holds(ex4d, report: doctor.Report) -> None:
    shown = ex4d("doctor").out
    for part in report.parts:
        assert part.name in shown
    for extra in report.extras:
        assert extra.name in shown
    assert "GPL-2.0-or-later" in " ".join(shown.split())  # the encoders inside PyAV's wheels


def test_a_part_that_breaks_while_looked_at_is_a_finding(monkeypatch) -> None:
    def broken() -> None:
        raise OSError("libcudart.so.12:\n cannot open shared object file")

    monkeypatch.setattr("ex4d.engines.list_engines", broken)
    engines = [p for p in doctor.examine().parts if p.kind == "engine"]
    assert [p.available for p in engines] == [False]
    assert "OSError: libcudart.so.12: cannot open shared object file" in engines[0].missing
