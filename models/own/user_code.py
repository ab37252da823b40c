"""Code of a user: functions loaded from a file, which may import the file's neighbours."""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from utils import UserError, suggestion

_TOOLKIT = Path(__file__).resolve().parent.parent.parent
# The folders and files that the toolkit consists of.
OWN_PARTS = (
    *("main.py", "config.py", "utils.py", "common", "measure", "models", "vos", "datasets"),
    *("estimation", "results", "misc"),
)
# Of a user's code that led to an error.
LINES_SHOWN = 3
# The folders that code was loaded from in this process.
_FOLDERS: set[Path] = set()


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """The function `name` in the file `path`; what it raises becomes a UserError.

    The file finds its neighbours first, also those called like parts of this toolkit (models,
    utils, ...), while it is read and while the function runs.

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
        # What is defined in the file can then be sent to other processes.
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
    """Imports inside the block find what lies in `folder` first, whatever this toolkit, or the
    folder of another file, has of the same name; the toolkit's own parts are back in their place
    afterwards, however the block ends.

    theirs: the modules of the folder that go by a name of the toolkit: kept here after the block,
    and there again in the next one.
    """
    names = _importable(folder)
    # Also those that are not loaded yet: later they must be the toolkit's.
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
        # Behind all others, for what the user's code imports later.
        added = dict.fromkeys([str(folder), *sys.path])
        sys.path[:] = [*path, *(entry for entry in added if entry not in path)]
        theirs.update(_taken(reserved))
        sys.modules.update(aside)


def _importable(folder: Path) -> set[str]:
    """Names under which the files and folders in a folder can be imported."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}


def _with_code(folder: Path, names: set[str]) -> set[str]:
    """Those of the names that stand for code in a folder, not for data alone."""
    patterns = ("{}.py", "{}/*.py", "{}/*/__init__.py")
    return {n for n in names if any(any(folder.glob(p.format(n))) for p in patterns)}


def _without_init(folder: Path, names: set[str]) -> dict[str, ModuleType]:
    """Packages without __init__.py; the path would give the toolkit's, which have one, for them."""
    packages = {}
    for name in names:
        if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file():
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder / name)]
            packages[name] = importlib.util.module_from_spec(spec)
    return packages


def _home(module: ModuleType | None) -> Path | None:
    """The folder in which a module or package lies, None for one without."""
    own = [*getattr(module, "__path__", ()), getattr(module, "__file__", None)][0]
    return Path(own).resolve().parent if own else None


def _taken(tops: Collection[str]) -> dict[str, ModuleType]:
    """The loaded modules of these names and all inside them, which are no longer loaded then."""
    found = [name for name in sys.modules if name.partition(".")[0] in tops]
    return {name: sys.modules.pop(name) for name in found}


def guarded(name: str, call: Callable[[], Any]) -> Any:
    """The result of a user's code. Raises UserError with an error of it, and where it arose."""
    try:
        return call()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it may raise anything, and end a script
        raise UserError(f"`model` {name}: {described(error)}") from error


def described(error: BaseException) -> str:
    """An error, and the last lines of a user's own code that led to it, innermost last.

    The toolkit's lines and those of installed packages are left out, unless there are no others.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(Path(frame.filename))]
    lines = [
        f"  {frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in (own or frames)[-LINES_SHOWN:]
    ]
    return "\n".join([f"{type(error).__name__}: {error}", *lines])


def _is_users(file: Path) -> bool:
    parts = file.resolve().parts
    installed = "site-packages" in parts or "dist-packages" in parts or file.name.startswith("<")
    return not installed and not (_TOOLKIT in file.resolve().parents and _is_toolkits(file))


def _is_toolkits(file: Path) -> bool:
    """Whether a file in the toolkit's folder is one of its own, and not a user's beside them."""
    top = file.resolve().relative_to(_TOOLKIT).parts[0]
    return top in OWN_PARTS
