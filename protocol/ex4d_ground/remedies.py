"""Every remedy there is, in the words of each place: the one owner of what we tell people to do.

Rewording one changes what is read and nothing else: buttons are chosen by ``action``.
"""

import sys

from ex4d_ground import origin
from ex4d_ground.records import Name, Record, Scalar, Text
from ex4d_ground.shells import line, shells


class Remedy(Record, frozen=True, kw_only=True):
    """What to do about an error. New in protocol 1.1."""

    action: Name = ""
    """What a button would do, one of :data:`ACTIONS`; "" if no button can."""
    values: dict[str, Scalar] = {}
    """What the action needs, such as {"num_frames": 40} or {"command": "ex4d weights fetch wan"}."""
    cli: Text = ""
    """The end of a sentence for a terminal, after a semicolon and without full stop."""
    panel: Text = ""
    """The same for Blender."""


class Failure(Record, frozen=True):
    """What programs look at in an error that travels or is kept."""

    code: Name = ""
    """One of :mod:`ex4d_ground.errors`."""
    remedy: Remedy | None = None


ACTIONS: dict[str, str] = {
    "fill_invalid": "read the clip again and fill depth that is none from its neighbours",
    "fewer_frames": "read only the first num_frames frames",
    "offload": "keep the model's weights in main memory (the engine's setting 'memory')",
    "use_cpu_rasterizer": "draw guides on the CPU",
    "run_command": "run command on the machine that says so",
    "fetch_weights": "download packages there, after showing size and licence, or run command on that machine",
    "connect": "connect to a backend",
    "install_backend": "hand out the command that installs the backend on this machine",
    "find_backend": "look for an installed backend again, and connect to it",
    "save_file": "save the .blend",
    "allow_online": "allow Blender to use the network",
    "object_mode": "switch to Object Mode",
}
"""What a button may do, by the name that errors carry."""


def fill_invalid() -> Remedy:
    """For depth that holds NaN, infinity, zero or negative values."""
    return Remedy(
        action="fill_invalid",
        cli="--fill_invalid fills it from what surrounds it in the same frame",
        panel="import it with 'Fill Invalid'",
    )


def deinterlace() -> Remedy:
    """For interlaced video that was asked to be refused."""
    return Remedy(
        cli="give a progressive video, or drop '--fields refuse'",
        panel="choose a progressive video, or set Interlaced to Deinterlace",
    )


def fewer_frames(num_frames: int) -> Remedy:
    """For a source that holds only so many frames, or is too long by the rest."""
    return Remedy(
        action="fewer_frames",
        values={"num_frames": num_frames},
        cli=f"use --num_frames {num_frames}",
        panel=f"import the first {num_frames} frames",
    )


def larger_clip(width: int, height: int) -> Remedy:
    """For a clip of too few pixels."""
    size = f"{width}x{height} pixels"
    return Remedy(cli=f"give a clip of at least {size}", panel=f"choose a clip of at least {size}")


def larger_picture(least: int) -> Remedy:
    """For guides of too few pixels for a model."""
    return Remedy(
        cli=f"give --width and --height of at least {least}",
        panel=f"choose a render size of at least {least}x{least} pixels",
    )


def larger_page(side: int) -> Remedy:
    """For a web page whose picture has too few pixels along one side; the clip has enough."""
    return Remedy(cli=f"give --side {side} or more", panel="choose a clip whose sides differ less")


def scale_depth() -> Remedy:
    """For whole-number depth whose unit nothing says."""
    words = "for example 0.001 for millimetres"
    return Remedy(
        cli=f"say how long one step is with --depth_scale, {words}",
        panel=f"set the depth's Scale to the length of one step, {words}",
    )


def scale_or_border() -> Remedy:
    """For depth that lies behind the mesh's border."""
    return Remedy(
        cli="if the depth is in millimetres or such, give --depth_scale, otherwise raise --border_depth",
        panel="if it is in millimetres or such, set the depth's Scale to 0.001, otherwise to less than it is",
    )


def name_channel() -> Remedy:
    """For an EXR of whose channels more than one is depth by its name, or not the one that was named."""
    return Remedy(cli="name the channel to use with --depth_channel", panel="enter one as the depth's Channel")


def drop_channel() -> Remedy:
    """For a channel that was named of files that have none."""
    return Remedy(cli="drop --depth_channel", panel="leave the depth's Channel empty")


def render_depth() -> Remedy:
    """For an EXR of whose channels none is depth by its name."""
    return Remedy(
        cli="render the Z pass, or name the channel to use with --depth_channel",
        panel="render the Z pass, or enter the depth's Channel",
    )


def give_lens() -> Remedy:
    """For a lens that nothing says."""
    return Remedy(cli="give --fov, --focal or --lens_from", panel="enter the FOV")


def give_source_camera() -> Remedy:
    """For other frames of a clip whose camera moved."""
    return Remedy(
        cli="say with --source_camera how the camera moved, or drop --other_frames",
        panel="say under Filming Camera how the camera moved, or turn off 'Other Frames'",
    )


def offload() -> Remedy:
    """For a model that does not fit beside its activations."""
    return Remedy(action="offload", cli="use --set memory=offload", panel="set Memory to Offload")


def use_cpu_rasterizer() -> Remedy:
    """For guides that the GPU cannot draw."""
    return Remedy(
        action="use_cpu_rasterizer",
        cli="use --rasterizer cpu",
        panel="use a backend that chooses the rasterizer itself",
    )


def run_command(command: str) -> Remedy:
    """For whatever one command mends; ``command`` can be pasted into a terminal as it stands."""
    return Remedy(action="run_command", values={"command": command}, cli=f"run: {command}", panel=f"run: {command}")


def install_ours(extra: str = "", *flags: str) -> Remedy:
    """For what our own distribution lacks; no index of packages offers it, so it is installed from where it came.

    That is the wheel it was installed from, such as the extension's, or else a folder of its source.
    """
    wheel = origin.wheel()
    if wheel is not None:
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        return run_command(line(shells(sys.platform)[0], (sys.executable, "-m", "pip", "install", *flags, what)))
    command = " ".join(("pip install", *flags, f"'.[{extra}]'" if extra else "./"))
    words = f"in the folder of EX-4D's source run: {command}"
    return Remedy(action="run_command", values={"command": command}, cli=words, panel=words)


def fetch_weights(package: str = "", *more: str) -> Remedy:
    """For packages of ``ex4d weights list`` that are missing or broken; none named: those of the wan engine."""
    packages = (package, *more) if package else ()
    command = " ".join(("ex4d weights fetch", *packages))
    return Remedy(
        action="fetch_weights",
        values={"packages": " ".join(packages or ("wan", "ex4d")), "command": command},
        cli=f"run: {command}",
        panel=f"download them here, or run: {command}",
    )


def fetch_by_hand(package: str) -> Remedy:
    """For weights that a backend does not download for its clients."""
    return run_command(f"ex4d weights fetch {package}")


def start_backend() -> Remedy:
    """For an address where no backend answers."""
    words = "start one with 'ex4d-backend' or check the address"
    return Remedy(action="run_command", values={"command": "ex4d-backend"}, cli=words, panel=words)


def update_backend() -> Remedy:
    """For a backend that is older than what is asked of it."""
    return Remedy(cli="update the backend", panel="update the backend")


def connect(then: str = "first") -> Remedy:
    """For what needs a backend; ``then`` says when to press the button, or what for."""
    return Remedy(action="connect", panel=f"press Connect {then}")


def install_backend() -> Remedy:
    """For a machine without a backend, or with one that does not start."""
    return Remedy(
        action="install_backend",
        panel="copy the install command and run it in a terminal, or set another command in the add-on's preferences",
    )


def find_backend() -> Remedy:
    """For a backend that somebody is just installing."""
    return Remedy(action="find_backend", panel="when it has ended, press Look Again")


def save_file() -> Remedy:
    """For files that go beside a .blend which has no place yet."""
    return Remedy(action="save_file", panel="save it first (Ctrl+S)")


def allow_online() -> Remedy:
    """For what needs the network while the user keeps Blender offline."""
    return Remedy(action="allow_online", panel="tick Preferences > System > Network > Allow Online Access first")


def object_mode() -> Remedy:
    """For what cannot be done while a mesh is edited."""
    return Remedy(action="object_mode", panel="switch to Object Mode (Tab)")
