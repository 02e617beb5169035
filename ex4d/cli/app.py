"""The ``ex4d`` command line: sub-commands, and one place where every error becomes a sentence and an exit code."""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ex4d.allocation import keep_blocks_of_frames
from ex4d.cli import (
    coverage,
    demo,
    depth,
    doctor,
    export,
    farm,
    generate,
    preview,
    recon,
    run,
    solve,
    train,
    web,
    weights,
)
from ex4d.cli import eval as evaluate
from ex4d.cli.console import forgiving_output, note, say
from ex4d.cli.options import flag_of, refuse_empty_words, spread
from ex4d.cli.plugins import CommandGroup
from ex4d.option_text import OptionText
from ex4d_ground.errors import Cancelled, Ex4dError, InputError, in_brief, in_words
from ex4d_ground.files import output_error, shown_path
from ex4d_ground.texts import one_line

_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
HELP = """Re-shoot a video that already exists: from clip and depth to guides, coverage and takes.

Start with: ex4d doctor (what is installed, what is missing) and ex4d demo (the whole way on an example clip).

Exit codes: 0 done, 1 failed, 2 wrong input, 3 cannot write, 4 part not installed, 5 weights missing, 130 cancelled.
"""

app = typer.Typer(
    name="ex4d",
    cls=CommandGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    # Underscores are the spelling (EX-4D's own flags have them); --input-video works as well as --input_video.
    context_settings={
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["--help", "-h"],
    },
)

# One module per command; a new command is a new module and a name here. The backend's commands (jobs, keys, remote)
# come through the entry points of ex4d.cli.plugins.
_COMMANDS = (recon.recon, preview.preview, coverage.coverage, generate.generate, run.run, export.export, web.web)
for _command in (*_COMMANDS, solve.solve, doctor.doctor, demo.demo):
    app.command()(spread(_command))
for _group in (depth.depth_app, farm.app, weights.app, evaluate.app, train.app):
    app.add_typer(_group)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ex4d import __version__

        say(f"ex4d {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="On an error, show where it happened (any position).")] = False,
) -> None:
    """Take the options that stand before the command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``argv`` is without the program's name."""
    forgiving_output()
    keep_blocks_of_frames()
    given = list(sys.argv[1:] if argv is None else argv)
    # Taken out here so that it works in any position and also covers errors of the parser's own making.
    debug = "--debug" in given
    arguments = [a for a in given if a != "--debug"]
    try:
        refuse_empty_words(arguments)
        app(args=arguments, prog_name="ex4d", obj=arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (Ex4dError, KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last line of defence, by design
        return _explain(error, debug=debug)
    return 0


def _explain(error: BaseException, *, debug: bool) -> int:
    """Show ``error`` as one sentence (with ``debug`` its traceback before it) and return its exit code."""
    if debug:
        import traceback

        note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled("Cancelled.")
    if isinstance(error, Cancelled):
        note("Cancelled; nothing half-written remains.")
        return error.exit_code
    if isinstance(error, Ex4dError):
        text = error.args[0] if error.args else ""
        words = text.spelled(flag_of) if isinstance(text, OptionText) else str(error)
        note(one_line(f"Error: {in_words(words, error.remedy, 'cli')}"))
        return error.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return _explain_path(error)
    if isinstance(error, MemoryError):
        note("Error: There is not enough memory; use fewer frames with --num_frames or a smaller picture.")
        return 1
    what = " ".join(str(error).split()) or "no message"
    hint = "" if debug else "; run the command again with --debug to see where, and report it"
    note(f"Error: This should not have happened ({type(error).__name__}: {what}){hint}.")
    return 1


def _explain_path(error: OSError) -> int:
    """A file or folder that cannot be looked at, or is in the way, named where it happened to be met first."""
    name = str(error.filename)
    failure = output_error(Path(name), error) if error.errno in _NOT_WRITTEN else None
    told = str(
        failure or f"{shown_path(name)} cannot be used ({in_brief(error)}); check the path and what you may do there."
    )
    note(one_line(f"Error: {told}"))
    return (failure or InputError()).exit_code


if __name__ == "__main__":
    sys.exit(main())
