"""Whether an ordinary player, such as Blender's movie textures, shows a video as it is read here."""

from pathlib import Path

from ex4d.clip.container import choose_stream, open_container
from ex4d.clip.orientation import AS_STORED, of_frame
from ex4d.clip.video import open_pictures


def frames_for_players(path: Path) -> int:
    """How many frames a player shows of a video file, if they are those that are read here; 0 if it shows others.

    A player takes the first picture stream as it is stored. So this must be the only one, upright, progressive, of 8
    bits, of a constant rate, and with colours that need no conversion and that nobody has to guess: players guess
    otherwise. Colours then agree to 3 of 255, which is how exactly players convert. Raises ClipError.
    """
    with open_pictures(path) as (info, pictures):
        first = next(pictures, None)
        if first is None or first.plate is not None or info.notes or info.shown:
            return 0
        count = info.num_frames
    with open_container(path, str(path)) as container:
        stream = choose_stream(container, str(path))
        frame = next(container.decode(stream), None)
        if len(container.streams.video) != 1 or frame is None or of_frame(frame) != AS_STORED:
            return 0
    return count
