"""A user's code: functions loaded from a file, which may import the file's neighbours."""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from utils import UserError, suggestion

_TOOLKIT = Path(__file__).resolve().parent.parent.parent
# The folders and files that the toolkit consists of.
TOOLKIT_PARTS = (
    *("main.py", "config.py", "utils.py", "common", "measure", "models", "vos", "datasets"),
    *("estimation", "results", "misc"),
)
# Lines of a user's code that are shown with an error.
LINES_SHOWN = 3
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
# The folders from which code was loaded in this process.
_FOLDERS: set[Path] = set()
# Of each, the modules that share a name with one of the toolkit's.
_ASIDE: dict[Path, dict[str, ModuleType]] = {}


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """The function `name` in the file `path`; what it raises becomes a UserError.

    While the file is read and while the function runs, imports find the file's neighbours first,
    even those with names of this toolkit's parts (models, utils, ...).

    Raises UserError if there is no such file or function, or for an error in the file.
    """
    if not path.is_file():
        raise UserError(f"`model` {path}:{name}: there is no file {path}")
    folder = path.parent.resolve()
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path.absolute()))
    spec = importlib.util.spec_from_loader(path.stem, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    theirs: dict[str, ModuleType] = {}
    with neighbours_first(folder, theirs):
        # So that what the file defines can be sent to other processes.
        sys.modules.setdefault(path.stem, module)
        guarded(f"{path}", lambda: loader.exec_module(module))
    function = getattr(module, name, None)
    if not callable(function):
        there = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise UserError(
            f"`model` {path}:{name}: the file has no function {name!r}.{suggestion(name, there)}"
        )

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        with neighbours_first(folder, theirs):
            return guarded(f"{path}:{name}", lambda: function(**options))

    return call


@contextlib.contextmanager
def neighbours_first(folder: Path, theirs: dict[str, ModuleType]) -> Iterator[None]:
    """Imports inside the block find what lies in `folder` first, before anything of the same name
    in this toolkit or in another file's folder; afterwards the toolkit's own parts are back in
    their place, however the block ends.

    theirs: the folder's modules that share a name with one of the toolkit's: they are kept here
    after the block, and put back in the next one.
    """
    names = _importable(folder)
    # Even if they are not loaded yet: later they must be the toolkit's.
    reserved = set() if folder == _TOOLKIT else _with_code(folder, names & _importable(_TOOLKIT))
    strangers = _FOLDERS - {folder, _TOOLKIT}
    path, aside = list(sys.path), _taken(reserved)
    _taken({name for name in names if _home(sys.modules.get(name)) in strangers})
    sys.modules.update(theirs or _without_init(folder, reserved))
    sys.path.insert(0, str(folder))
    _FOLDERS.add(folder)
    try:
        yield
    finally:
        # After all others, for what the user's code imports later.
        added = dict.fromkeys([str(folder), *sys.path])
        sys.path[:] = [*path, *(entry for entry in added if entry not in path)]
        theirs.update(_taken(reserved))
        _ASIDE.setdefault(folder, {}).update(theirs)
        sys.modules.update(aside)


def imported_neighbours(path: Path) -> list[Path]:
    """The other files of code in the folder of a user's file, and in those below it, that have been
    imported so far; installed packages and the toolkit's own parts are left out."""
    folder = path.parent.resolve()
    loaded = [*sys.modules.values(), *_ASIDE.get(folder, {}).values()]
    named = (getattr(module, "__file__", None) for module in loaded)
    found = {Path(file) for file in named if isinstance(file, str) and file.endswith(".py")}
    files = {file.resolve() for file in found if file.is_absolute()} - {path.resolve()}
    return sorted(file for file in files if folder in file.parents and _is_users(file))


def _importable(folder: Path) -> set[str]:
    """Names under which the files and folders in a folder can be imported."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}


def _with_code(folder: Path, names: set[str]) -> set[str]:
    """Those of the names that stand for code in a folder, rather than only for data."""
    patterns = ("{}.py", "{}/*.py", "{}/*/__init__.py")
    return {n for n in names if any(any(folder.glob(p.format(n))) for p in patterns)}


def _without_init(folder: Path, names: set[str]) -> dict[str, ModuleType]:
    """Packages without __init__.py: searching the path would find the toolkit's, which have one."""
    packages = {}
    for name in names:
        if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file():
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder / name)]
            packages[name] = importlib.util.module_from_spec(spec)
    return packages


def _home(module: ModuleType | None) -> Path | None:
    """The folder that contains a module or package; None if there is none."""
    own = [*getattr(module, "__path__", ()), getattr(module, "__file__", None)][0]
    return Path(own).resolve().parent if own else None


def _taken(tops: Collection[str]) -> dict[str, ModuleType]:
    """The loaded modules of these names and everything in them; they are unloaded."""
    found = [name for name in sys.modules if name.partition(".")[0] in tops]
    return {name: sys.modules.pop(name) for name in found}


def guarded(name: str, call: Callable[[], Any]) -> Any:
    """The result of a user's code. Raises UserError with its error, and where that arose."""
    try:
        return call()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it may raise anything, and end a script
        raise UserError(f"`model` {name}: {described(error)}") from error


def described(error: BaseException) -> str:
    """An error, and below it the last lines of the user's own code that led to it, innermost last.

    Lines of the toolkit, of Python and of installed packages are left out.
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        f"  {frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in frames
        if _is_users(Path(frame.filename))
    ]
    return "\n".join([f"{type(error).__name__}: {error}", *lines[-LINES_SHOWN:]])


def _is_users(file: Path) -> bool:
    """Whether a file is a user's own, rather than Python's, an installed package's or ours."""
    path = file.resolve()
    installed = {"site-packages", "dist-packages"} & {*path.parts}
    return not (
        file.name.startswith("<")
        or installed
        or _STANDARD_LIBRARY in path.parents
        or any(_TOOLKIT / part in (path, *path.parents) for part in TOOLKIT_PARTS)
    )
