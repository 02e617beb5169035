"""Model weights that the backend lacks: what they are, and having it download them once a person has agreed."""

from collections.abc import Sequence
from functools import partial

from ex4d_ground.descriptions import PackageInfo
from ex4d_protocol.requests import FetchWeights

from ..work import session
from ..work.errors import AddonError
from ..work.link import BackendLink
from ..work.tasks import Steps

REFRESH_S = 60.0
"""How long the backend may take to say that it can do more now."""


def may_fetch() -> bool:
    """Whether the backend downloads weights for this Blender."""
    return session.get().capabilities.limits.weights_downloads


def find(names: str) -> list[PackageInfo]:
    """The packages of these names, separated by spaces. Raises AddonError for one that the backend does not know."""
    known = {package.name: package for package in session.get().capabilities.packages}
    for name in names.split():
        if name not in known:
            raise AddonError(f"The backend knows no weights '{name}'; it knows: {', '.join(known) or 'none'}.")
    return [known[name] for name in names.split()]


def in_words(package: PackageInfo) -> str:
    """Size and terms, as they are shown before anyone agrees."""
    terms = f"{package.licence} - RESEARCH ONLY" if package.research_only else package.licence
    return f"{size_in_words(package.size_bytes)}, {terms}"


def size_in_words(count: int) -> str:
    """Bytes in the unit that people think in."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(round(count / 1e6), 1)} MB"


def fetch(link: BackendLink, packages: Sequence[PackageInfo]) -> Steps[None]:
    """Have the backend download what it lacks of ``packages``, one after the other, and wait until it says so.

    Raises AddonError with the backend's sentence; what has arrived stays there for the next time.
    """
    for package in packages:
        if not package.there:
            job_id = yield from link.run_job(
                FetchWeights(package=package.name), title=f"Fetch {package.name}", on_item=lambda _item: None
            )
            link.client.ack(job_id)
    names = " ".join(package.name for package in packages)
    yield from link.wait_until(partial(_all_there, names), REFRESH_S, "say that the weights are there")


def _all_there(names: str) -> bool:
    return all(package.there for package in find(names))
