"""What the server can do, as every client is told it."""

from ex4d.trajectory import PRESETS
from ex4d_backend.devices import told
from ex4d_backend.live_views import LIVE_PIXELS
from ex4d_backend.pool import Pool
from ex4d_backend.settings import ServerSettings
from ex4d_protocol import messages as m


def capabilities(pool: Pool, settings: ServerSettings) -> m.Capabilities:
    """What the pool's workers are able to do now, beside the limits of the settings."""
    able = [w.abilities for w in pool.workers if w.abilities]
    near = settings.loopback_only
    engines = {e.name: told(e, same_machine=near) for a in able for e in a.engines}
    estimators = {e.name: told(e, same_machine=near) for a in able for e in a.estimators}
    limits = m.Limits(
        blob_bytes=settings.blob_bytes,
        queued_jobs=settings.queued_jobs,
        storage_bytes=settings.storage_bytes,
        live_pixels=LIVE_PIXELS if settings.live else 0,
        weights_downloads=settings.weights_downloads,
    )
    return m.Capabilities(
        engines=tuple(engines.values()),
        presets=tuple(PRESETS.values()),
        devices=tuple(w.spec() for w in pool.workers),
        limits=limits,
        licences={part: licence for a in able for part, licence in a.licences.items()},
        estimators=tuple(estimators.values()),
        rasterizers=able[0].rasterizers if able else (),
        packages=able[0].packages if able else (),
    )
