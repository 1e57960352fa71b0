"""The application: its commands, and errors as one sentence."""

from __future__ import annotations

import contextlib
import errno
import math
import re
import signal
import time
from collections.abc import Iterator
from pkgutil import resolve_name
from types import FrameType
from typing import Annotated, NoReturn

import typer

from deepstorm.cli.terminal import fail
from deepstorm.cli.wording import in_options, options_by_argument
from deepstorm.errors import InputError, ResumableInterrupt
from deepstorm.locks import ENDING

INTERRUPTED = 130
# Signals that come together, as from a closing terminal, are one: cleaning up goes on.
TOGETHER_S = 1.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WRITTEN_IN_PART = re.compile(r"\d+ requested and \d+ written")
_EXTRA = re.compile(r"Got unexpected extra argument\(?s?\)? \((.*)\)", re.DOTALL)
# In the order in which the help lists them: each is a function in the module of its name.
COMMANDS = (
    "reconstruct",
    "simulate",
    "calibrate",
    "train",
    "adapt",
    "fine_tune",
    "evaluate",
    "models",
    "demo",
    "reproduce",
)

app = typer.Typer(
    name="deepstorm",
    help="Super-resolution images from dense blinking movies (Deep-STORM).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for name in COMMANDS:
    app.command()(resolve_name(f"deepstorm.cli.{name}:{name}"))


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("deepstorm"))
        raise typer.Exit


def main() -> None:
    """Run the command line; errors meant for people are printed as one sentence."""
    with _interruptible():
        _run()


def _run() -> None:
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        fail(in_options(str(error), options_by_argument(app)), 1)
    except ResumableInterrupt:
        fail("interrupted; repeat the command with --resume to continue", INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        fail(_reported(error), 1)
    except MemoryError:
        fail("out of memory; use fewer frames, or a smaller part of the field", 1)
    except Exception as error:
        _usage_error(error)
    if code == INTERRUPTED:
        fail("interrupted; no unfinished output was left behind", INTERRUPTED)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let what a cluster or a closing terminal ends be cleaned up like what a person interrupts.

    Signals that come together interrupt once.
    """
    last_s = -math.inf

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s > TOGETHER_S:
            last_s = now_s
            raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in ENDING}
    # What nohup ignores stays ignored, and what is not Python's could not be put back.
    own = [number for number in ENDING if handlers[number] not in (signal.SIG_IGN, None)]
    for number in own:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in own:
            signal.signal(number, handlers[number])


def _usage_error(error: Exception) -> NoReturn:
    """Print what is wrong with the words of a command; anything else is a fault of ours."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    message = show()
    if not message:  # the help was shown in place of a message
        raise SystemExit(2)
    fail(_shortened(message), 2)


def _reported(error: OSError) -> str:
    """Say what the operating system reported, and what to do if that is known."""
    # NumPy says only how much of a write took place.
    if error.errno not in _DISK_FULL and not _WRITTEN_IN_PART.fullmatch(str(error)):
        return f"the operating system reported an error: {error}"
    where = f" of '{error.filename}'" if error.filename else ""
    return (
        f"no space left on the disk{where}; free some, or give outputs on another disk. "
        "Files that were there before are unchanged"
    )


def _shortened(message: str) -> str:
    """Return a message about too many names, which a wildcard may stand for, with a few of them."""
    found = _EXTRA.fullmatch(message)
    extra = found[1].split() if found else []
    if len(extra) < 2:
        return message
    return (
        f"there are {len(extra)} more names than expected ('{extra[0]}', '{extra[1]}'…). A command "
        "takes one movie or table: if single images are the frames of a movie, join them first, "
        "for instance with Fiji (File › Import › Image Sequence, then save as TIFF); put a name "
        "with spaces in quotes"
    )
