"""What the connected backend offers, by name: None if it offers nothing such."""

from collections.abc import Iterable
from typing import Any, TypeVar

import bpy

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PresetInfo
from ex4d_ground.errors import in_words

from ..work import session
from ..work.errors import AddonError
from ..work.hooks import Listeners
from ..work.operators import QuickOperator
from . import engine_settings
from .estimators import as_engine, licence_of

Offer = TypeVar("Offer", EngineInfo, EstimatorInfo, PresetInfo)
Runnable = TypeVar("Runnable", EngineInfo, EstimatorInfo)


def engine(name: str) -> EngineInfo | None:
    """What turns guides into frames."""
    return _named(session.get().capabilities.engines, name)


def preset(name: str) -> PresetInfo | None:
    """A camera move."""
    return _named(session.get().capabilities.presets, name)


def estimator(name: str) -> EstimatorInfo | None:
    """What estimates depth; "" is the backend's default."""
    estimators = session.get().capabilities.estimators
    return _named(estimators, name or (estimators[0].name if estimators else ""))


def tooltip(offer: EngineInfo | EstimatorInfo | PresetInfo) -> str:
    """What there is to know of an offer before it is chosen."""
    if isinstance(offer, PresetInfo):
        return offer.help.rstrip(".")
    lacking = in_words(offer.missing, offer.remedy, "panel")
    if isinstance(offer, EngineInfo):
        return f"{offer.title}. Licence: {offer.licence}" if offer.available else lacking
    terms = f"{offer.title}. Licence: {licence_of(offer)}"
    return terms if offer.available else f"{terms}. {lacking}".rstrip(".")


def require(offers: Iterable[Runnable], name: str, *, what: str) -> Runnable:
    """The one called ``name``. Raises AddonError, naming ``what``, if there is none or it cannot run there."""
    known = {offer.name: offer for offer in offers}
    if name not in known:
        raise AddonError(f"The backend has no {what} '{name}'; it has: {', '.join(known) or 'none'}.")
    if not known[name].available:
        text = known[name].missing or f"The {what} '{name}' is not available on this backend."
        raise AddonError(text, remedy=known[name].remedy)
    return known[name]


def make_settings(_context: object = None) -> str:
    """Have Blender's properties for the settings of everything that the backend offers now. Nothing to tell."""
    capabilities = session.get().capabilities
    engine_settings.sync((*capabilities.engines, *map(as_engine, capabilities.estimators)))
    return ""


listeners = Listeners((session.connected, make_settings))


def _named(offers: Iterable[Offer], name: str) -> Offer | None:
    return next((offer for offer in offers if offer.name == name), None)


class Choose(QuickOperator):
    """Mixin for operators with one property, the offer's name. The scene keeps it under the same name.

    ``find`` is one of the functions above."""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}
    find: Any

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        (name,) = cls.__annotations__
        offer = cls.find(getattr(properties, name))
        return cls.__doc__ or "" if offer is None else tooltip(offer)

    def run(self, context: bpy.types.Context) -> str:
        (name,) = type(self).__annotations__
        setattr(context.scene.ex4d, name, getattr(self, name))
        return ""
