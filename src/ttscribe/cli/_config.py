"""The configuration file: a TOML file whose table ``[transcribe]`` has defaults of the command's options."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from ttscribe.cli._decoding import dashes
from ttscribe.errors import OptionError

VARIABLE = "TTSCRIBE_CONFIG"
TABLE = "transcribe"

NO_OPTIONS = {"help", "config"}


def configuration_file(named: Path | None = None) -> tuple[Path, bool]:
    """The file that is in use, and whether somebody named it: it must be there then."""
    if named is not None:
        return named, True
    if variable := os.environ.get(VARIABLE):
        return Path(variable).expanduser(), True
    import platformdirs

    return platformdirs.user_config_path("ttscribe") / "ttscribe.toml", False


def use(ctx: typer.Context, named: Path | None) -> Path | None:
    """Take the command's defaults from the file, before the other options are looked at; the callback of --config."""
    path, must_exist = configuration_file(named)
    if not ctx.resilient_parsing and (must_exist or path.exists()):
        ctx.default_map = defaults(path, ctx)
    return named


def defaults(path: Path, ctx: Any) -> dict[str, Any]:
    """What the file says of the options of the context's command, by the names of its parameters.

    Raises OptionError for a file that cannot be read, and for a name or a value that the command would not take.
    """
    command = ctx.command
    options = {parameter.name: parameter for parameter in command.params if parameter.param_type_name == "option"}
    known = {
        name.removeprefix("--"): option
        for option in options.values()
        for name in option.opts
        if option.name not in NO_OPTIONS and name.startswith("--")
    }
    types = get_type_hints(command.callback)
    found: dict[str, Any] = {}
    for key, value in _table(path).items():
        name = dashes(key)
        if name not in known:
            nearest = get_close_matches(name, known, 1)
            advice = f"perhaps {nearest[0]}" if nearest else f"'ttscribe {TABLE} --help' lists the options"
            raise OptionError(f"{path}: [{TABLE}] has {key!r}, which is no option; {advice}")
        option = known[name]
        if option.name in found:
            raise OptionError(f"{path}: [{TABLE}] has {key!r}, which is {option.opts[0]}, twice")
        try:
            found[option.name] = _as_on_the_command_line(value, types[option.name])
            option.process_value(ctx, found[option.name])
        except typer.BadParameter as error:
            raise OptionError(f"{path}: {key} = {value!r}: {error.message}") from None
    return found


def _table(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read the configuration file {path}: {error.strerror or error}") from error
    except ValueError as error:  # of TOML, and of what is not UTF-8
        raise OptionError(f"{path} is no TOML file: {error}") from error
    for name, table in tables.items():
        if name != TABLE or not isinstance(table, dict):
            raise OptionError(f"{path} has {name!r}: options stand in a table [{TABLE}], and there is no other")
    return {key: value for table in tables.values() for key, value in table.items()}


def _as_on_the_command_line(value: Any, kind: Any) -> str | bool:
    """The text that would be given on the command line, or a flag; BadParameter for a value of another type."""
    kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
    if kinds == [bool]:
        wanted, fits = "true or false", isinstance(value, bool)
    elif kinds == [int]:
        wanted, fits = "a whole number", type(value) is int
    elif kinds == [float]:
        wanted, fits = "a number", type(value) in (int, float) or value == "none"
    else:
        wanted, fits = "text in quotes", isinstance(value, str)
    if not fits:
        raise typer.BadParameter(f"it must be {wanted}")
    if kinds == [Path]:
        return str(Path(value).expanduser())
    return value if isinstance(value, bool) else str(value)
