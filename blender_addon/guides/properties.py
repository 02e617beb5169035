"""The coverage that is kept with a shot, and how the scene shows it."""

from ..work.properties import OWN, Choice, Flag, Share, Text


class ShotProperties:
    """What the source shows of a shot's move."""

    coverage_json: Text(
        "Coverage", "Share of each frame that the source shows, as last rendered", default="[]", override=OWN
    )
    on_plane_json: Text(
        "Goes On", "Share of each frame where a floor or a wall goes on, as last rendered", default="[]", override=OWN
    )


class SceneProperties:
    """How coverage is shown."""

    min_coverage: Share(
        "Mark Below", "Frames of which the source shows less than this are listed as problems", default=0.5
    )
    rasterizer: Choice(
        "Rasterizer",
        "What draws guides and live views on the backend",
        ("AUTO", "Automatic", "The backend's own choice: the GPU where it can draw there, else the CPU"),
        ("CPU", "CPU", "The same picture without a GPU"),
        ("TRITON", "GPU", "Our own program on an NVIDIA GPU"),
        ("NVDIFFRAST", "nvdiffrast", "NVIDIA's program; its licence forbids commercial use"),
    )
    show_coverage_strip: Flag("Timeline Strip", "Draw coverage as a coloured strip along the timeline", default=True)
