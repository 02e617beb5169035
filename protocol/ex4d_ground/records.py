"""How the shared structures are encoded, and the constrained field types they are built from."""

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=4096)]
"""Text for people."""
Name = Annotated[str, msgspec.Meta(max_length=128)]
"""A short identifier or display name. Never used as a path."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A whole number of things, not negative, exact in a double."""
Scalar = bool | int | float | str | None


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A structure as it is stored and sent. Unknown fields are ignored; a field at its default is not written."""
