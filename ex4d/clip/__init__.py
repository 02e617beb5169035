"""Clips: reading video and depth, checking them, writing video."""

from ex4d.clip.depth import read_depth
from ex4d.clip.invalid import InvalidDepth, fill_invalid, find_invalid, require_valid
from ex4d.clip.load import check_depth_fits, load_clip
from ex4d.clip.source_camera import with_source_camera
from ex4d.clip.thickness_map import read_thickness_map
from ex4d.clip.video import DEFAULT_FPS, VideoInfo, open_video, read_video
from ex4d.clip.writing import video_writer, write_video

__all__ = [
    "DEFAULT_FPS",
    "InvalidDepth",
    "VideoInfo",
    "check_depth_fits",
    "fill_invalid",
    "find_invalid",
    "load_clip",
    "open_video",
    "read_depth",
    "read_thickness_map",
    "read_video",
    "require_valid",
    "video_writer",
    "with_source_camera",
    "write_video",
]
