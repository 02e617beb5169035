"""A shot as a web page: one video with its depth, in which one can walk about without a server."""

from ex4d.web.page import PAGE_FILE, WebOptions, new_page, write_page
from ex4d.web.sources import Replay, WebSource, shot_source, take_source

__all__ = ["PAGE_FILE", "Replay", "WebOptions", "WebSource", "new_page", "shot_source", "take_source", "write_page"]
