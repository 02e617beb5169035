"""An estimate whose weights are missing: offered with size and licence, downloaded once agreed, then it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from drawn_panels import draw_all
from under_way import spin

pytest.importorskip("huggingface_hub")
for name in ("weights", "depth"):
    sys.path.insert(0, str(Path(__file__).parents[1] / name))

from fake_hub import Hub, serve  # noqa: E402

REPOSITORY = "depth-anything/Depth-Anything-V2-Small-hf"
PACKAGE = "depth-anything-v2-small"
BIG = 40 << 20
"""Bytes of a file that is slow to come."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a real, tiny Depth Anything V2, in the layout of its repository."""
    pytest.importorskip("transformers")
    import tiny_models

    folder = tiny_models.depth_anything(tmp_path_factory.mktemp("model"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(model: dict[str, bytes]) -> Any:
    with serve(REPOSITORY, dict(model)) as hub:
        yield hub


@pytest.fixture
def lacking(blender: Any, backend_command: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Blender beside a backend that it starts by itself and that has no weights yet."""
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "none.toml").write_text("")
    blender.context.preferences.system.use_online_access = True
    return blender


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_missing_weights_are_offered_downloaded_once_agreed_and_the_estimate_runs_by_itself(
    lacking, hub, sources, tmp_path
):
    from blender_addon.panels import fetch_weights

    operators, scene = lacking.ops.ex4d, lacking.context.scene
    with pytest.raises(RuntimeError, match="Its weights are not in"):
        operators.open_video(filepath=sources["video_path"])
    assert hub.sent == {}, "nothing is downloaded unasked"
    clip = draw_all(lacking.context)["Clip"]
    assert clip.button("ex4d.fetch_weights")["packages"] == PACKAGE
    shown = " ".join(fetch_weights.terms(PACKAGE))
    assert "100 MB, Apache-2.0" in shown and f"{hub.address}/{REPOSITORY}" in shown and "this machine" in shown
    with pytest.raises(RuntimeError, match="only after somebody has agreed"):
        operators.fetch_weights(packages=PACKAGE)
    assert hub.sent == {} and scene.ex4d.shot is None
    assert operators.fetch_weights(packages=PACKAGE, agreed=True) == {"FINISHED"}
    assert "model.safetensors" in files_in(tmp_path / "weights")
    shot = scene.ex4d.shot
    assert shot is not None and shot.ex4d.num_frames == 5, "the estimate that was asked for has run"
    assert "Depth Anything V2" in shot.ex4d.depth_estimator and "Apache-2.0" in shot.ex4d.depth_licence


def test_a_download_shows_how_far_it_is_stops_at_once_and_goes_on_later(lacking, hub, sources, tmp_path):
    from blender_addon.work import session

    operators = lacking.ops.ex4d
    hub.files["model.safetensors"] += bytes(BIG)  # after a safetensors' end: not read, but it takes its time
    hub.stall_after = 20_000_000
    operators.connect()
    assert not operators.cancel_weights.poll()
    task = begin_download(lacking)
    half = tmp_path / "weights" / "Depth-Anything-V2-Small-hf" / ".model.safetensors.partial"
    spin(lambda: half.is_file() and half.stat().st_size >= 19_900_000 and task.progress.stage.startswith("fetching"))
    assert task.progress.total == 43 and operators.cancel_weights.poll()
    assert operators.cancel_weights() == {"FINISHED"}
    spin(lambda: task.finished)
    assert "cancelled" in session.get().message and not session.get().message_is_error
    spin(lambda: session.get().capabilities.devices[0].worker == "idle")
    arrived, hub.stall_after = half.stat().st_size, None
    hub.sent.clear()
    assert operators.fetch_weights(packages=PACKAGE, agreed=True) == {"FINISHED"}
    whole = len(hub.files["model.safetensors"])
    assert whole - 20_000_000 <= hub.sent["model.safetensors"] <= whole - arrived


def begin_download(blender: Any) -> Any:
    """The task as the modal operator begins it."""
    from blender_addon.jobs import weights
    from blender_addon.panels.fetch_weights import TITLE
    from blender_addon.work import session

    current = session.get()
    task = current.start(TITLE, weights.fetch(current.require_link(), weights.find(PACKAGE)), panel="Clip")
    task.watched_at = 0.0
    return task


def test_a_wrong_hash_is_a_sentence_with_the_way_to_try_again(lacking, hub, sources, tmp_path):
    hub.tell = lambda model: (
        model["siblings"][-1].update(lfs={"sha256": "0" * 64, "size": 0, "pointerSize": 1})
        or [s.update(lfs={"sha256": "0" * 64, "size": s["size"], "pointerSize": 1}) for s in model["siblings"]]
    )
    from blender_addon.work import session

    lacking.ops.ex4d.connect()
    with pytest.raises(RuntimeError, match="another SHA-256 than the hub states and was thrown away"):
        lacking.ops.ex4d.fetch_weights(packages=PACKAGE, agreed=True)
    assert session.get().message_remedy.values["packages"] == PACKAGE
    assert files_in(tmp_path / "weights") == []


def test_a_backend_that_may_not_download_leaves_the_command(lacking, hub, monkeypatch):
    from blender_addon.jobs import offers
    from blender_addon.panels import fixes

    monkeypatch.setenv("EX4D_BACKEND_WEIGHTS_DOWNLOADS", "false")
    lacking.ops.ex4d.connect()
    remedy = offers.estimator("depth-anything-v2").remedy
    fix = fixes.fix_for(remedy)
    assert fix.operator == "ex4d.copy_command"
    assert fix.arguments == {"command": f"ex4d weights fetch {PACKAGE}"}
    with pytest.raises(
        RuntimeError, match=f"downloads no weights for its clients.*; run: ex4d weights fetch {PACKAGE}"
    ):
        lacking.ops.ex4d.fetch_weights(packages=PACKAGE, agreed=True)
    with pytest.raises(RuntimeError, match="knows no weights 'nothing'"):
        lacking.ops.ex4d.fetch_weights(packages="nothing", agreed=True)
    assert hub.sent == {}


def test_offline_blender_asks_for_online_access_first(lacking, hub):
    lacking.context.preferences.system.use_online_access = False
    lacking.ops.ex4d.connect()
    with pytest.raises(RuntimeError, match="stay offline, so no weights can be downloaded; tick Preferences > System"):
        lacking.ops.ex4d.fetch_weights(packages=PACKAGE, agreed=True)
    assert hub.sent == {}
