"""Words from elsewhere (a client, a server, a file) as they are shown on a terminal or stand in a log, and shares."""

import re

_CONTROLS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]")


def one_line(text: str) -> str:
    """``text`` without anything that ends a line or changes how a terminal shows it; what was there is spelled out."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def percent(share: float) -> str:
    """A share of 0 to 1 as people read it: "0.11 %", "25 %". Only nothing is 0 %, and only all of it 100 %."""
    value = 100 * share
    if 0 < value < 0.01:
        return "under 0.01 %"
    if 99.9 < value < 100:
        return "over 99.9 %"
    return f"{value:.1f} %" if 99 < value < 100 else f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
