from typing import Any

shader: Any
state: Any
