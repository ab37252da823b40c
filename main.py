"""Measure how much static and dynamic information a video network encodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.process import run_script
from config import Config, combinations, from_given, parse
from estimation.stage import Rules
from measure import folder as folders
from measure.assist import assist
from measure.ending import keeping
from measure.estimates import estimate_stages
from measure.features import Features, at_work, compute_features
from measure.prepare import prepare
from measure.ranks.joining import joined
from measure.ranks.team import Team
from measure.ranks.work import PREPARED, Asked
from measure.recorded import noting_results
from measure.request import find_network, resolved
from measure.run import Run
from measure.sweep import sweep
from measure.unfinished import with_unfinished
from results import study
from results.blocks import Results
from utils import UserError, as_options, counted

# Options that print something instead of measuring.
LISTS = {
    "list_models": "print the networks of the study, and stop",
    "list_stages": "print the stages of --model, their shapes and units, and stop",
}


@dataclass(frozen=True)
class Outcome:
    """What a run leaves.

    folder: of the run.
    results: its estimates.
    figures: paths of its figures.
    exported: paths of the files that the study's code would have written.
    """

    folder: Path
    results: Results
    figures: list[Path]
    exported: list[Path]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code.

    Of several processes that torchrun has started the first one does it, and the others help.
    """
    with joined() as team:
        return lead(argv, team) if team.leads else assist(team)


def lead(argv: Sequence[str] | None, team: Team) -> int:
    """Parse the command line, measure, and print the numbers and where they are; returns the exit
    code."""
    given = parse(argv, LISTS)
    wanted = [name for name in LISTS if given.pop(name, False)]
    first, *more = combinations(given)
    if wanted and more:
        raise UserError(f"`{wanted[0]}` goes with one network, data set and seed")
    if more:
        return sweep([first, *more], partial(finish, team=team))
    config = from_given(with_unfinished(first))
    if wanted:
        print_lists(wanted, config)
    else:
        finish(prepare(config), team)
    return 0


def finish(run: Run, team: Team) -> Path:
    """Measure what is prepared, and print the numbers and where they are; returns the folder."""
    outcome = complete(run, team)
    print(folders.summary(outcome.results, run.config.joint_encoding))
    print(f"tables:  {outcome.folder}")
    print(f"figures: {', '.join(map(str, outcome.figures))}")
    for path in outcome.exported:
        print(f"study:   {path}")
    return outcome.folder


def print_lists(wanted: Sequence[str], config: Config) -> None:
    """Print what was asked for of `LISTS`."""
    from models import listing

    if "list_models" in wanted:
        print(listing.models_table())
    if "list_stages" in wanted:
        print(as_options(listing.stages_table(find_network(resolved(config)))))


def measure(config: Config, team: Team | None = None) -> Outcome:
    """One run: videos -> pair plan -> features of its distinct clips -> estimates -> results.

    team: of the processes that share the clips, of which this is the first (the others call
        `measure.assist.assist`); alone by default.

    Raises UserError before the first expensive step for anything that is wrong with the request.
    """
    return complete(prepare(config), team or Team())


def complete(run: Run, team: Team) -> Outcome:
    """What a run leaves that is prepared: its videos and its pair plan are known."""
    with team.leading() as own:
        return _completed(run, own)


def _completed(run: Run, team: Team) -> Outcome:
    folder = folders.find_folder(run)
    exported = folders.exported(run, folder)
    study.require_free(exported)
    print(as_options(run.describe()), flush=True)
    team.give(PREPARED, Asked.of(run.config, run.agreed).as_json())
    with at_work(run, folder) as network:
        features = compute_features(run, folder, network, team)
        if features.bad_videos:
            left_out = counted(len(features.bad_videos), "video")
            print(f"left out: {left_out}, see {folder}/skipped_videos.csv")
        with keeping(run, folder):
            results = estimated(run, features)
            with noting_results(folder, run.config):
                figures = folders.save_results(folder, results, features.bad_videos)
                return Outcome(folder, results, figures, study.write(exported, results))


def estimated(run: Run, features: Features) -> Results:
    """The estimates of a run, from the features of the clips that could be read."""
    config = run.config
    estimates = estimate_stages(
        features.store,
        run.plan.without(features.bad_videos).pairs,
        run.rows,
        Rules(config.n_factors, config.residual_index, config.confidence),
        run.groups,
    )
    return Results(
        model=run.model,
        pathway=run.pathway,
        dataset=run.data.listed.name,
        weights=run.weights[:12],
        estimates=estimates,
        thresholds=config.joint_encoding_thresh,
        chains=run.chains,
        grouped=bool(run.groups),
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
