"""Messages in the words of the command line."""

from __future__ import annotations

import re

import typer

_QUOTE = "'"
_SLICE = re.compile(r"slice\((\d+), (\d+)\)")
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")


def in_options(message: str, options: dict[str, tuple[str, str]]) -> str:
    """Return a message whose Python arguments are replaced by the options of the same name.

    `` `pixel_size_nm=100` `` becomes ``--pixel-size 100``, `` `resume=False` `` becomes
    ``--no-resume``, and `` `frames=slice(0, 9)` `` becomes ``--frames 0:9``. An argument that no
    command has stays as it is.

    Parameters
    ----------
    message : str
        Arguments stand in backticks; see :class:`~deepstorm.errors.InputError`.
    options : dict
        Of :func:`options_by_argument`.
    """

    def spelled(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in options:
            return found[0]
        on, off = options[name]
        value = value and _SLICE.sub(r"\1:\2", value)
        if value in (None, "True"):
            return on
        return off if value == "False" and off else f"{on} {value.strip(_QUOTE)}"

    return _ARGUMENT.sub(spelled, message)


def options_by_argument(application: typer.Typer) -> dict[str, tuple[str, str]]:
    """Return what switches each argument of a verb on, and off where there is such an option."""
    commands = getattr(typer.main.get_command(application), "commands", {}).values()
    return {
        str(parameter.name): (
            max(parameter.opts, key=len),
            max(parameter.secondary_opts, key=len, default=""),
        )
        for command in commands
        for parameter in command.params
        if parameter.opts[0].startswith("-")
    }
