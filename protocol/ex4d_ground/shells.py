"""Commands that people paste: quoted for the shell they paste them into."""

import re
import shlex
from collections.abc import Sequence

POSIX, POWERSHELL, CMD = "posix", "powershell", "cmd"
"""bash, zsh and their kin; PowerShell; Windows' Command Prompt."""


def shells(platform: str) -> tuple[str, ...]:
    """The shells that people have on a platform (``sys.platform``), the usual one first."""
    return (POWERSHELL, CMD) if platform == "win32" else (POSIX,)


def line(shell: str, *commands: Sequence[str]) -> str:
    """One line that runs each command, a program with its arguments, if the one before went well."""
    quoted = [" ".join(quote(word, shell) for word in words) for words in commands]
    if shell != POWERSHELL:
        return " && ".join(quoted)
    first, *then = (f"& {each}" for each in quoted)  # its version 5, which Windows comes with, has no &&
    return first + "".join(f"; if ($?) {{ {each}" for each in then) + " }" * len(then)


def quote(word: str, shell: str) -> str:
    """``word`` as one argument in a line for that shell."""
    if re.fullmatch(r"[A-Za-z0-9_.:/-]+" if shell == POSIX else r"[A-Za-z0-9_.:/\\-]+", word):
        return word
    if shell == POWERSHELL:  # typographic quotes end a string there, too
        return "'" + re.sub("(['\u2018-\u201b])", r"\1\1", word) + "'"
    if shell == CMD:  # a name between two % is replaced inside quotes as well; a caret works outside of them alone
        return '"' + word.replace("%", '"^%"') + '"'
    return shlex.quote(word)
