"""The application: its commands, and errors as one sentence."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from deepstorm.cli.adapt import adapt
from deepstorm.cli.calibrate import calibrate
from deepstorm.cli.demo import demo
from deepstorm.cli.evaluate import evaluate
from deepstorm.cli.fine_tune import fine_tune
from deepstorm.cli.models import models
from deepstorm.cli.reconstruct import reconstruct
from deepstorm.cli.reproduce import reproduce
from deepstorm.cli.simulate import simulate
from deepstorm.cli.terminal import fail
from deepstorm.cli.train import train
from deepstorm.cli.wording import in_options, options_by_argument
from deepstorm.errors import InputError, ResumableInterrupt

INTERRUPTED = 130
# In the order in which the help lists them.
COMMANDS: tuple[Callable[..., None], ...] = (
    reconstruct,
    simulate,
    calibrate,
    train,
    adapt,
    fine_tune,
    evaluate,
    models,
    demo,
    reproduce,
)

app = typer.Typer(
    name="deepstorm",
    help="Super-resolution images from dense blinking movies (Deep-STORM).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in COMMANDS:
    app.command()(command)


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
    # What a cluster ends is cleaned up like what a person interrupts.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        fail(in_options(str(error), options_by_argument(app)), 1)
    except ResumableInterrupt:
        fail("interrupted; repeat the command with --resume to continue", INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        fail(f"the operating system refused: {error}", 1)
    except MemoryError:
        fail("out of memory; use fewer frames, or a smaller part of the field", 1)
    except Exception as error:
        _usage_error(error)
    if code == INTERRUPTED:
        fail("interrupted; no unfinished output was left behind", INTERRUPTED)


def _usage_error(error: Exception) -> NoReturn:
    """Print what is wrong with the words of a command; anything else is a fault of ours."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    message = show()
    if not message:  # the help was shown in place of a message
        raise SystemExit(2)
    fail(message, 2)
