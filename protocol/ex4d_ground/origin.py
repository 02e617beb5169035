"""Where our own distribution was installed from."""

import json
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "ex4d"


def wheel() -> Path | None:
    """The wheel that it was installed from (PEP 610), if that is still there; None for a checkout or an index."""
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        url = urlsplit(json.loads(text or "{}").get("url", ""))
    except (metadata.PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    path = Path(url2pathname(url.path)) if url.scheme == "file" and not url.netloc else None
    return path if path is not None and path.suffix == ".whl" and path.is_file() else None
