"""How a run ends before its end: whatever stops it, what is kept is said, and how to go on."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from measure.ranks.journal import rows_in
from measure.run import Run
from results.store import FeatureStore
from utils import UserError, add_note


@contextlib.contextmanager
def keeping(run: Run, folder: Path) -> Iterator[None]:
    """Around all that may take long: to whatever ends it early, a note is added that says how many
    clips are kept in the run's folder, and how to finish it.

    Raises UserError in place of SystemExit: a run that ends so has no results.
    """
    try:
        yield
    except SystemExit as error:
        stop = UserError(
            f"the network's code ended the process: sys.exit({error.code!r}). Take that out of it"
        )
        _note(stop, run, folder)
        raise stop from error
    except BaseException as error:
        _note(error, run, folder)
        raise


def _note(error: BaseException, run: Run, folder: Path) -> None:
    with contextlib.suppress(UserError, OSError):  # the error itself matters more
        if not folder.exists():
            return
        features = folder / "features"
        done = FeatureStore.n_done(features, rows_in(features)) // run.geometry.rows
        own = " (a network that has changed needs a new run)" if run.network.modules else ""
        add_note(
            error,
            f"{done} of {len(run.rows)} clips are kept; finish with the same command, or "
            f"python main.py --resume {shlex.quote(str(folder))}{own}",
        )
