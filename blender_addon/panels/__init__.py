"""What the panels share, and the steps up to the import of a clip."""

from ..work.hooks import Feature, classes_of
from . import (
    backend,
    clip,
    fetch_weights,
    header,
    import_clip,
    install,
    messages,
    open_video,
    previews,
    properties,
    status,
    template,
)

CLASSES = classes_of(
    properties, messages, backend, install, status, fetch_weights, import_clip, open_video, template, clip
)
FEATURES = (Feature(stop=previews.clear), open_video.entries, header.feature, install.feature)
