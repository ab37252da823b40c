"""Measure how much static and dynamic information a video network encodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.process import run_script
from config import Config, from_given, parse
from estimation.stage import Rules
from measure import folder as folders
from measure.assist import assist
from measure.ending import keeping
from measure.estimates import estimate_stages
from measure.features import Features, at_work, compute_features
from measure.prepare import prepare
from measure.ranks.joining import joined
from measure.ranks.team import Team
from measure.ranks.work import PREPARED, digests
from measure.request import find_network, resolved
from measure.run import Run
from results import study
from results.blocks import Results
from utils import as_options, counted

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
    """Parse the command line, measure, and print the numbers and where they are; returns the exit
    code."""
    given = parse(argv, LISTS)
    wanted = [name for name in LISTS if given.pop(name, False)]
    config = from_given(given)
    if wanted:
        print_lists(wanted, config)
        return 0
    with joined() as team:
        if not team.leads:
            return assist(config, team)
        report(measure(config, team), config)
        return 0


def report(outcome: Outcome, config: Config) -> None:
    """Print the numbers of a run, and where they are."""
    print(folders.summary(outcome.results, config.joint_encoding))
    print(f"tables:  {outcome.folder}")
    print(f"figures: {', '.join(map(str, outcome.figures))}")
    for path in outcome.exported:
        print(f"study:   {path}")


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
    with (team or Team()).leading() as own:
        return _measured(config, own)


def _measured(config: Config, team: Team) -> Outcome:
    run = prepare(config)
    folder = folders.find_folder(run)
    exported = study.Exported(
        task=run.network.task,
        save_dir=run.config.place,
        folder=folder,
        seed=config.random_seed,
        joint=config.joint_encoding,
        record=run.record,
        scored_plan=run.scored_plan,
    )
    study.require_free(exported)
    print(as_options(run.describe()), flush=True)
    team.give(PREPARED, digests(run.agreed))
    with at_work(run, folder) as network:
        features = compute_features(run, folder, network, team)
        if features.bad_videos:
            left_out = counted(len(features.bad_videos), "video")
            print(f"left out: {left_out}, see {folder}/skipped_videos.csv")
        with keeping(run, folder):
            results = estimated(run, features)
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
