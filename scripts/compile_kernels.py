"""Compile the library's loops ahead, for every machine of this kind: the folder that a wheel for one system carries.

    python scripts/compile_kernels.py FOLDER

Runs in an environment that has the library's dependencies, in the versions that the wheel's users will have. All that
draws guides, builds meshes and fills holes on the CPU is done once on a tiny clip, so that every loop is compiled for
what it is really called with; a loop that is not reached, or is called with two kinds of arguments, is an error.
FOLDER/cp311 (by the version of Python) gets what is needed of numba's cache, see :mod:`ex4d.compiled.shipped`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import llvmlite.binding
import numba
import numpy as np
from numba.core.registry import cpu_target

ROOT = Path(__file__).resolve().parents[1]
SIZE, FRAMES = 96, 7


def main() -> int:
    """Compile, then find out in a second process which loops a user's process asks for, and keep these."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", choices=("compile", "keep"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        problems = compile_all() if options.step == "compile" else keep(options.folder)
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        return 1 if problems else 0
    sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]
    from ex4d.compiled import shipped

    if shipped.machine() not in shipped.TARGETS:
        parser.error(f"No processor is chosen for {shipped.machine()!r}: add it to ex4d/compiled/shipped.py.")
    cpu, features = shipped.TARGETS[shipped.machine()]
    with tempfile.TemporaryDirectory() as cache:
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "backend", "protocol"))
        target = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": paths}
        for step in ("compile", "keep"):
            command = [sys.executable, __file__, str(options.folder.absolute()), "--step", step]
            if subprocess.run(command, env={**os.environ, **target}, check=False).returncode:
                return 1
    return 0


def compile_all() -> list[str]:
    """Have everything compiled; returns what is wrong."""
    kernels = all_kernels()
    work()
    missed = [name_of(kernel) for kernel in kernels if not kernel.overloads]
    return [f"{name} is never called here: add what calls it to scripts/compile_kernels.py." for name in missed]


def keep(folder: Path) -> list[str]:
    """Put what is loaded by name, rather than as a part of another loop, into ``folder``; returns what is wrong."""
    kernels = all_kernels()
    work()
    problems = [f"{name_of(k)} was compiled twice." for k in kernels if k.stats.cache_misses]
    wanted = [kernel for kernel in kernels if kernel.overloads]
    for kernel in wanted:
        if len(kernel.overloads) > 1:
            kinds = "; ".join(map(str, kernel.overloads))
            problems.append(f"{name_of(kernel)} is called with {len(kernel.overloads)} kinds of arguments: {kinds}")
    target = put(wanted, folder)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {len(wanted)} loops, {size / 1e6:.1f} MB")
    return problems


def put(wanted: list[Any], folder: Path) -> Path:
    """Write the cache files of these, and what they are for, into the folder of this Python, which is returned."""
    from ex4d.compiled import shipped

    target = folder / shipped.python_folder()
    parts = parts_of_others(all_kernels())
    for kernel in wanted:
        copy_cache(kernel, target / kernel._cache.module, is_part=name_of(kernel) in parts)
    about = shipped.About(numba.__version__, llvmlite.__version__, *cpu_target.target_context.codegen().magic_tuple())
    (target / shipped.ABOUT).write_text(json.dumps(asdict(about), indent=1) + "\n", encoding="utf-8")
    return target


def all_kernels() -> list[Any]:
    """Those of every module of the library that declares any."""
    from ex4d.compiled.kernel import KERNELS

    for path in sorted((ROOT / "ex4d").rglob("*.py")):
        if "from ex4d.compiled.kernel import" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return KERNELS


def name_of(kernel: Any) -> str:
    """Where it stands."""
    return f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}"


def copy_cache(kernel: Any, folder: Path, *, is_part: bool) -> None:
    """A loop's files, without the listing of the source with types and paths that numba keeps for people.

    One that is part of no other loop (``is_part``) also goes without what it would be linked into that from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in Path(kernel._cache.cache_path).glob(f"{kernel._cache.name}.*"):
        data = path.read_bytes()
        if path.suffix == ".nbc":
            library, *rest = pickle.loads(data)  # noqa: S301 - made by ourselves a moment ago
            name, kind, (code, source) = library
            assert kind == "object", "numba keeps machine code"
            library = name, kind, (code, source if is_part else names_alone(source))
            data = pickle.dumps((library, *("" if isinstance(part, str) else part for part in rest)), protocol=5)
        (folder / path.name).write_bytes(data)


def names_alone(source: bytes) -> bytes:
    """LLVM's intermediate code of which the names are left that it defines: where numba looks them up."""
    module = llvmlite.binding.parse_bitcode(source)
    functions = [f'define void @"{f.name}"() {{ ret void }}' for f in module.functions if not f.is_declaration]
    variables = [f'@"{v.name}" = global i8 0' for v in module.global_variables if not v.is_declaration]
    return llvmlite.binding.parse_assembly("\n".join([*functions, *variables])).as_bitcode()


def parts_of_others(kernels: list[Any]) -> set[str]:
    """The names of those that another loop mentions."""
    known, found = {id(kernel): name_of(kernel) for kernel in kernels}, set()
    for kernel in kernels:
        names, there = kernel.py_func.__code__.co_names, kernel.py_func.__globals__
        mentioned = [there.get(name) for name in names]
        of_modules = [getattr(m, name, None) for m in mentioned if isinstance(m, ModuleType) for name in names]
        found |= {known[id(value)] for value in (*mentioned, *of_modules) if id(value) in known}
    return found


def work() -> None:
    """Everything that runs compiled loops, on clips as people's come: arrays of our own, and such as are read-only."""
    for kept in (lambda array: array, read_only, strided):
        clip = make_clip()
        clip = replace(clip, frames=kept(clip.frames), depth=kept(clip.depth))
        holes(clip)
        meshes(clip)
        edits_of_a_proxy(clip)
        pictures(clip)
        backgrounds(clip)
        previews(clip)


def read_only(array: Any) -> Any:
    """As a store on disk gives it."""
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array: Any) -> Any:
    """As a part of a larger picture."""
    wide = np.repeat(array, 2, axis=2)
    return wide[:, :, ::2]


def make_clip() -> Any:
    """Boxes before a wall, one of which moves; with a wavering, somewhat blurred depth."""
    from ex4d.types import Clip
    from ex4d_ground.cameras import Intrinsics

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    depth = np.empty((FRAMES, SIZE, SIZE), np.float32)
    for t in range(FRAMES):
        box = (abs(x - 40 - 2 * t) < 9) & (abs(y - 48) < 20)
        post = abs(x - 75) < 4
        frames[t] = np.stack([100 + 60 * np.sin(x / 3), 100 + 60 * np.cos(y / 4), 0 * x + 90], axis=-1)
        frames[t][post], frames[t][box] = (30, 200, 60), (220, 60, 20)
        depth[t] = np.where(box, 3.0, np.where(post, 4.0, 8.0 + y / SIZE)) + 0.01 * rng.random()
    return Clip(frames, depth, Intrinsics.from_fov(SIZE, SIZE))


def blurred(clip: Any) -> Any:
    """The same with depth as estimators give it, that a Gaussian explains."""
    inverse = np.stack([cv2.GaussianBlur(1 / depth, (0, 0), 1.0) for depth in clip.depth])
    return replace(clip, depth=1 / inverse)


def move(clip: Any, amount: float = 30.0) -> Any:
    """A camera that goes round."""
    from ex4d.trajectory import preset, source_times

    times = source_times("play", num_frames=FRAMES, num_source_frames=FRAMES)
    lens = clip.intrinsics
    return preset("orbit_right", num_frames=FRAMES, intrinsics=lens, near_depth=4.0, amount=amount, source_time=times)


def holes(clip: Any) -> None:
    """Depth with holes beside an object, as depth cameras leave them."""
    from ex4d.clip.invalid import fill_invalid

    depth = np.array(clip.depth)
    depth[:, 30:60, 20:30] = np.nan
    depth[:, ::7, ::5] = 0
    locked = np.array(depth)
    locked.flags.writeable = False
    for given in (depth, locked):
        fill_invalid(given)


def meshes(clip: Any) -> None:
    """Both kinds of mesh, with edits, painted thickness, and depth made sharp and steady."""
    from ex4d.dwmesh import FACE_VISIBLE, DWMesh
    from ex4d_ground.options import MeshOptions

    flags = np.zeros(2 * (SIZE - 1) ** 2 + 2, np.int8)
    flags[100:4000] = FACE_VISIBLE
    painted = np.full((SIZE, SIZE), np.nan, np.float32)
    painted[40:60, 40:60] = 0.5
    sharp = MeshOptions(mode="solid", sharpen_edges="on", steady_depth="on")
    for options in (MeshOptions(), MeshOptions.ex4d_parity(), MeshOptions(mode="solid"), sharp):
        clip = blurred(clip) if options is sharp else clip
        moved = DWMesh(clip, options).vertices(2) * np.float32(1.1)
        thickness = painted if options.mode == "solid" else None
        mesh = DWMesh(clip, options, face_flags={1: flags}, vertex_overrides={2: moved}, thickness_map=thickness)
        for t in range(3):
            mesh.surface(t)
            mesh.face_occluded(t)


def edits_of_a_proxy(clip: Any) -> None:
    """A grid of fewer vertices, moved and painted."""
    from ex4d.dwmesh import DWMesh
    from ex4d.dwmesh.proxy import ProxyGrid
    from ex4d_ground.options import MeshOptions

    proxy = ProxyGrid(DWMesh(clip, MeshOptions(mode="solid")), SIZE // 3)
    proxy.positions(1, proxy.frame(1).vertices(0) * np.float32(1.05))
    painted = np.full(proxy.grid.num_vertices, np.nan, np.float32)
    painted[: len(painted) // 2] = 0.5
    proxy.thickness(painted, 1)


def pictures(clip: Any) -> None:
    """Guides of whole moves and live ones, with objects, cut triangles and blended silhouettes."""
    from ex4d.bands import Bands
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import FrameRenderer, GuideObject, render_guides
    from ex4d.raster import Camera
    from ex4d_ground.options import MeshOptions, RasterOptions

    triangle = np.array([[-50, -1, 5], [50, -1, 5], [0, 40, -5]], np.float32)  # reaches behind the camera
    faces, white = np.array([[0, 1, 2]], np.int32), np.full((3, 3), 255, np.uint8)
    objects = [GuideObject(triangle, faces, white), GuideObject(triangle, faces)]
    path = move(clip, 80.0)
    for mesh in (DWMesh(clip), DWMesh(clip, MeshOptions(mode="solid")), DWMesh(clip, MeshOptions.ex4d_parity())):
        for options in (RasterOptions(), RasterOptions.ex4d_parity()):
            render_guides(mesh, path, rasterizer="cpu", options=options, objects=objects)
            deep_picture(mesh, Camera.of(path, 1), options, objects)
            with Bands(2) as bands, FrameRenderer(mesh, options, rasterizer="cpu", bands=bands) as renderer:
                renderer.render(1, Camera.of(path, 1), objects)


def deep_picture(mesh: Any, camera: Any, options: Any, objects: Any) -> None:
    """One picture with numbers of its own per vertex, as plates of more than 8 bits have them."""
    from ex4d.guides.objects import with_objects
    from ex4d.raster.cpu import CpuRasterizer
    from ex4d.raster.deep import redrawn

    surface, rasterizer = with_objects(mesh.surface(1), objects, 1, camera), CpuRasterizer()
    _, mask = rasterizer.draw(surface, camera, options)
    redrawn(surface, surface.colors.astype(np.float32), camera, options, rasterizer.inverse_depth, mask)


def backgrounds(still: Any) -> None:
    """What other frames saw, of a still camera and of a moving one."""
    from ex4d.dwmesh import DWMesh
    from ex4d.fill.plate import clean_plate
    from ex4d_ground.options import MeshOptions
    from ex4d_ground.source_camera import SourceCamera

    options, memory = (MeshOptions(mode="solid", other_frames=True, world_memory=m) for m in (False, True))
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 1e-4 * np.arange(FRAMES)
    camera = SourceCamera.of(poses, still.intrinsics)
    for clip in (still, replace(still, source_camera=camera)):
        DWMesh(clip, options).surface(3)
        DWMesh(clip, memory).surface(3)
        clean_plate(clip)


def previews(clip: Any) -> None:
    """Holes filled in every way, and told apart."""
    from ex4d.dwmesh import DWMesh
    from ex4d.engines import GenerateRequest, get_engine
    from ex4d.engines.plane_share import PlaneShares
    from ex4d.guides import render_guides
    from ex4d_ground.options import MeshOptions

    path = move(clip)
    guides = render_guides(DWMesh(clip, MeshOptions(mode="solid")), path, rasterizer="cpu")
    for source in (clip, None):
        for settings in ({"fill": "world"}, {"softness": 1.0, "fill": "nearest"}):
            get_engine("preview").generate(GenerateRequest(guides, path, source, settings))
    last = len(path) - 1  # the first frame has no holes
    PlaneShares(clip, path).add(last, None, guides.mask[last])


if __name__ == "__main__":
    sys.exit(main())
