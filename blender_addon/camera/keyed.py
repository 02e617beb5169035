"""What a camera move has keyed: known again as long as nobody has changed it, and kept to the last bit.

Blender's matrices and keys are single precision, so a move comes back from them rounded. The move as it was given stays
with the camera as data. It counts while what Blender shows is that move but for rounding; once the artist has changed
the camera, what Blender shows counts.
"""

import hashlib
from dataclasses import replace

import bpy
import msgspec
import numpy as np

from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import InputError
from ex4d_protocol.requests import TrajectorySpec

from ..scene import keyframes
from ..scene.mesh import values_of
from ..work.addon import log

ROUNDING = 16 * float(np.finfo(np.float32).eps)
"""How far single precision goes astray in a few steps of a transform, as a share."""


class KeyedMove(msgspec.Struct, frozen=True):
    """A move as it was keyed on a camera."""

    move: TrajectorySpec
    keys: str
    """Digest of the keys that it made."""


def remember(cam: bpy.types.Object, move: Trajectory) -> None:
    """Note that ``cam`` has just been keyed with ``move``."""
    noted = KeyedMove(TrajectorySpec.pack(move), keys_of(cam))
    cam.ex4d.keyed_move = msgspec.json.encode(noted).decode()


def is_untouched(cam: bpy.types.Object) -> bool:
    """Whether a move made every key of ``cam`` and nobody has changed them, its lens or what it hangs from since."""
    noted = _noted(cam)
    return noted is not None and noted.keys == keys_of(cam) and cam.library is None and cam.data.users == 1


def exact(cam: bpy.types.Object, shot: bpy.types.Object, sampled: Trajectory) -> Trajectory:
    """The move that was keyed on ``cam`` if ``sampled`` is that one but for rounding, else ``sampled``."""
    move = _move_of(cam)
    if move is None or not _agree(cam, shot, move, sampled):
        return sampled
    return replace(move, name=sampled.name)


def exact_at(cam: bpy.types.Object, shot: bpy.types.Object, index: int, sampled: Trajectory) -> Trajectory:
    """The keyed move's camera at output frame ``index`` if ``sampled``, that frame alone, is it but for rounding.

    So that one frame is drawn as it is in guides of the whole move. Only while no key has changed: a move that differs
    at another frame is sent as it was sampled.
    """
    move = _move_of(cam)
    if move is None or len(move) != shot.ex4d.num_frames or not is_untouched(cam):
        return sampled
    one = slice(index, index + 1)
    frame = replace(
        move,
        world_from_camera=move.world_from_camera[one],
        intrinsics=move.intrinsics[one],
        source_time=move.source_time[one],
    )
    return replace(frame, name=sampled.name) if _agree(cam, shot, frame, sampled) else sampled


def _move_of(cam: bpy.types.Object) -> Trajectory | None:
    noted = _noted(cam)
    if noted is None:
        return None
    try:
        return noted.move.unpack()
    except InputError as error:
        log.warning("the move that '%s' keeps is damaged: %s", cam.name, error)
        return None


def _agree(cam: bpy.types.Object, shot: bpy.types.Object, move: Trajectory, sampled: Trajectory) -> bool:
    """Whether two moves are the same but for single precision."""
    if len(move) != len(sampled) or (move.width, move.height) != (sampled.width, sampled.height):
        return False
    matrix = np.array(shot.matrix_world, np.float64)
    far = np.abs(np.array(cam.matrix_world, np.float64)[:3, 3]).max() + np.abs(matrix[:3, 3]).max()
    reach = far / max(np.cbrt(abs(np.linalg.det(matrix[:3, :3]))), 1e-12) + np.abs(move.world_from_camera).max()
    pixels = max(float(np.abs(move.intrinsics).max()), move.width, move.height)
    allowed = (("world_from_camera", reach), ("intrinsics", pixels), ("source_time", float(len(move))))
    return all(
        np.abs(getattr(move, name) - getattr(sampled, name)).max() <= ROUNDING * max(size, 1.0)
        for name, size in allowed
    )


def keys_of(cam: bpy.types.Object) -> str:
    """A digest of what moves ``cam`` and of its lens: equal only if nobody has changed either."""
    lens = cam.data
    state = [
        cam.parent.name_full if cam.parent is not None else "",
        [list(row) for row in cam.matrix_parent_inverse],
        cam.rotation_mode,
        [(each.type, each.mute) for each in cam.constraints],
        [(lens.type, lens.sensor_fit, lens.sensor_width, lens.sensor_height)],
    ]
    digest = hashlib.sha256(repr(state).encode())
    for owner, still in ((cam, keyframes.POSE_PATHS), (lens, keyframes.LENS_PATHS)):
        data = owner.animation_data
        digest.update(repr(data is not None and (len(data.nla_tracks), len(data.drivers))).encode())
        curves = list(keyframes.fcurves(owner))
        for curve in curves:
            digest.update(_curve(curve))
        keyed = {curve.data_path for curve in curves}
        values = [(path, getattr(owner, path)) for path in still if path not in keyed]
        digest.update(
            repr([(path, value if isinstance(value, float) else tuple(value)) for path, value in values]).encode()
        )
    return digest.hexdigest()


def _curve(curve: bpy.types.FCurve) -> bytes:
    points = curve.keyframe_points
    kinds = [(point.interpolation, point.easing) for point in points]
    modifiers = [(each.type, each.mute) for each in curve.modifiers]
    head = repr((curve.data_path, curve.array_index, curve.mute, modifiers, kinds)).encode()
    return head + b"".join(
        values_of(points, name, np.float32, width=2).tobytes() for name in ("co", "handle_left", "handle_right")
    )


def _noted(cam: bpy.types.Object) -> KeyedMove | None:
    text = cam.ex4d.keyed_move
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=KeyedMove)
    except msgspec.MsgspecError as error:
        log.warning("the move that '%s' keeps cannot be read: %s", cam.name, error)
        return None
