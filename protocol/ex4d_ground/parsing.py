"""JSON and TOML from elsewhere: whatever is wrong with such a text, it is one kind of error."""

import json
import tomllib
from typing import Any

_TOO_DEEP = "it is nested too deeply"
_TOO_LONG = "a number in it has too many digits"


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError for what is none, and for one that Python's reader cannot take."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError(_TOO_LONG) from None


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Raises ValueError for what is none, and for one that Python's reader cannot take."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError(_TOO_LONG) from None
