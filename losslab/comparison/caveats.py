"""What a reader must know before believing a comparison."""

from collections.abc import Iterable, Mapping, Sequence

from losslab.comparison import learned
from losslab.comparison.arms import Arm
from losslab.config import instead, outside, recipe_of
from losslab.records import Record

Arms = Mapping[str, Sequence[Record]]
MOST_NAMED = 6  # in one sentence
MOST_SENTENCES = 12  # of one kind
NUMERICS = ("device", "dtype", "torch")


def comparable(arms: Arms) -> tuple[bool, bool]:
    """Whether the arms were measured on the same tokens (`nll`), and on the same text (`bits_per_byte`)."""
    corpora = [run.spec["corpus"] for runs in arms.values() for run in runs]
    windows = {run.spec["config"].get("evaluate", {}).get("stride", 0) for runs in arms.values() for run in runs}
    digests = {corpus["digest"] for corpus in corpora}
    tokenizers = {corpus["tokenizer"] for corpus in corpora}
    # a digest may cover the tokenizer; the same name and the same size in bytes is the same validation text
    vals = [((c.get("splits") or {}).get("val") or {}) for c in corpora]
    texts = {(c["name"], val.get("documents"), val.get("bytes")) for c, val in zip(corpora, vals, strict=True)}
    same_windows = len(windows) == 1
    same_tokens = same_windows and len(digests) == 1 and len(tokenizers) == 1
    return same_tokens, same_tokens or (same_windows and len(tokenizers) > 1 and len(texts) == 1)


def caveats(
    arms: Arms, described: Sequence[Arm], requested: Mapping[str, Sequence[int]],
    tuned: Mapping[str, Mapping] = {},
) -> list[str]:
    """Sentences, the gravest first."""
    return [
        *_unlike_corpora(arms),
        *_unlike_numerics(arms),
        *_unlike_ranks(arms),
        *_unlike_machines(arms),
        *_unlike_settings(arms, {arm.name: arm.differs for arm in described}, tuned),
        *learned.told(described, tuned),
        *_at_the_edge(tuned),
        *_incomplete(arms, requested),
        *_few_seeds(arms),
        *_calibrated_order(described),
        *([] if tuned else _one_learning_rate(arms)),
    ]


def _unlike_corpora(arms: Arms) -> list[str]:
    found = {}
    for runs in arms.values():
        for run in runs:
            corpus = run.spec["corpus"]
            digest, tokenizer = corpus["digest"], corpus["tokenizer"]
            found[digest, tokenizer] = f"{corpus['name']} {digest} ({tokenizer})"
    if len(found) < 2:
        return []
    bits = "; bits per byte may be, because the text is the same" if comparable(arms)[1] else ""
    return [f"arms were trained on {_and(found.values())}: their nll cannot be compared{bits}"]


def _unlike_numerics(arms: Arms) -> list[str]:
    warnings = []
    for key in NUMERICS:
        found = dict.fromkeys(run.environment[key] for runs in arms.values() for run in runs if key in run.environment)
        if len(found) > 1:
            warnings.append(f"runs differ in {key} ({_and(map(str, found))}): part of a difference may be numerics")
    return warnings


def _unlike_ranks(arms: Arms) -> list[str]:
    """How many processes shared a run changes how its sums round, no more; of runs that continued, all counts."""
    found = set()
    for runs in arms.values():
        for run in runs:
            found |= set(run.result.get("ranks") or [run.environment.get("world_size", 1)])
    if len(found) < 2:
        return []
    return [f"runs were trained by different numbers of ranks ({_and(map(str, sorted(found)))}): a part of a "
            "difference may be how sums round, and dropout on GPUs"]


def _unlike_machines(arms: Arms) -> list[str]:
    """Which runs were computed on which kind of machine, where there are several, and which pairs that parts."""
    where: dict[str, dict[str, list[int]]] = {}
    seeds: dict[int, set[str]] = {}
    for name, runs in arms.items():
        for run in runs:
            kinds = [run.environment.get("processor"), *str(run.environment.get("continued_on", "")).split("; ")]
            kind = ", then ".join(one for one in kinds if isinstance(one, str) and one)
            if kind:
                where.setdefault(kind, {}).setdefault(name, []).append(run.seed)
                seeds.setdefault(run.seed, set()).add(kind)
    if len(where) < 2:
        return []
    told = [f"{kind} ({_and(f'{name} {_seeds(own)}' for name, own in found.items())})" for kind, found in where.items()]
    parted = sorted(seed for seed, kinds in seeds.items() if len(kinds) > 1)
    pairs = f"; pairs of {_seeds(parted)} are parted by that" if parted else ""
    return [f"runs were computed on unlike machines, {_and(told)}: part of a difference may be how their sums "
            f"round{pairs}"]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {_and(map(str, sorted(seeds)))}"


def _at_the_edge(tuned: Mapping[str, Mapping]) -> list[str]:
    names = [name for name, told in tuned.items() if told["tuning"]["edge"]]
    return [f"{_and(names)}: the best setting is the lowest or highest that was tried; a better one may lie beyond"] \
        if names else []


def _unlike_settings(arms: Arms, own: Mapping[str, Mapping], tuned: Mapping[str, Mapping]) -> list[str]:
    searched = {key for told in tuned.values() for key in told["tuned"]}
    keys = dict.fromkeys(key for settings in own.values() for key in settings
                         if key not in outside() and key not in searched)
    told = []
    for key in keys:
        # of the text the digests of corpora tell
        if not key.startswith("data.") or key not in instead() or key == "data.curriculum_model":
            told.append(f"{key} ({_and(dict.fromkeys(str(own[name].get(key)) or 'none' for name in arms))})")
    return [f"arms differ in more than the loss: {_and(told)}"] if told else []


def _incomplete(arms: Arms, requested: Mapping[str, Sequence[int]]) -> list[str]:
    verbs = {"failed": "failed, which counts as a lost seed", "stopped": "stopped early, not counted",
             "running": "still running, not counted", "waiting": "not started, not counted"}
    warnings = []
    for name, runs in arms.items():
        for status, told in verbs.items():
            seeds = [str(run.seed) for run in runs if run.status == status]
            if seeds:
                warnings.append(f"{name}: seed{'s' * (len(seeds) > 1)} {_and(seeds)} {told}")
    for name, seeds in requested.items():
        missing = sorted(set(seeds) - {run.seed for run in arms.get(name, ())})
        if missing:
            warnings.append(f"{name}: no run of seed {_and(map(str, missing))}")
    return _few(warnings)


def damaged_logs(runs: Iterable[Record]) -> list[str]:
    """A sentence for each run whose log is not what it wrote; its curve is drawn from what is left."""
    return _few([run.log_damage for run in runs if run.log_damage])


def _few(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_SENTENCES
    return [*sentences[:MOST_SENTENCES], *([f"{more:,} more sentences like these are left out"] if more > 0 else [])]


def _few_seeds(arms: Arms) -> list[str]:
    single = [name for name, runs in arms.items() if sum(run.status == "finished" for run in runs) == 1]
    if not single:
        return []
    if len(single) == len(arms):
        return ["one seed: what another seed would change cannot be told from what the loss changes"]
    return [f"{_and(single)}: one finished seed, which shows no interval"]


def _calibrated_order(described: Sequence[Arm]) -> list[str]:
    """Said when one fitted temperature alone changes which arm leads."""
    best = {}
    for score in ("nll", "nll_calibrated"):
        values = {arm.name: arm.scores.get(score, {}).get("value") for arm in described}
        known = {name: value for name, value in values.items() if value is not None}
        best[score] = min(known, key=known.get) if len(known) > 1 else None
    if best["nll"] == best["nll_calibrated"] or None in best.values():
        return []
    return [f"read through one fitted temperature, {best['nll_calibrated']} leads instead of {best['nll']}"]


def _one_learning_rate(arms: Arms) -> list[str]:
    rates = {run.spec["config"].get("train", {}).get("learning_rate") for runs in arms.values() for run in runs}
    if len(arms) < 2 or len(rates) != 1 or None in rates:
        return []
    recipes = {recipe_of(run.spec["config"]) for runs in arms.values() for run in runs[:1]}
    recipe = f" of the recipe {recipes.pop()}" if len(recipes) == 1 else ""
    return [f"all arms at learning rate {rates.pop():g}{recipe}; tuned separately the order may change"]


def _and(words) -> str:
    words = list(words)
    if len(words) > MOST_NAMED:
        words = [*words[: MOST_NAMED - 1], f"{len(words) - MOST_NAMED + 1:,} others"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
