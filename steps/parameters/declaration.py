"""Declaring parameters, and reading them from the command line.

``mlflow run`` passes whatever it is given, so this is where names, types and ranges are enforced.
A class of parameters is a frozen dataclass whose fields each have a `Parameter`: all that
checks, messages, ``--help`` and the tests know of them. Imports the standard library alone, so that
a mistake is answered at once.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar

from steps.parameters.uris import names_a_user, redact_credentials

P = TypeVar("P")
Value = str | int | float | bool | tuple[str, ...]


class ParameterError(ValueError):
    """The parameters given cannot be used; each line of the message says why for one of them."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of an entry point."""

    default: str  # what ``mlflow run`` passes where the user gives nothing
    read: Callable[[str], Value]  # a ValueError of it describes what is allowed
    help: str  # one sentence


def parameter(default: str, read: Callable[[str], Value], description: str) -> Any:
    """Return the dataclass field for a `Parameter`."""
    return field(metadata={"parameter": Parameter(default, read, description)})


def step_name(entry: type) -> str:
    """Return the name of the entry point that takes a class of parameters."""
    return entry.__name__.lower()


def parameters_of(entry: type) -> Mapping[str, Parameter]:
    """Return the parameters that a class declares, by name, in their order."""
    return {one.name: one.metadata["parameter"] for one in fields(entry)}


def check(entry: type[P], given: Mapping[str, str]) -> P:
    """Return the parameters of an entry point from texts; others get their default.

    A `ParameterError` has a line for each text that is not allowed: the name, what is allowed,
    what was given.
    """
    values: dict[str, Value] = {}
    problems = []
    for name, parameter in parameters_of(entry).items():
        text = given.get(name, parameter.default)
        if names_a_user(text):
            problems.append(
                f"'{name}' must be given without name and password, which would be logged; "
                "~/.netrc may hold those of a web server."
            )
            continue
        try:
            values[name] = parameter.read(text)
        except ValueError as error:
            problems.append(f"'{name}' must be {error}. Got {redact_credentials(text)!r} instead.")
    if problems:
        raise ParameterError("\n".join(problems))
    return entry(**values)


def select(entry: type[P], values: Mapping[str, Value], **own: Value) -> P:
    """Return the parameters of an entry point that are among others, or `own` instead.

    More than it takes are ignored; what is not there gets its default.
    """
    shared = {**values, **own}
    return entry(
        **{
            name: shared[name] if name in shared else parameter.read(parameter.default)
            for name, parameter in parameters_of(entry).items()
        }
    )


def format_value(value: Value) -> str:
    """Return a value as text for the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def as_texts(values: Any) -> dict[str, str]:
    """Return the parameters of an entry point as texts."""
    return {name: format_value(getattr(values, name)) for name in parameters_of(type(values))}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParameterError(message)


def _unknown(entry: type, arguments: Sequence[str]) -> list[str]:
    allowed = ", ".join(parameters_of(entry))
    names, before = [], ""
    for argument in arguments:
        # What follows an unknown --name is its value; any other word is a stray one.
        if argument.startswith("-") or not before.startswith("-") or "=" in before:
            names.append(redact_credentials(argument.lstrip("-").split("=")[0]))
        before = argument
    step = step_name(entry)
    return [f"unknown parameter '{name}'. {step} takes: {allowed}." for name in names]


def parse(entry: type[P], argv: Sequence[str], description: str = "") -> P:
    """Return the parameters on the command line of ``python -m steps.<entry point>``.

    A `ParameterError` has a line for each unknown parameter and each text that is not allowed.
    """
    program = f"python -m steps.{step_name(entry)}"
    parser = _Parser(prog=program, description=description, allow_abbrev=False)
    for name, one in parameters_of(entry).items():
        text = f"{one.help} Default: {one.default or 'empty'}."
        parser.add_argument(f"--{name}", default=one.default, help=text)
    given, rest = parser.parse_known_args(argv)
    problems = _unknown(entry, rest)
    try:
        values = check(entry, vars(given))
    except ParameterError as error:
        problems.append(str(error))
    if problems:
        raise ParameterError("\n".join(problems))
    return values
