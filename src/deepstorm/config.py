"""The base of every setting, and settings from TOML.

Each room keeps its own settings beside what they set; all of them are frozen, validated, reject
unknown keys, and are read here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails
from pydantic_core.core_schema import tagged_union_schema

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError


class Settings(BaseModel):
    """Frozen settings that reject unknown keys and values that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


class OneOf:
    """Marks a setting, by ``Annotated``, that is of one of several types, told apart by ``kind``.

    Parameters
    ----------
    *types : str
        Where each type is, ``"module:Name"``. A type derives from :class:`Settings` and has a
        ``kind`` of its own, which is its default. Modules are imported when settings with such a
        setting are defined.
    """

    def __init__(self, *types: str) -> None:
        self._types = types

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return what pydantic checks such a setting by."""
        choices = {kind: handler.generate_schema(found) for kind, found in self.by_kind().items()}
        return tagged_union_schema(choices, discriminator="kind", from_attributes=True)

    def by_kind(self) -> dict[str, type[Settings]]:
        """Return the types by their kind."""
        found: list[type[Settings]] = [resolve_name(reference) for reference in self._types]
        return {each.model_fields["kind"].default: each for each in found}


def validated(kind: type[AnySettings], values: Any, source: str) -> AnySettings:
    """Build settings from plain values, naming what is wrong in words.

    Parameters
    ----------
    kind : type of Settings
    values : mapping
        Plain values, for instance from TOML or JSON.
    source : str
        Where the values come from, for the error message.

    Raises
    ------
    InputError
        If a key is unknown or missing, or a value is out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_in_words(problem) for problem in error.errors()[:5])
        raise InputError(f"the settings in {source} cannot be used: {problems}") from None


def read_settings(kind: type[AnySettings], path: PathLike) -> AnySettings:
    """Read settings from a TOML file.

    Parameters
    ----------
    kind : type of Settings
    path : path-like
        A TOML file in UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        If the file is missing, not TOML, or its settings are not valid.
    """
    source = Path(path)
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(
            f"the settings file '{source}' does not exist; check its name and folder"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"the settings file '{source}' is not readable TOML: {error}") from None
    return validated(kind, values, f"'{source}'")


def by_dotted_name(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values of settings that are nested plain values."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from by_dotted_name(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _in_words(problem: ErrorDetails) -> str:
    """Say where a problem is, unless it concerns the whole, and what it is."""
    place = ".".join(str(part) for part in problem["loc"][:6])
    message = problem["msg"].removeprefix("Value error, ")
    return f"'{place}': {message}" if place else message
