"""Sentences for clients: the server's paths are cut down to their last part."""

from __future__ import annotations

import re

# Not inside a word or an address: "https://host/x" and "16/9" stay, "/home/me/w.safetensors" and "C:\\w\\x" do not.
_PATH = re.compile(r"(?<![\w:/\\.~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\]+[/\\])*([^\s'\"/\\,;]+)")


def without_paths(text: str) -> str:
    """``text`` with every absolute path reduced to its last part, so that nobody learns the server's folders."""
    return _PATH.sub(lambda match: match[1], text)


def for_client(text: str, *, same_machine: bool) -> str:
    """``text`` without paths, but for a command to be run on this machine if the client is on it too."""
    if not same_machine:
        return without_paths(text)
    sentence, run, command = text.partition("run: ")
    return without_paths(sentence) + run + command
