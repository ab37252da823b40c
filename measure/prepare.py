"""From options to a run: everything is checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar, cast

from common.factors import DIFFERENT, FACTORS, scored_factors
from common.tasks import SEGMENTATION
from config import Config, check
from datasets.catalogue import DATASETS
from datasets.dataset import DataRequest, DataSet
from datasets.pair_plan import ONCE, PairPlan, PlanRules, require_factors
from datasets.videos import stop_or_skip
from measure.folder import (
    advising_a_new_run,
    recorded_bad_videos,
    require_free_name,
    require_writable,
)
from measure.request import find_network, resolved
from measure.run import Run
from models.network import AUTO, Network
from utils import DataError, UserError, require_device

_Made = TypeVar("_Made")


class Once:
    """Things that are made once, by what they depend on."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What was made for a key before, or is made now."""
        if key not in self._made:
            self._made[key] = make()
        return cast(_Made, self._made[key])


def prepare(config: Config, once: Once | None = None) -> Run:
    """Resolve network, stages, videos and plan, and check the files of every planned clip.

    once: what it shares with other runs: videos that are found, and plans that are checked.

    Raises UserError for anything that is wrong with the request or the data.
    """
    check(config)
    config = resolved(config)
    network = find_network(config)
    stages = network.requested_stages(config.stg)
    if not stages:
        raise UserError(f"network {network.name!r} has no stage that can be measured")
    checkpoint = network.checkpoint(config.checkpoint)
    require_free_name(config)
    if not config.resume:
        require_writable(config)
    require_device(config.device)
    once = once or Once()
    request = _request(config, network)
    data = once((config.dataset, request), lambda: find_data(config, network))
    rules = _rules(config, network)
    planned = (config.dataset, request, rules, config.pairs, config.resume)
    plan, found = once(planned, lambda: _checked_plan(config, rules, data))
    problems = {**data.listed.problems, **found}
    # The plan of a run that has begun stays as it is.
    stop_or_skip(problems, config.on_bad_video, begun=bool(config.resume))
    plan = plan.without(problems)
    data.require_usable(plan, network.clip)
    run = Run(
        config,
        network,
        checkpoint,
        stages,
        data,
        plan,
        {**(recorded_bad_videos(config.resume) if config.resume else {}), **problems},
    )
    run.policy.require_few({})
    _ = run.groups  # or what is wrong with their file
    require_factors(
        plan.pairs, FACTORS, rules.factors, _more_pairs(config, network), rules.for_parts
    )
    return replace(run, checkpoint=fetched(config, network, checkpoint))


def find_data(config: Config, network: Network) -> DataSet:
    """The videos that resolved options ask for. Raises UserError as the data set does."""
    assert config.dataset
    return DATASETS[config.dataset].find(config.dataset, _request(config, network))


def _request(config: Config, network: Network) -> DataRequest:
    return DataRequest(
        stylized=config.stylized_data_dir,
        styles=config.styles,
        subset=config.subset,
        unstylized=config.normal_data_dir,
        shows_unstylized=config.use_normal_app,
        original=config.original_data_root,
        start=config.start,
        shared_classes=not config.m_same,
        backward=network.clip.rows > 1,
        made_in=config.place / "synthetic_videos",
        thorough=config.thorough,
    )


def _rules(config: Config, network: Network) -> PlanRules:
    return PlanRules(
        seed=config.random_seed,
        factors=scored_factors(config.n_factors, config.residual_index),
        pairing=config.pairing,
        n_examples=config.n_examples,
        window=network.clip.window,
        same_video=config.m_same,
        shuffle_static=config.app_shuffle,
        unstylized_static=config.use_normal_app,
        two_frames=network.clip.rows > 1,
        parts=config.parts,
        **({"nreps": config.nreps} if config.nreps else {}),
    )


def _checked_plan(
    config: Config, rules: PlanRules, data: DataSet
) -> tuple[PairPlan, dict[str, str]]:
    """The pair plan, and what is wrong with the files of its videos, by video."""
    plan = _plan(config, rules, data)
    return plan, data.check(plan)


def _plan(config: Config, rules: PlanRules, data: DataSet) -> PairPlan:
    if config.resume:
        with advising_a_new_run():
            return replace(data.read_plan(config.resume / "plan.csv", rules), given=False)
    if not config.pairs:
        return data.sample(rules)
    try:
        plan = data.read_plan(config.pairs, rules)
    except DataError as error:
        raise DataError(f"`pairs`: {error}") from None
    scored = sum(pair.factor in rules.factors for pair in plan.pairs)
    if config.n_examples not in (None, scored):
        raise UserError(
            f"`n_examples` {config.n_examples}: the plan {config.pairs} has {scored} scored pairs; "
            "leave it out"
        )
    unwanted = not config.parts and DIFFERENT not in rules.factors
    return plan.without_factor(DIFFERENT) if unwanted else plan


def _more_pairs(config: Config, network: Network) -> str:
    """What gives a plan more pairs, in words."""
    if config.resume:
        return "start a new run with more of them"
    if config.pairs:
        return "give other `pairs`"
    of_sequences = network.task == SEGMENTATION
    if config.pairing == "exhaustive" or (of_sequences and config.pairing in ONCE):
        return "give more `styles`, or another `pairing`"
    return f"give a larger `{'nreps' if of_sequences else 'n_examples'}`"


def fetched(config: Config, network: Network, checkpoint: str) -> str:
    """The same checkpoint; for "auto" the path of the published file, downloaded if need be."""
    if checkpoint != AUTO:
        return checkpoint
    from models.download import default_folder, published_file

    return str(published_file(network, config.weights_dir or default_folder()))
