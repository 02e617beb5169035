"""Sentences for clients: the server's paths are cut down to their last part."""

from __future__ import annotations

import re

# Not inside a word or an address: "https://host/x" and "16/9" stay, "/home/me/w.safetensors" and "C:\\w\\x" do not.
_PATH = re.compile(r"(?<![\w:/\\.~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\]+[/\\])*([^\s'\"/\\,;]+)")


def without_paths(text: str) -> str:
    """``text`` with every absolute path reduced to its last part, so that nobody learns the server's folders."""
    return _PATH.sub(lambda match: match[1], text)
