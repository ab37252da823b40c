"""Pickles from elsewhere, read without running what they ask for: untrusted input.

A pickle is a program, and Python's machine for it runs whatever function it names. The one here
knows the instructions that plain containers and arrays of numbers need, and calls only the
functions of `common.pickle_names`; nothing in a file is called, imported or set as an attribute.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.files import require_regular
from common.pickle_names import Blocked, Draft, Name, Names, keyed
from utils import DataError, UserError

_INSTRUCTIONS = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}
# Instructions that push their argument.
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
}
_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Runs the instructions of a pickle of any protocol, with texts of Python 2 as latin-1."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        self.names = Names(len(data))
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The content of the pickle.

        Raises Blocked for what is not admitted; a damaged pickle can raise anything.
        """
        while (instruction := self._next()) != "STOP":
            if instruction in _VALUES:
                self.stack.append(self._argument(instruction))
            elif instruction in _NEW:
                self.stack.append(_NEW[instruction]())
            elif instruction in _TUPLES:
                count = _TUPLES[instruction]
                self.stack.append(tuple(self._pop() for _ in range(count))[::-1])
            elif instruction in _STEPS:
                _STEPS[instruction](self, self._argument(instruction))
            else:
                raise Blocked(instruction)
        return self._pop()

    def _next(self) -> str:
        code = self.file.read(1)
        if code not in _INSTRUCTIONS:
            raise ValueError(f"{code!r} is no instruction" if code else "it ends too early")
        self.code = code
        return _INSTRUCTIONS[code].name

    def _argument(self, instruction: str) -> Any:
        """What stands behind an instruction, None for most. Python checks that it is all there."""
        argument = _INSTRUCTIONS[self.code].arg
        if instruction == "STRING":  # pickletools takes it for ASCII before Python 3.13
            line = self.file.readline().strip()
            if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
                raise ValueError("a text without quotes")
            return codecs.escape_decode(line[1:-1])[0].decode("latin1")
        return argument.reader(self.file) if argument else None

    def _pop(self) -> Any:
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def _mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _list(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append(items)

    def _tuple(self, _: None) -> None:
        items = tuple(self._since_mark())
        self.stack.append(items)

    def _dict(self, _: None) -> None:
        items = keyed(self._since_mark())
        self.stack.append(items)

    def _append(self, _: None) -> None:
        self._extend([self._pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("an item of what is not a list")
        self.stack[-1].extend(items)

    def _set_item(self, _: None) -> None:
        self._update([self._pop(), self._pop()][::-1])

    def _set_items(self, _: None) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise ValueError("a key of what is not a dict")
        self.stack[-1].update(keyed(items))

    def _get(self, number: int) -> None:
        value = self.memo[number]
        is_made = isinstance(value, Draft) and value.made is not None
        self.stack.append(value.made if is_made else value)

    def _put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def _memoize(self, _: None) -> None:
        self._put(len(self.memo))

    def _global(self, text: str) -> None:
        self.stack.append(self.names.find(*text.split(" ", 1)))

    def _stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name that is no text")
        self.stack.append(self.names.find(module, name))

    def _reduce(self, _: None) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise ValueError("a call of what is no function")
        self.stack.append(name.call(*arguments))

    def _build(self, _: None) -> None:
        state, draft = self._pop(), self._pop()
        if not isinstance(draft, Draft) or draft.made is not None:
            raise ValueError("a state of what has none")
        draft.made = draft.make(state)
        self.stack.append(draft.made)

    def _skip(self, _: Any) -> None:
        """The number of the protocol, and frames, which are there for speed."""


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "LIST": _Machine._list,
    "TUPLE": _Machine._tuple,
    "DICT": _Machine._dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine._get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine._put),
    "MEMOIZE": _Machine._memoize,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    **dict.fromkeys(("PROTO", "FRAME"), _Machine._skip),
}


def unpickle(path: Path, kind: type[UserError], otherwise: str) -> Any:
    """The content of a pickle that asks for nothing but arrays of numbers and plain containers.

    Raises an error of `kind` for one that asks for more, or that is damaged or `otherwise`, and
    DataError for what is no file.
    """
    require_regular(path)
    try:
        return _Machine(path.read_bytes()).run()
    except Blocked as error:
        raise kind(
            f"{path} is refused: the pickle asks for {error}, and only NumPy arrays of numbers and "
            "plain containers are read"
        ) from None
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged pickle can raise anything
        why = str(error) or type(error).__name__
        raise kind(f"{path} is damaged or {otherwise}: {why}") from None


def read_pickle(path: Path) -> Any:
    """The content of a pickle of numbers, texts, lists, dicts and numeric NumPy arrays.

    Raises DataError for a file that is missing or damaged, or that asks for anything else.
    """
    content = unpickle(path, DataError, "not a pickle")
    _require_plain(content, path)
    return content


def _require_plain(content: Any, path: Path) -> None:
    """Walk the content; a list that holds itself ends the walk as well."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) not in seen:
                seen.add(id(value))
                waiting += value.values() if isinstance(value, dict) else value
        elif not isinstance(value, int | float | str | np.ndarray | np.generic):
            raise DataError(f"{path} holds a {type(value).__name__}, expected plain numbers")
