"""Options of the command line as fields of a dataclass: parsers of values, and of whole tables."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from utils import suggestion


def boolean(text: str) -> bool:
    """True or False from True/False/1/0 (any case)."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of True, False, 1, 0")
    return values[text.lower()]


# Seeds that the generators of Python, NumPy and PyTorch all take.
LARGEST_SEED = 2**32 - 1


# More pixels than the side of any frame has.
LARGEST_SIDE = 2**14


def integer(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """A parser of integers from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            shown = text if len(text) < 40 else f"{text[:20]}... ({len(text)} characters)"
            raise argparse.ArgumentTypeError(f"{shown!r} is not an integer") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        if value > high:
            raise argparse.ArgumentTypeError(f"{value} is above {high}")
        return value

    return parse


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not known.{suggestion(text, known)} Available: {', '.join(known)}"
            )
        return text

    return parse


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels, as "480,854" or "480x854", or "256" for both."""
    found = re.fullmatch(r"(\d+)(?:[,x](\d+))?", text.replace(" ", ""))
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not height or not width:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 256 or 480,854")
    if max(height, width) > LARGEST_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is above {LARGEST_SIDE} pixels")
    return height, width


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


def percent(text: str) -> float:
    """A number from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage, a number from 0 to 100")
    return value


def probability(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, like 0.95")
    return value


def names(text: str) -> tuple[str, ...]:
    """Distinct names separated by commas."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of distinct names like 1,2,3,4")
    return parts


def several(parse: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A parser of one or more distinct values, separated by commas."""

    def parse_all(text: str) -> tuple[Any, ...]:
        if "," not in text:
            return (parse(text),)
        values = tuple(map(parse, names(text)))
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"{text!r} has a value twice")
        return values

    return parse_all


def _single(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser that refuses several values where main.py takes them."""

    def parse_one(text: str) -> Any:
        if "," in text:
            raise argparse.ArgumentTypeError(
                f"{text!r}: one value is expected here, without a comma; main.py takes several"
            )
        return parse(text)

    return parse_one


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one message, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and the message, with the nearest option for an unknown one."""
        unknown = re.fullmatch(r"unrecognized arguments: .*?--(\w+).*", message)
        near = suggestion(unknown[1], self._options()) if unknown else ""
        self.exit(2, f"error: {message}.{near} {self.prog} --help lists the options\n")

    def _options(self) -> list[str]:
        return [o.lstrip("-") for action in self._actions for o in action.option_strings]


def script_parser(description: str | None, **more: Any) -> Parser:
    """The parser of a script whose help is its own docstring, as it stands there."""
    return Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **more,
    )


def option(default: Any, parse: Callable[[str], Any], text: str, **extra: Any) -> Any:
    """A field of a table of options: its default, its parser and its help.

    extra: choices, the words that it may be; alias, another spelling; group, under which heading
    the help shows it; task, the networks that it is for, where it is not for all of them; several,
    whether main.py takes a list of values; alone, what main.py's help says of it without a value.
    """
    if "choices" in extra:
        parse = one_of(extra["choices"])
    return dataclasses.field(default=default, metadata={"type": parse, "help": text, **extra})


def as_text(value: Any) -> str:
    """A value as it would be given on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def add_fields(
    parser: argparse.ArgumentParser, table: type, only: Sequence[str] = (), runs: bool = False
) -> None:
    """Add the options of a table to a parser, under the headings of their groups: all, or those
    named in `only`.

    runs: whether it is main.py's: options that may be several give a tuple then, and those that may
    be without a value None in place of it.

    Those not given are left out of the parsed namespace: the defaults are in the table alone.
    """
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(table):
        if only and field.name not in only:
            continue
        heading = "" if only else field.metadata.get("group", "")
        if heading and heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        _add_field(groups.get(heading, parser), field, runs)


def _add_field(group: Any, field: dataclasses.Field, runs: bool) -> None:
    text, task = field.metadata["help"], field.metadata.get("task")
    parse, more = field.metadata["type"], {}
    if field.metadata.get("several"):
        parse = (several if runs else _single)(parse)
        text += "; several, with commas, give as many runs" * runs
    if runs and "alone" in field.metadata:
        text += f"; {field.metadata['alone']}"
        more = {"nargs": "?", "const": None}
    if task:
        text = f"{task}: {text}"
    if field.default is not None:
        text += f" (default: {as_text(field.default)})"
    choices = field.metadata.get("choices")
    aliases = field.metadata.get("alias", ())
    group.add_argument(
        *dict.fromkeys(f"--{spelling}" for spelling in (field.name, *aliases)),
        dest=field.name,
        type=parse,
        default=argparse.SUPPRESS,
        help=text.replace("%", "%%"),
        metavar=f"{{{','.join(choices)}}}" if choices else field.name.upper(),
        **more,
    )
