"""A Blender of its own on a backend that others use, too: it does what its standard input says, a line at a time.

python one_of_two.py ADDRESS FOLDER SHADE   its clip is the small one, each level of it raised by SHADE

Each line is answered by one line of JSON: {"error": ...} or what was done.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol"), str(ROOT / "tests")]

import bpy  # noqa: E402
import numpy as np  # noqa: E402


class Blender:
    """What it can be told to do."""

    def __init__(self, address: str, folder: Path, shade: int) -> None:
        from dataclasses import replace

        from live_parts import PATIENT_MS, prepare
        from small_clip import make_clip

        from blender_addon.live import views
        from blender_addon.work import preferences

        self._blend, clip = folder / "scene.blend", make_clip()
        if self._blend.exists():
            bpy.ops.wm.open_mainfile(filepath=str(self._blend))
            bpy.ops.ex4d.connect(address=address)
        else:
            bpy.ops.wm.save_as_mainfile(filepath=str(self._blend))
            prepare(bpy, address, replace(clip, frames=clip.frames // 2 + np.uint8(shade)), folder)
            bpy.ops.wm.save_mainfile()
        preferences.get(bpy.context).live_limit_ms = PATIENT_MS
        views.GIVE_UP_S = 100.0
        self._live = views.current
        bpy.context.window_manager.ex4d_live.enabled = True

    def look(self, x: float) -> dict[str, Any]:
        """Move the camera and wait for the whole picture; whether it is the one that a guides job renders."""
        from live_parts import guide_shown, guides_at, move_camera, settle

        move_camera(bpy, x)
        settle(self._live)
        shown = guide_shown()
        return {"same": bool(np.array_equal(shown, guides_at(bpy, x))), "seen": int((shown[..., 3] > 0).sum())}

    def both(self, seed: int, moves: int) -> dict[str, Any]:
        """Make a take while the camera is dragged about; the take's pictures, and how many live ones came meanwhile."""
        from live_parts import move_camera
        from under_way import begin

        from blender_addon.live import overlay
        from blender_addon.work import session, timer

        task, pictures, last = begin(bpy, seed), 0, None
        print(json.dumps({"begun": True}), flush=True)
        end, moved = time.monotonic() + 240, 0
        while moved < moves or not task.finished or session.get().undelivered:
            assert time.monotonic() < end, task.progress
            timer.tick()
            if overlay.current.picture is not last:
                pictures, last = pictures + 1, overlay.current.picture
                moved += 1
                move_camera(bpy, 0.01 * moved)
            time.sleep(0.003)
        assert task.error is None, task.error
        assert not self._live.note_is_error, self._live.note
        return {"live": pictures, **self.takes()}

    def held(self, seed: int) -> dict[str, Any]:
        """Begin a take of which two frames come to the disk, and then no more."""
        from under_way import begin, spin_to_two_frames

        from blender_addon.work.writer import FolderWriter
        from ex4d_ground.files import frame_name

        write = FolderWriter.write

        def stopping(self: FolderWriter, name: str | Path, data: bytes | memoryview) -> None:
            if name == frame_name(2):
                self.hand(lambda: time.sleep(600))
            write(self, name, data)

        FolderWriter.write = stopping
        spin_to_two_frames(begin(bpy, seed))
        return {"held": True}

    def takes(self) -> dict[str, Any]:
        """Every take in the list: how much of it is there, and its pictures' sums."""
        from blender_addon.takes import listing

        takes = bpy.context.scene.ex4d.takes
        folders = [listing.folder_of(take) for take in takes]
        pictures = [[zlib.crc32(path.read_bytes()) for path in sorted(each.glob("frame_*.png"))] for each in folders]
        return {"partial": [take.partial for take in takes], "pictures": pictures}

    def whole(self) -> dict[str, Any]:
        """Wait until the take of an earlier session is there whole."""
        from blender_addon.work import session, timer

        end, takes = time.monotonic() + 240, bpy.context.scene.ex4d.takes
        while not takes or any(take.partial for take in takes):
            assert time.monotonic() < end, session.get().message
            timer.tick()
            time.sleep(0.005)
        return self.takes()


def main(address: str, folder: str, shade: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module="blender_addon")
    blender = Blender(address, Path(folder), int(shade))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, *values = line.split()
        try:
            answer = getattr(blender, name)(*map(json.loads, values))
        except BaseException as error:  # noqa: BLE001 - what went wrong is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    from process_end import leave

    with leave():
        main(*sys.argv[1:])
