"""Options of the command line as fields of a dataclass: parsers of values, and of whole tables."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any


def boolean(text: str) -> bool:
    """True or False from True/False/1/0 (any case)."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is none of True, False, 1, 0")
    return values[text.lower()]


def integer(low: int) -> Callable[[str], int]:
    """A parser of integers of at least `low`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    return parse


def thresholds(text: str) -> tuple[float, ...]:
    """One or more thresholds in [-1, 1), separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers like 0.3,0.5"
        ) from None
    if not all(-1 <= value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r}: thresholds lie in [-1, 1)")
    return tuple(dict.fromkeys(values))


def colours(text: str) -> tuple[float, ...]:
    """One number for all three channels, or three separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not one number or three like 0.4,0.4,0.5")
    return values


def positive_colours(text: str) -> tuple[float, ...]:
    """The same, above zero."""
    values = colours(text)
    if min(values) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: standard deviations are above 0")
    return values


def names(text: str) -> tuple[str, ...]:
    """Distinct names separated by commas."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of distinct names like 1,2,3,4")
    return parts


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of a script whose help is its own docstring, as it stands there."""
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def option(default: Any, parse: Callable[[str], Any], text: str, **extra: Any) -> Any:
    """A field of a table of options: its default, its parser and its help."""
    return dataclasses.field(default=default, metadata={"type": parse, "help": text, **extra})


def as_text(value: Any) -> str:
    """A value as it would be given on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def add_fields(parser: argparse.ArgumentParser, table: type, only: Sequence[str] = ()) -> None:
    """Add the options of a table to a parser: all, or those named in `only`.

    Those not given are left out of the parsed namespace: the defaults are in the table alone.
    """
    for field in dataclasses.fields(table):
        if only and field.name not in only:
            continue
        text = field.metadata["help"]
        if field.default is not None:
            text += f" (default: {as_text(field.default)})"
        choices = field.metadata.get("choices")
        spellings = (field.name, field.metadata.get("alias", field.name))
        parser.add_argument(
            *dict.fromkeys(f"--{spelling}" for spelling in spellings),
            dest=field.name,
            type=field.metadata["type"],
            default=argparse.SUPPRESS,
            help=text,
            choices=choices,
            metavar=None if choices else field.name.upper(),
        )
