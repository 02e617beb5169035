"""What clients are told when something cannot be done: the server's paths are cut down to their last part."""

import re

import msgspec

from ex4d_ground.remedies import Remedy
from ex4d_protocol import messages as m

# Not inside a word or an address: "https://host/x" and "16/9" stay, "/home/me/w.safetensors" and "C:\\w\\x" do not.
_PATH = re.compile(r"(?<![\w:/\\.~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\]+[/\\])*([^\s'\"/\\,;]+)")


class Refusal(Exception):
    """A request that is answered with an ErrorReply."""

    def __init__(
        self, code: m.ErrorCode, message: str, *, detail: str = "", job_id: str = "", remedy: Remedy | None = None
    ):
        super().__init__(message)
        self.reply = m.ErrorReply(code=code, message=message, detail=detail, job_id=job_id, remedy=remedy)


def without_paths(text: str) -> str:
    """``text`` with every absolute path reduced to its last part, so that nobody learns the server's folders."""
    return _PATH.sub(lambda match: match[1], text)


def for_client(remedy: Remedy | None, *, same_machine: bool) -> Remedy | None:
    """``remedy`` as it stands for a client of this machine, where its command can be run; without paths for others."""
    if remedy is None or same_machine:
        return remedy
    values = {name: without_paths(value) if isinstance(value, str) else value for name, value in remedy.values.items()}
    cli, panel = without_paths(remedy.cli), without_paths(remedy.panel)
    return msgspec.structs.replace(remedy, values=values, cli=cli, panel=panel)
