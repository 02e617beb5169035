"""Which channel of an EXR is depth, told by names alone; and a sentence with the choices where they do not tell.

A full name is read from its end: the channel's letter ("Z", "R"), the pass ("Depth", "VRayZDepth"), then layers, views
and parts. Letters say nothing by themselves but for Z: the Z of a pass of normals, positions or UV is an axis.
"""

import re
from collections.abc import Sequence

import numpy as np

from ex4d.clip.exr import Exr, ExrChannel
from ex4d_ground.errors import DepthError
from ex4d_ground.remedies import name_channel, render_depth

_DEPTH = {"z", "depth", "zdepth", "depthz", "zbuffer", "zbuf", "depthbuffer", "zpass", "zed"}
"""What is left of a depth pass's name without the words that say nothing."""
_NOTHING_TEXT = """
    vray v ray ai arnold rs redshift prman octane corona mantra karma c geometry cgeometry unreal fusion nuke render
    renders layer layers view viewlayer renderlayer pass channel aov buffer image img picture map main default beauty
    rgb rgba combined composite comp colour color scene camera cam world final linear lin raw float half single mono
    grey gray value output out file left right centre center eye noname
"""
_SAYS_NOTHING = frozenset(_NOTHING_TEXT.split())
"""Words of a pass's name that any pass may have: programs, layers, cameras, number formats."""
_LESS_PLAIN = ("filtered", "unfiltered", "nofilter", "filter", "antialiased", "aa", "denoising", "denoised", "noisy")
"""Words of a second depth pass: taken where there is no plainer one."""
_LETTERS = {*"xyzwuvrgba", "red", "green", "blue", "alpha", "l", "luma", "value"}
_GREY = ("V", "Y", "R", "L", "value", "luma")
"""Channel names of a picture with one value, as writers of grey images call them."""
_BEST_FIRST = ("z", "v", "y", "l", "value", "luma", "r", "red")
"""Which channel of a depth pass holds the depth, where it has several letters."""
_MOST_LISTED = 16


def depth_channel(exr: Exr, label: str, wanted: str | None = None) -> ExrChannel:
    """``wanted``, or the one channel that is depth by its name. Raises DepthError with the choices."""
    if wanted is not None:
        return _named(exr.channels, wanted, label)
    plain = _passes(exr, less_plain=False) or _passes(exr, less_plain=True)
    if len(plain) == 1:
        return plain[0]
    if plain:
        names = ", ".join(sorted(channel.name for channel in plain))
        views = sorted({channel.view for channel in plain if channel.view})
        text = f"{label} has several depth channels ({names})"
        if len(views) > 1:
            text += f", one for each of the views {' and '.join(views)}"
        raise DepthError(f"{text}.", remedy=name_channel())
    grey = _grey(exr)
    if grey is not None:
        return grey
    raise DepthError(f"{label} has no depth channel, only: {_listed(exr.channels)}.", remedy=render_depth())


def _named(channels: Sequence[ExrChannel], wanted: str, label: str) -> ExrChannel:
    """The channel of that full name, of that name within its part, or the only one of that pass or part."""
    folded = wanted.lower()
    for matches in (
        [c for c in channels if c.name == wanted],
        [c for c in channels if c.name.lower() == folded],
        [c for c in channels if c.key.lower() == folded],
        _best_letter([c for c in channels if c.name.lower().rpartition(".")[0] == folded]),
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(sorted(c.name for c in matches))
            raise DepthError(f"{label} has several channels {wanted!r} ({names}).", remedy=name_channel())
    raise DepthError(f"{label} has no channel {wanted!r}; it has: {_listed(channels)}.", remedy=name_channel())


def _passes(exr: Exr, *, less_plain: bool) -> list[ExrChannel]:
    """One channel of each pass that means depth."""
    found: list[ExrChannel] = []
    for channels in _by_pass(exr.channels).values():
        found += _depth_of(exr, channels, less_plain)
    return found


def _by_pass(channels: Sequence[ExrChannel]) -> dict[tuple[int, str], list[ExrChannel]]:
    """Channels that differ in their last letter alone, by part and pass; another name is a pass of its own."""
    passes: dict[tuple[int, str], list[ExrChannel]] = {}
    for channel in channels:
        layer, _, last = channel.name.rpartition(".")
        passes.setdefault((channel.part, layer if last.lower() in _LETTERS else channel.name), []).append(channel)
    return passes


def _depth_of(exr: Exr, channels: list[ExrChannel], less_plain: bool) -> list[ExrChannel]:
    layers, _, last = channels[0].name.rpartition(".")
    letters = {c.name.rpartition(".")[2].lower(): c for c in channels}
    if last.lower() not in _LETTERS:
        return channels if _means_depth(_own_name(channels[0].name, channels[0].view), less_plain) else []
    own = _own_name(layers, channels[0].view)
    if own and _means_depth(own, less_plain):
        if {"x", "y"} <= letters.keys():
            return []  # a vector, whatever it is called
        if {"r", "g", "b"} <= letters.keys() and not _same(exr, [letters[c] for c in "rgb"]):
            return [letters[c] for c in "rgb"]
        return _best_letter(channels)
    says_nothing = not own or not set(_words(own)) - _SAYS_NOTHING or "r" in letters
    vector = {"x", "y"} & letters.keys()
    return [letters["z"]] if "z" in letters and says_nothing and not vector and not less_plain else []


def _best_letter(channels: list[ExrChannel]) -> list[ExrChannel]:
    by_letter = {c.name.rpartition(".")[2].lower(): c for c in channels}
    return next(([by_letter[letter]] for letter in _BEST_FIRST if letter in by_letter), channels)


def _own_name(layers: str, view: str) -> str:
    """The last component of a pass's name, without the eye it shows."""
    components = [c for c in layers.split(".") if c and c != view and c.lower() not in ("left", "right")]
    return components[-1] if components else ""


def _words(name: str) -> list[str]:
    """The lower-case words of a name, parted at case, digits and signs."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _means_depth(name: str, less_plain: bool) -> bool:
    """Whether nothing but depth is left of a name; ``less_plain``: with a word such as "filtered"."""
    left, lesser = "", False
    for word in _words(name):
        plain = next((word.removesuffix(end) for end in _LESS_PLAIN if word in (end, f"z{end}", f"depth{end}")), None)
        lesser |= plain is not None
        word = word if plain is None else plain
        left += "" if word in _SAYS_NOTHING else word
    return left in _DEPTH and lesser == less_plain


def _grey(exr: Exr) -> ExrChannel | None:
    """The value of a picture that holds one value and nothing else, perhaps three times."""
    colours = [c for c in exr.channels if c.name.rpartition(".")[2] not in ("A", "alpha")]
    own = {_own_name(c.name.rpartition(".")[0], c.view) for c in colours}
    if len(own) != 1 or set(_words(own.pop())) - _SAYS_NOTHING:
        return None
    letters = {c.name.rpartition(".")[2]: c for c in colours}
    if len(colours) == 1:
        return next((letters[name] for name in _GREY if name in letters), None)
    if letters.keys() == {"R", "G", "B"} and _same(exr, colours):
        return letters["R"]
    return None


def _same(exr: Exr, channels: list[ExrChannel]) -> bool:
    first, *rest = (exr.picture(c, outside=0.0) for c in channels)
    return all(np.array_equal(first, each, equal_nan=first.dtype.kind == "f") for each in rest)


def _listed(channels: Sequence[ExrChannel]) -> str:
    names = sorted(c.name for c in channels)
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return (", ".join(names[:_MOST_LISTED]) or "none") + more
