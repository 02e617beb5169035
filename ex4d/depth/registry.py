"""The estimators there are: built in, Depth Anything 3 in its own environment, and the user's own by configuration.

The configuration is ``depth.toml`` in the user's configuration folder, or the file named by EX4D_DEPTH_CONFIG:

    [[estimator]]
    name = "my-depth"
    command = ["python3", "/opt/my_depth.py", "--frames", "{frames}", "--out", "{output}"]
    meaning = "metric"
    licence = "MIT"
    timeout_s = 1800
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_config_path, user_data_path

from ex4d.depth import tools
from ex4d.depth.depthcrafter.estimator import DepthCrafter
from ex4d.depth.estimator import DepthEstimator
from ex4d.depth.external import ExternalEstimator, ExternalTool, tool_from_table
from ex4d.depth.single_image import DepthAnythingV2, DepthPro
from ex4d.settings import About, settings_of
from ex4d.weights.layout import weights_root
from ex4d_ground.descriptions import EstimatorInfo
from ex4d_ground.errors import SettingError
from ex4d_ground.files import read_text
from ex4d_ground.parsing import parse_toml

DEFAULT_ESTIMATOR = "depth-anything-v2"
"""Used when none is named: its small model is Apache-2.0. A non-commercial model is never a default."""


@dataclass(frozen=True)
class DepthAnything3Settings:
    """What the script that runs Depth Anything 3 is told."""

    model_dir: Annotated[str, About("Folder of the model")] = field(
        default_factory=lambda: str(weights_root() / "DA3-BASE")
    )
    chunk: Annotated[int, About("Frames estimated together; fewer need less memory", 9, 500)] = 32
    device: Annotated[Literal["auto", "cuda", "cpu"], About("Where to compute")] = "auto"


def depth_anything_3() -> ExternalEstimator:
    """Depth Anything 3 by the Python of its own environment (its pins conflict with ours)."""
    folder = user_data_path("ex4d") / "envs" / "depth-anything-3"
    program = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = os.environ.get("EX4D_DA3_PYTHON") or str(folder / program)
    script = str(Path(tools.__path__[0]) / "run_depth_anything_3.py")
    tool = ExternalTool(
        name="depth-anything-3",
        command=(python, script, "{frames}", "{request}", "{output}", "{model_dir}", "{chunk}", "{device}"),
        title="Depth Anything 3 (in its own environment; also estimates the lens)",
        meaning="scale-free",
        licence="Apache-2.0 (base, small, metric-large); larger models are CC BY-NC 4.0",
        gives_intrinsics=True,
        temporally_steady=True,
        timeout_s=7200,
        environment={"HF_HUB_OFFLINE": "1"},
        install=f"python3 -m venv '{folder}' && '{folder / program}' -m pip install depth-anything-3",
        weights="depth-anything-3",
        settings=settings_of(DepthAnything3Settings),
    )
    return ExternalEstimator(tool)


_BUILT_IN: dict[str, Callable[[], DepthEstimator[Any]]] = {
    "depth-anything-v2": DepthAnythingV2,
    "depth-anything-3": depth_anything_3,
    "depth-pro": DepthPro,
    "depthcrafter": DepthCrafter,
}


def config_path() -> Path:
    """Where the user's estimators are configured."""
    given = os.environ.get("EX4D_DEPTH_CONFIG")
    return Path(given) if given else user_config_path("ex4d") / "depth.toml"


def configured_tools() -> list[ExternalTool]:
    """The user's own estimators. Raises SettingError with the file's name if the configuration is wrong."""
    path = config_path()
    if not path.is_file():
        return []
    try:
        tables = parse_toml(read_text(path)).get("estimator", [])
    except ValueError as error:
        raise SettingError(f"{path} is not valid TOML ({error}); mend or remove it.") from error
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SettingError(f"{path}: estimators must be [[estimator]] tables; mend or remove it.")
    configured = [tool_from_table(table, str(path)) for table in tables]
    taken = [t.name for t in configured if t.name in _BUILT_IN]
    if taken:
        raise SettingError(f"{path} names an estimator {taken[0]!r}, which is built in; choose another name.")
    return configured


def list_estimators() -> list[EstimatorInfo]:
    """Every estimator with its licence, meaning and what is missing. Works without torch."""
    tools_there = [ExternalEstimator(tool) for tool in configured_tools()]
    return [make().info() for make in _BUILT_IN.values()] + [tool.info() for tool in tools_there]


def get_estimator(name: str = DEFAULT_ESTIMATOR) -> DepthEstimator[Any]:
    """The estimator called ``name``. Raises SettingError that lists the names there are."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    own = {tool.name: tool for tool in configured_tools()}
    if name not in own:
        raise SettingError(f"There is no depth estimator {name!r}; choose one of: {', '.join([*_BUILT_IN, *own])}.")
    return ExternalEstimator(own[name])
