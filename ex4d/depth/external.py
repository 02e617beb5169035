"""Estimators in other programs: a command line and a file contract.

A plugged-in tool is any program that can be started from a command line. It gets a folder and leaves a file:

``{frames}``   folder with frame_00001.png, frame_00002.png, ... (8-bit RGB), or, with input = "npz", the path of an
               .npz with ``frames`` [T, H, W, 3] uint8 and ``fps``
``{request}``  JSON: num_frames, height, width, fps, seed, intrinsics (fx, fy, cx, cy in pixels, or null), settings
``{output}``   where to write an .npz with
               ``depth``      [T, h, w] (or [T, 1, h, w]) numbers, any size; it is scaled to the frames' size
               ``meaning``    optional: "metric", "scale-free" or "disparity" (default: as configured)
               ``intrinsics`` optional: [3, 3], [T, 3, 3] or fx, fy, cx, cy, in pixels of ``depth``'s own size
               ``world_from_camera`` optional, with ``intrinsics``: [T, 4, 4], where the camera stood at each frame, in
                              any world with the unit of ``depth``, OpenCV axes; for metric or scale-free depth

A line "progress DONE TOTAL" on standard output moves the progress bar; everything else it prints goes into the error
message if it fails. It must exit with 0. If it fails and has said "out of memory", or was killed, it is started again
with less where its settings allow that (half the ``chunk``, then ``device`` cpu). It is stopped, with its children, on
cancel, when its time is over, and when the program that wanted its work ends, by a kill too (see
:mod:`~ex4d.depth.guard`).
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import cv2
import numpy as np

from ex4d.depth import guard
from ex4d.depth.base import DepthEstimate, MemoryEstimate
from ex4d.depth.estimator import DepthEstimator, EstimateRun
from ex4d.depth.store import open_npz_frames, read_npz_small
from ex4d.progress import CancelToken, Watch, check, report, reported
from ex4d.weights.catalogue import find_package
from ex4d_ground import stages
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import MEANINGS, EstimatorInfo, Meaning, Setting
from ex4d_ground.errors import (
    DepthError,
    DeviceMemoryError,
    EngineError,
    InputError,
    MissingProgramError,
    SettingError,
    WeightsError,
    in_brief,
)
from ex4d_ground.remedies import fetch_weights, run_command
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.values import Seconds, misfits

POLL_SECONDS = 0.1
_OUT_OF_MEMORY = re.compile(r"out of ?memory|can't allocate memory|MemoryError", re.IGNORECASE)
"""What torch, CUDA, Python and most tools say. A tool that was killed without our asking ran out of main memory too."""
KILL_AFTER_SECONDS = 3.0
"""What a tool's guard is given, beyond the time that it gives the tool."""


@dataclass(frozen=True)
class ExternalTool:
    """How to start a plugged-in tool, and what is known about it."""

    name: str
    command: tuple[str, ...]
    title: str = ""
    meaning: Meaning = "scale-free"
    zero_is_infinity: bool = False
    licence: str = "not stated"
    research_only: bool = False
    gives_intrinsics: bool = False
    temporally_steady: bool = False
    timeout_s: Seconds = 3600.0
    input: Literal["png", "npz"] = "png"
    environment: Mapping[str, str] = field(default_factory=dict)
    install: str = ""
    """The one command that installs the tool, for the error when it is missing."""
    weights: str = ""
    """What ``ex4d weights list`` calls the model that the setting ``model_dir`` names by default; empty: not known."""
    settings: tuple[Setting, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or not self.command:
            raise SettingError(
                f"An external estimator needs a name and a command, got {self.name!r} and {self.command!r}."
            )
        joined = " ".join(self.command)
        missing = [p for p in ("{frames}", "{output}") if p not in joined]
        if missing:
            raise SettingError(
                f"The command of the estimator {self.name!r} lacks {' and '.join(missing)}; it is: {joined}"
            )
        if self.meaning not in MEANINGS:
            raise SettingError(
                f"The meaning of {self.name!r} must be one of {', '.join(MEANINGS)}, got {self.meaning!r}."
            )
        if self.input not in ("png", "npz"):
            raise SettingError(f"The input of {self.name!r} must be png or npz, got {self.input!r}.")
        if not self.timeout_s > 0:
            raise SettingError(f"The timeout of {self.name!r} must be positive seconds, got {self.timeout_s}.")


class ExternalEstimator(DepthEstimator[dict[str, Any]]):
    """Runs an :class:`ExternalTool` as an estimator; it counts as available if its program can be found."""

    settings_type = dict

    def __init__(self, tool: ExternalTool):
        self.tool = tool
        self.about = EstimatorInfo(
            name=tool.name,
            title=tool.title or f"{tool.name} (external tool)",
            meaning=tool.meaning,
            licence=tool.licence,
            research_only=tool.research_only,
            gives_intrinsics=tool.gives_intrinsics,
            temporally_steady=tool.temporally_steady,
            zero_is_infinity=tool.zero_is_infinity,
            settings=tool.settings,
        )

    def require(self) -> None:
        """Raise if the program, or the model that the setting ``model_dir`` names by default, is not here."""
        self._require_program()
        self._require_weights()

    def _require_program(self) -> None:
        program = self.tool.command[0]
        if shutil.which(program) is not None:
            return
        text = f"The program {program} of the estimator {self.tool.name!r} is not installed"
        if not self.tool.install:
            raise MissingProgramError(f"{text}; install it, or mend its command in the configuration.")
        raise MissingProgramError(f"{text}.", remedy=run_command(self.tool.install.removeprefix("run: ")))

    def _require_weights(self) -> None:
        package = find_package(self.tool.weights) if self.tool.weights else None
        if package is not None and not package.is_there():
            text = f"The weights of the estimator {self.tool.name!r} are not in {package.path()}."
            raise WeightsError(text, remedy=fetch_weights(package.name))

    def _memory(self, height: int, width: int, settings: dict[str, Any]) -> MemoryEstimate:
        """What this side uses; the tool's own need is not known."""
        return MemoryEstimate(0, height * width * 16)

    def _estimate(self, run: EstimateRun, settings: dict[str, Any]) -> DepthEstimate:
        """Hand the frames over, wait, read the depth back."""
        self._require_program()
        own_model = any(s.name == "model_dir" and settings[s.name] != s.default for s in self.tool.settings)
        if not own_model:
            self._require_weights()
        with tempfile.TemporaryDirectory(prefix="ex4d-depth-") as name:
            paths = self._hand_over(Path(name), run, settings)
            self._run(paths, settings, run.watch)
            if not Path(paths["output"]).is_file():
                raise EngineError(
                    f"The estimator {self.tool.name!r} ended without writing its output; it must write {{output}}."
                )
            return self._read(Path(paths["output"]), run.values(), run.watch.get("cancel"))

    def _smaller(
        self, settings: dict[str, Any], num_frames: int, weights_alone: bool
    ) -> tuple[dict[str, Any], str] | None:
        """Half the chunk, then the CPU, for tools that have these settings."""
        known = {s.name: s for s in self.tool.settings}
        if "chunk" in known:
            half = min(settings["chunk"], num_frames) // 2
            if half >= (known["chunk"].minimum or 1):
                return {**settings, "chunk": half}, f"with {half} frames at a time"
        if "device" in known and settings["device"] != "cpu":
            return {**settings, "device": "cpu"}, "on the CPU, which takes far longer"
        return None

    def _hand_over(self, folder: Path, run: EstimateRun, settings: dict[str, Any]) -> dict[str, str]:
        """Write frames and request; the paths that the command's words in braces stand for."""
        num_frames, height, width = run.shape
        request = {"num_frames": num_frames, "height": height, "width": width, "fps": run.frames.fps}
        request |= {"seed": run.seed, "intrinsics": None, "settings": settings}
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        images = folder / "frames"
        images.mkdir()
        stack = None
        if self.tool.input == "npz":
            stack = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (*run.shape, 3))
        for index, frame in enumerate(reported(run.frames, stages.DEPTH_HAND_OVER, num_frames, **run.watch)):
            if stack is not None:
                stack[index] = frame
            else:
                cv2.imwrite(str(images / f"frame_{index + 1:05d}.png"), frame[..., ::-1])
        if stack is not None:
            np.savez(folder / "frames.npz", frames=stack, fps=run.frames.fps)
            del stack
            (folder / "frames.npy").unlink()
        source = folder / "frames.npz" if self.tool.input == "npz" else images
        return {"frames": str(source), "request": str(folder / "request.json"), "output": str(folder / "depth.npz")}

    def _run(self, paths: dict[str, str], values: dict[str, Any], watch: Watch) -> None:
        command = [_filled(part, paths | {k: str(v) for k, v in values.items()}) for part in self.tool.command]
        tail: deque[str] = deque(maxlen=30)
        done, mark = [0, 0], secrets.token_hex(16)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **self.tool.environment, guard.MARK: mark},
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            raise EngineError(
                f"The estimator {self.tool.name!r} cannot be started ({in_brief(error)}): {command[0]}"
            ) from error
        assert process.stdout is not None
        reader = threading.Thread(target=_listen, args=(process.stdout, tail, done), daemon=True)
        reader.start()
        deadline = time.monotonic() + self.tool.timeout_s
        try:
            while process.poll() is None:
                check(watch.get("cancel"))
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"The estimator {self.tool.name!r} was stopped after its {self.tool.timeout_s:g} s; "
                        "raise timeout_s in its configuration or give it fewer frames."
                    )
                if done[1]:
                    report(watch.get("on_progress"), stages.DEPTH_ESTIMATE, done[0], done[1])
                time.sleep(POLL_SECONDS)
        finally:
            _stop(process)
            guard.kill_marked(mark)  # should its guard have been killed
            if process.stdin is not None:
                process.stdin.close()
            reader.join(timeout=5)
            process.stdout.close()
        if process.returncode == guard.CANNOT_START and tail and tail[-1].startswith("cannot be started"):
            raise EngineError(f"The estimator {self.tool.name!r} {tail[-1]}: {command[0]}")
        if process.returncode != 0:
            said = " / ".join(list(tail)[-4:]) or "it printed nothing"
            if process.returncode == -signal.SIGKILL or any(_OUT_OF_MEMORY.search(line) for line in tail):
                raise DeviceMemoryError(
                    f"The estimator {self.tool.name!r} ran out of memory (exit code {process.returncode}: {said}); "
                    "give it fewer frames or smaller ones."
                )
            raise EngineError(f"The estimator {self.tool.name!r} failed with exit code {process.returncode}: {said}")

    def _read(self, path: Path, out: Float32, cancel: CancelToken | None) -> DepthEstimate:
        num_frames, height, width = out.shape
        with open_npz_frames(path) as (shape, frames):
            if shape[0] != num_frames:
                raise DepthError(
                    f"The estimator {self.tool.name!r} wrote {shape[0]} frames of depth for {num_frames} frames of "
                    "video; it must write one for each."
                )
            for index, frame in enumerate(frames()):
                check(cancel)
                if not np.isfinite(frame).any():
                    raise EngineError(
                        f"The estimator {self.tool.name!r} wrote only NaN or infinity in frame {index + 1}; check its "
                        "log."
                    )
                same = frame.shape == (height, width)
                out[index] = frame if same else cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        meaning = self._meaning(read_npz_small(path, "meaning"))
        stored = read_npz_small(path, "intrinsics")
        lens = self._lens(stored, shape[1:])
        camera = self._camera(read_npz_small(path, "world_from_camera"), stored, lens, num_frames)
        return DepthEstimate(
            out,
            meaning,
            lens.resized(width, height) if lens else None,
            self.tool.zero_is_infinity,
            details={"command": Path(self.tool.command[0]).name},
            source_camera=camera.resized(width, height) if camera else None,
        )

    def _camera(
        self, poses: np.ndarray | None, lenses: np.ndarray | None, lens: Intrinsics | None, num_frames: int
    ) -> SourceCamera | None:
        """The camera that filmed, with a lens per frame where the tool gives one. Raises DepthError."""
        if poses is None or lens is None:
            return None
        k = np.asarray(lenses, np.float64)
        rows: Any = lens
        if k.shape == (num_frames, 3, 3):
            rows = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], axis=1)
        try:
            camera = SourceCamera.of(poses, rows, size=(lens.width, lens.height), origin="estimated")
        except InputError as error:
            raise DepthError(
                f"The estimator {self.tool.name!r} wrote cameras that are none: {error} It must write [T, 4, 4]."
            ) from error
        if len(camera) != num_frames:
            raise DepthError(
                f"The estimator {self.tool.name!r} wrote {len(camera)} cameras for {num_frames} frames of video; it "
                "must write one for each."
            )
        return camera

    def _meaning(self, stored: np.ndarray | None) -> Meaning:
        if stored is None:
            return self.tool.meaning
        for known in MEANINGS:
            if known == str(stored):
                return known
        raise DepthError(
            f"The estimator {self.tool.name!r} wrote the meaning {str(stored)!r}; it must be one of "
            f"{', '.join(MEANINGS)}."
        )

    def _lens(self, stored: np.ndarray | None, size: tuple[int, int]) -> Intrinsics | None:
        if stored is None:
            return None
        k = np.asarray(stored, np.float64)
        if k.ndim == 3 and k.shape[1:] == (3, 3):
            k = np.median(k, axis=0)
        if k.shape == (3, 3):
            k = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
        if k.shape != (4,):
            raise DepthError(
                f"The estimator {self.tool.name!r} wrote intrinsics of shape {k.shape}; it must be [3, 3], [T, 3, 3] "
                "or fx, fy, cx, cy."
            )
        fx, fy, cx, cy = (float(v) for v in k)
        return Intrinsics(fx, fy, cx, cy, size[1], size[0], f"estimated by {self.tool.name}")


def _filled(part: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        part = part.replace("{" + name + "}", value)
    return part


def _listen(stream: IO[str], tail: deque[str], done: list[int]) -> None:
    """Read a tool's output as it comes, so that it never blocks on a full pipe."""
    with suppress(ValueError, OSError):  # closed while reading: the tool was stopped
        for line in stream:
            words = line.split()
            if len(words) == 3 and words[0] == "progress" and words[1].isdecimal() and words[2].isdecimal():
                done[:] = int(words[1]), int(words[2])
            elif words:
                tail.append(line.strip())


def _stop(process: subprocess.Popen[str]) -> None:
    """End a tool and everything it started: its guard does so when this end of its input closes, or as it ends."""
    if process.stdin is not None and process.poll() is None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(guard.TERM_S + KILL_AFTER_SECONDS)
        return
    process.kill()
    process.wait(KILL_AFTER_SECONDS)


def tool_from_table(table: Mapping[str, Any], origin: str) -> ExternalTool:
    """An :class:`ExternalTool` from one [[estimator]] table of a configuration file. Raises SettingError."""
    known = set(ExternalTool.__dataclass_fields__) - {"settings", "weights"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise SettingError(
            f"{origin} has an estimator with the unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}."
        )
    command = table.get("command", ())
    if isinstance(command, str) or not isinstance(command, Sequence) or not all(isinstance(c, str) for c in command):
        raise SettingError(f"{origin}: the command of an estimator must be a list of words, got {command!r}.")
    for misfit in misfits({key: value for key, value in table.items() if key != "command"}, ExternalTool):
        raise SettingError(f"{origin}: the estimator {table.get('name', '')!r} has {misfit.words}.")
    return ExternalTool(**{**table, "name": table.get("name", ""), "command": tuple(command)})
