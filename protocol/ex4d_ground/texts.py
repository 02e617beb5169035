"""Words from elsewhere (a client, a server, a file) before they are shown on a terminal or stand in a log."""

import re

_CONTROLS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]")


def one_line(text: str) -> str:
    """``text`` without anything that ends a line or changes how a terminal shows it; what was there is spelled out."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
