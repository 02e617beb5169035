"""Colour conversions against numbers of others: OpenColorIO, zscale (zimg), and the standards' own points."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip.colours import ColourChoice
from ex4d.colour import REFERENCE_WHITE, View, from_linear, rgb_matrix, to_linear
from ex4d.colour.ocio import BUILT_IN, colour_space_by_name
from ex4d.colour.view import tone_mapped, tone_unmapped
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.colour import KNOWN, PRIMARIES, ColourSpace, named_primaries
from ex4d_ground.errors import MissingExtraError, SettingError

RAMP = np.linspace(0, 1, 65)
NAMES = {
    "acescg": "ACEScg",
    "aces": "ACES2065-1",
    "linear-rec2020": "Linear Rec.2020",
    "linear-p3": "Linear P3-D65",
    "srgb": "sRGB Encoded Rec.709 (sRGB)",
    "rec709": "Gamma 2.4 Encoded Rec.709",
    "p3": "sRGB Encoded P3-D65",
}


def by_opencolorio(values: Float64, source: str, target: str = "Linear Rec.709 (sRGB)") -> Float32:
    library = pytest.importorskip("PyOpenColorIO")
    flat = np.array(values, np.float32)
    config = library.Config.CreateFromFile(BUILT_IN)
    config.getProcessor(source, target).getDefaultCPUProcessor().applyRGB(flat)
    return flat


@pytest.mark.parametrize("ours", NAMES)
def test_standard_spaces_are_those_of_opencolorio(ours: str) -> None:
    colours = np.random.default_rng(0).random((500, 3))
    space = KNOWN[ours]
    light = to_linear(colours, space) @ rgb_matrix(space.places).T
    assert np.abs(light - by_opencolorio(colours, NAMES[ours])).max() < 1e-4


@pytest.mark.parametrize(("ours", "theirs"), [("pq", "Rec.2100-PQ - Display"), ("hlg", "Rec.2100-HLG - Display")])
def test_hdr_ramps_are_those_of_opencolorio(ours: str, theirs: str) -> None:
    grey = np.repeat(RAMP[:, None], 3, axis=1)
    nits = to_linear(grey, KNOWN[ours])[:, 1] * REFERENCE_WHITE
    luminance = by_opencolorio(grey, theirs, "CIE XYZ-D65 - Display-referred")[:, 1] * 100
    assert np.allclose(nits, luminance, rtol=1e-3, atol=2e-3)  # OpenColorIO lifts the very darkest


def by_zscale(signal: Float64, transfer: str) -> Float32:
    """Grey of PQ or HLG as linear light, 1 at 100 cd/m2."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    planes = np.repeat(signal.astype(np.float32)[None], 3, axis=0)
    size = f"{len(signal)}x1"
    convert = f"zscale=tin={transfer}:pin=2020:min=gbr:rin=full:t=linear:p=2020:m=gbr:r=full:npl=100,format=gbrpf32le"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gbrpf32le",
        "-s",
        size,
        "-i",
        "-",
        "-vf",
        convert,
    ]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], input=planes.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(3, -1)[0]


@pytest.mark.parametrize(("ours", "theirs"), [("pq", "smpte2084"), ("hlg", "arib-std-b67")])
def test_hdr_ramps_are_those_of_zscale(ours: str, theirs: str) -> None:
    nits = to_linear(np.repeat(RAMP[:, None], 3, axis=1), KNOWN[ours])[:, 1] * REFERENCE_WHITE
    expected = by_zscale(RAMP, theirs) * 100
    if ours == "hlg":  # zscale stretches HLG's 1000 cd/m2 to its own peak: the shape is compared
        expected = expected / expected[-1] * 1000
    assert np.allclose(nits, expected, rtol=2e-3, atol=0.02)


@pytest.mark.parametrize("name", KNOWN)
def test_every_space_goes_to_light_and_back(name: str) -> None:
    colours = np.random.default_rng(1).random((200, 3))
    assert np.abs(from_linear(to_linear(colours, KNOWN[name]), KNOWN[name]) - colours).max() < 1e-6


def test_reference_white_of_hdr_is_where_bt2408_has_it() -> None:
    grey = np.full(3, REFERENCE_WHITE / REFERENCE_WHITE)
    assert from_linear(grey, KNOWN["pq"])[0] == pytest.approx(0.58, abs=0.005)
    assert from_linear(grey, KNOWN["hlg"])[0] == pytest.approx(0.75, abs=0.005)


def test_the_tone_curve_rises_keeps_the_dark_and_ends_at_white() -> None:
    light = np.geomspace(1e-4, 1000 / 203, 4000)
    shown = tone_mapped(light)
    assert (np.diff(shown) > 0).all()
    dark = light < 85 / 203
    assert np.abs(shown[dark] / light[dark] - 1).max() < 1e-6
    assert shown[-1] == pytest.approx(1, abs=1e-6)
    assert tone_mapped(np.array([50.0]))[0] == pytest.approx(1, abs=1e-6)
    assert np.abs(tone_unmapped(shown) / light - 1).max() < 1e-3


def test_the_tone_curve_is_that_of_bt2390() -> None:
    """Worked through by hand from section 5.4.1, step by step, at three lights."""

    def pq(nits: float) -> float:
        y = (nits / 10000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375

    top = pq(203) / pq(1000)
    knee = 1.5 * top - 0.5
    for nits in (150.0, 300.0, 700.0):
        e1 = pq(nits) / pq(1000)
        t = (e1 - knee) / (1 - knee)
        e2 = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
        assert pq(float(tone_mapped(np.array([nits / 203]))[0]) * 203) == pytest.approx(e2 * pq(1000), abs=1e-6)


@pytest.mark.parametrize("name", ["acescg", "linear", "pq", "hlg", "srgb", "rec709", "p3"])
def test_a_view_undone_is_shown_the_same(name: str) -> None:
    """Whatever a model paints comes back into the plate's space so that its view is what was painted."""
    levels = np.random.default_rng(2).integers(0, 256, (2000, 3)).astype(np.uint8)
    view = View.of(KNOWN[name], brighter=True)
    numbers = view.undone(levels)
    assert np.abs(view.shown(numbers.astype(np.float32)).astype(int) - levels).max() <= 1


@pytest.mark.parametrize("name", ["acescg", "pq", "hlg"])
def test_the_view_is_made_of_the_documented_steps(name: str) -> None:
    space = KNOWN[name]
    signals = np.random.default_rng(3).uniform(0, 0.7, (500, 3)).astype(np.float16)
    light = to_linear(signals.astype(np.float64), space) @ rgb_matrix(space.places).T
    shown = tone_mapped(np.clip(light, 0, None))
    curve = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    assert np.abs(View.of(space, brighter=True).shown(signals) - curve * 255).max() < 1


def test_primaries_are_known_by_their_places() -> None:
    assert named_primaries(tuple(value + 1e-4 for value in PRIMARIES["ap1"])) == "ap1"
    assert named_primaries((0.7, 0.3, 0.2, 0.7, 0.1, 0.0, 0.3127, 0.3290)) == ""


def test_a_log_curve_by_name_goes_there_and_back() -> None:
    pytest.importorskip("PyOpenColorIO")
    space = colour_space_by_name("ARRI LogC4")
    signals = np.random.default_rng(4).uniform(0.1, 0.6, (100, 3))
    view = View.of(space, brighter=True)
    light = view.light(signals.astype(np.float32))
    assert np.abs(light - by_opencolorio(signals, "ARRI LogC4")).max() < 1e-5
    levels = view.shown(signals.astype(np.float32))
    assert np.abs(view.shown(view.undone(levels)).astype(int) - levels).max() <= 1


def test_a_name_that_nobody_knows_is_refused_with_those_that_are() -> None:
    pytest.importorskip("PyOpenColorIO")
    with pytest.raises(SettingError, match=r"no colour space 'LogQ'.*ACEScg"):
        colour_space_by_name("LogQ")
    with pytest.raises(SettingError, match="no OpenColorIO configuration"):
        colour_space_by_name("ACEScg", "/nowhere/config.ocio")


def test_names_need_opencolorio_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)  # as where it is not installed
    with pytest.raises(MissingExtraError, match="'colour' extra"):
        colour_space_by_name("ARRI LogC3 (EI800)", "ocio://default")
    assert ColourChoice("acescg").space == KNOWN["acescg"]


def test_blenders_own_configuration_is_understood() -> None:
    pytest.importorskip("PyOpenColorIO")
    bpy = pytest.importorskip("bpy")
    config = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "colormanagement" / "config.ocio"
    space = colour_space_by_name("ACEScg", config)
    colours = np.random.default_rng(5).random((50, 3)).astype(np.float32)
    light = View.of(space).light(colours)
    assert np.abs(light - colours @ rgb_matrix(PRIMARIES["ap1"]).T).max() < 1e-3


def test_descriptions_say_what_people_call_the_spaces() -> None:
    assert [str(KNOWN[name]) for name in ("srgb", "acescg", "pq", "rec709")] == [
        "sRGB",
        "ACEScg",
        "BT.2020 PQ",
        "BT.709",
    ]
    assert str(ColourSpace(name="S-Log3 S-Gamut3", transfer="named", primaries="")) == "S-Log3 S-Gamut3"
