"""COLMAP's binary model: cameras.bin and images.bin, little-endian, as its documentation lays them out."""

import struct
from dataclasses import dataclass
from pathlib import Path

from ex4d_ground.errors import TrajectoryError

# Id: (name, how many numbers it has). The order is that of COLMAP's list of camera models.
MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
}
_POINT_BYTES = 24


@dataclass
class _Bytes:
    """A file read from front to back; what is not there is said with the file's name."""

    path: Path
    data: bytes
    at: int = 0

    def take(self, layout: str) -> tuple:
        size = struct.calcsize("<" + layout)
        if self.at + size > len(self.data):
            raise TrajectoryError(f"{self.path} ends in the middle of an entry; copy or export it again.")
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values

    def name(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise TrajectoryError(f"{self.path} ends in the middle of a name; copy or export it again.")
        text = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return text

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise TrajectoryError(f"{self.path} ends in the middle of an entry; copy or export it again.")
        self.at += size


def read_cameras(path: Path) -> dict[str, list[str]]:
    """Each camera as the fields of its line in cameras.txt, by id. Raises OSError, TrajectoryError."""
    file = _Bytes(path, path.read_bytes())
    cameras = {}
    for _ in range(file.take("Q")[0]):
        camera_id, model_id, width, height = file.take("iiQQ")
        if model_id not in MODELS:
            raise TrajectoryError(f"{path}: camera {camera_id} is of model {model_id}, which is not known.")
        name, count = MODELS[model_id]
        cameras[str(camera_id)] = [name, str(width), str(height), *map(repr, file.take(f"{count}d"))]
    return cameras


def read_images(path: Path) -> list[str]:
    """Each image as its line in images.txt. Raises OSError, TrajectoryError."""
    file = _Bytes(path, path.read_bytes())
    lines = []
    for _ in range(file.take("Q")[0]):
        image_id, *pose, camera_id = file.take("i7di")
        name = file.name()
        file.skip(_POINT_BYTES * file.take("Q")[0])
        lines.append(f"{image_id} {' '.join(map(repr, pose))} {camera_id} {name}")
    return lines
