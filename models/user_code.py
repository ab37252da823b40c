"""Code of a user: functions loaded from a file, which may import the file's neighbours."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.registry import suggestion
from utils import UserError

_TOOLKIT = Path(__file__).resolve().parent.parent


def load_function(path: Path, name: str) -> Callable[[], Any]:
    """The function `name` in the file `path`; what it raises becomes a UserError.

    The file finds its neighbours first, also those called like parts of this toolkit (models,
    utils, ...), while it is read and while the function runs.

    Raises UserError if there is no such file or function, or for an error in the file.
    """
    if not path.is_file():
        raise UserError(f"--model {path}:{name}: there is no file {path}")
    folder = path.parent.resolve()
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    spec = importlib.util.spec_from_loader(path.stem, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with neighbours_first(folder):
        # What is defined in the file can then be sent to other processes.
        sys.modules.setdefault(path.stem, module)
        guarded(f"{path}", folder, lambda: loader.exec_module(module))
    function = getattr(module, name, None)
    if not callable(function):
        there = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise UserError(
            f"--model {path}:{name}: the file has no function {name!r}.{suggestion(name, there)}"
        )

    def call() -> Any:
        with neighbours_first(folder):
            return guarded(f"{path}:{name}", folder, function)

    return call


@contextlib.contextmanager
def neighbours_first(folder: Path) -> Iterator[None]:
    """Imports inside the block find what lies in `folder` first, whatever this toolkit has of the
    same name; its own parts are back in their place afterwards."""
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    aside = {} if folder == _TOOLKIT else {n: m for n, m in sys.modules.items() if _ours(n, names)}
    for name in aside:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # for what the user's code imports later
        tops = {name.partition(".")[0] for name in aside}
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(aside)


def _ours(name: str, neighbours: set[str]) -> bool:
    """Whether a loaded module is one of this toolkit with the name of a neighbour."""
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    return top in neighbours and file is not None and _TOOLKIT in Path(file).parents


def guarded(name: str, folder: Path, call: Callable[[], Any]) -> Any:
    """The result of a user's code. Raises UserError with the place of an error in it: the last
    line in `folder`, where there is one."""
    try:
        return call()
    except Exception as error:  # it may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if folder in Path(frame.filename).parents]
        place = (own or frames)[-1]
        raise UserError(
            f"--model {name}: {type(error).__name__}: {error} (line {place.lineno} of "
            f"{place.filename})"
        ) from error
