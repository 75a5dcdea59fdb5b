"""The rungs of a ladder: each a study at one size and one number of tokens, with its own folder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from losslab.config import PRESETS, SIZES, ExperimentConfig
from losslab.config.numbers import shown
from losslab.corpus import Corpus
from losslab.ladder import rates
from losslab.ladder.settings import COUNTS, Ladder, Size, of, written
from losslab.progress import Progress, silent
from losslab.scaling import design
from losslab.scaling.counts import Counts, counts
from losslab.study import Study, checks
from losslab.study.names import names_of

LAW_CONSTANTS = 5
FAR = 0.1  # of tokens per parameter: whole updates may miss what is asked by so much without a word


@dataclass(frozen=True)
class Rung:
    """One size and one number of tokens.

    Args:
        name: of its folder, SIZE-TOKENS PER PARAMETER.
        size: of the model, and its name.
        asked: tokens per parameter, as the ladder has them.
        counts: of the baseline's model and its training.
        ratio: tokens per parameter that whole updates come to.
        epochs: how often the training text is read.
        study: the arms at this rung.
        tuned: whether learning rates are tuned here.
        rate: whether they are still to be taken from the power law of tuned ones.
    """

    name: str
    size: Size
    asked: float
    counts: Counts
    ratio: float
    epochs: float
    study: Study
    tuned: bool = False
    rate_follows: bool = False

    def with_rates(self, found: Mapping[str, float]) -> "Rung":
        """With a learning rate for arms, by their names; an arm without one keeps that of its settings."""
        return replace(self, rate_follows=False, study=_with(self.study, {
            name: {rates.RATE: rate} for name, rate in found.items()}))


def rungs(study: Study, *, progress: Progress = silent) -> list[Rung]:
    """The rungs of the ladder of a study, by compute.

    Args:
        study: with a `ladder`.
        progress: is told how far the corpus is.

    Raises:
        ValueError: for a ladder that cannot be, or sizes that have as many parameters as each other.
    """
    ladder = of(study)
    if ladder.rate == "tuned":
        _check_tuning(study)
    first = _base(study, ladder.sizes[0])
    corpus = Corpus.open(first.configs[first.reference].data, progress=progress)
    vocab_size, train_tokens = corpus.tokenizer.vocab_size, corpus.describe()["splits"]["train"]["tokens"]
    placed = sorted(((_counted(_base(study, size), vocab_size).num_params, size) for size in ladder.sizes),
                    key=lambda pair: pair[0])
    for (one, small), (other, large) in zip(placed, placed[1:], strict=False):
        if one == other:
            raise ValueError(f"the sizes {shown(small.name)} and {shown(large.name)} of the ladder both have {one:,} "
                             "parameters, so that a law cannot tell them apart; leave one out")
    sizes = [size for _, size in placed]
    base = next((size for size in sizes if size.name == ladder.base), sizes[0])
    own = _base(study, base).configs if ladder.rate == "width" else {}
    found = [_rung(study, ladder, size, asked, own, vocab_size, train_tokens,
                   tuned=ladder.rate == "tuned" and size in sizes[: ladder.tuned_sizes])
             for size in sizes for asked in ladder.budgets(size)]
    found.sort(key=lambda rung: (rung.counts.flops_6nd, rung.counts.num_params))
    if ladder.rate == "tuned":  # before anything is spent
        computes = {rung.counts.flops_6nd for rung in found if rung.tuned}
        if len(computes) < 2 and not all(rung.tuned for rung in found):
            rates.power_law(list(computes), [1.0] * len(computes))
        found.sort(key=lambda rung: not rung.tuned)  # stable: the tuned ones first
    return found


def notes(found: list[Rung]) -> list[str]:
    """What a reader must know of the rungs before anything is spent."""
    said = []
    for rung in found:
        if abs(rung.ratio / rung.asked - 1) > FAR:
            said.append(f"the rung {rung.name} reads {rung.ratio:.3g} tokens per parameter in whole updates, and "
                        f"{rung.asked:g} were asked for; a smaller train.batch_size comes nearer")
    if repeats := [rung for rung in found if rung.epochs > 1]:
        most = max(repeats, key=lambda rung: rung.epochs)
        said.append(f"{len(repeats)} of {len(found)} rungs read their text more than once ({most.name} "
                    f"{most.epochs:.3g} times), and a law takes tokens as new ones; a larger corpus or data.max_bytes "
                    "keeps them so")
    sizes, tokens = {rung.counts.num_params for rung in found}, {rung.counts.num_tokens for rung in found}
    trained = np.array([rung.counts.num_tokens for rung in found])
    fitted = trained / np.array([rung.ratio for rung in found])  # N as the ladder counts it
    runs = sum(len(rung.study.seeds) for rung in found)  # of one arm
    if (runs < design.LEAST_RUNS or len(sizes) < design.LEAST_SIZES or len(tokens) < design.LEAST_SIZES
            or len({rung.asked for rung in found}) < 2 or design.off_line(fitted, trained)[0] < design.LEAST_FACTOR):
        said.append(f"{len(sizes)} sizes with {len(found)} rungs carry no law of size and data, and no forecast by "
                    "one: it takes 6 runs of an arm, 3 sizes and 3 numbers of tokens that are not one power of the "
                    "sizes, so at more than one tokens_per_param")
        return said
    if len(found) <= LAW_CONSTANTS:
        said.append(f"{len(found)} rungs for the {LAW_CONSTANTS} constants of a law leave none to judge it by; add a "
                    "size or a budget")
    return said + design.doubts(fitted, trained)


def _rung(study: Study, ladder: Ladder, size: Size, asked: float, own: Mapping[str, ExperimentConfig], vocab_size: int,
          train_tokens: int, *, tuned: bool) -> Rung:
    at = _base(study, size)
    known = _counted(at, vocab_size)
    column = COUNTS[ladder.params][0]
    at = replace(at, name=f"{size.name}-{written(asked)}", tune=study.tune if tuned else {}, settings=checks.laid(
        at.settings, {"train.num_tokens": max(1, int(asked * getattr(known, column)))}))
    at = _with(at, {name: rates.transferred(config, at.configs[name].model.n_embd) for name, config in own.items()})
    config = at.configs[at.reference]
    config.train.check_horizon(config.model.num_positions)
    found = counts(config.model, vocab_size, config.num_tokens, config.seq_len)
    return Rung(at.name, size, asked, found, config.num_tokens / getattr(found, column),
                config.num_tokens / max(1, train_tokens), at, tuned, ladder.rate == "tuned" and not tuned)


def _base(study: Study, size: Size) -> Study:
    """The study at one size, with one recipe and one text for all sizes, and arms that keep their names."""
    own = {key: getattr(study, key) for key in ("size", "recipe", "data") if getattr(study, key)}
    parts = PRESETS.get(study.preset or study.size, PRESETS["tiny"])._asdict() | own
    named = SIZES[size.known] if size.known else SIZES.get(parts["size"])
    settings = dict(size.settings) | {f"model.{key}": value for key, value in size.shape}
    if named is None:
        raise ValueError(f"unknown size {shown(parts['size'])}; the sizes are {', '.join(SIZES)}")
    return replace(_named(study), **parts | {"size": size.known or parts["size"]}, preset="", ladder={}, scales={},
                   published={}, tasks=(), benchmarks="", settings=checks.laid(study.settings, settings))


def _named(study: Study) -> Study:
    arms = tuple(replace(arm, label=name if len(name) <= 80 else arm.label)
                 for arm, name in zip(study.arms, names_of(study.arms), strict=True))
    return replace(study, arms=arms)


def _with(study: Study, settings: Mapping[str, Mapping[str, object]]) -> Study:
    """With more settings for each arm, by its name."""
    if not settings:
        return study
    arms = tuple(replace(arm, settings=checks.laid(arm.settings, settings.get(name, {})))
                 for arm, name in zip(study.arms, study.configs, strict=True))
    return replace(study, arms=arms)


def _counted(study: Study, vocab_size: int) -> Counts:
    config = study.configs[study.reference]
    return counts(config.model, vocab_size, 1, config.seq_len)


def _check_tuning(study: Study) -> None:
    from losslab.tune import Tuning

    if not study.tune:
        raise ValueError("ladder.rate tuned goes with a [tune] table, such as trials = 5 and space.learning_rate = {}")
    space = [*Tuning.from_dict(study.tune).space, *(f"loss.{key}" for arm in study.arms for key in arm.space)]
    if space != [rates.RATE]:
        raise ValueError(f"ladder.rate tuned extrapolates train.learning_rate alone, and [tune] searches "
                         f"{', '.join(space) or 'nothing'}; leave out all else, as nothing says how that "
                         "changes with size")
