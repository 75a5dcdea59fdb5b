"""What a ladder is asked: its sizes, how many tokens for each parameter, and the rule of the learning rate.

Example:
    [ladder]
    sizes = ["tiny", { n_layer = 4, n_head = 4, n_embd = 192, num_positions = 128 }]
    tokens_per_param = [10, 40]
    params = "all"
    rate = "width"
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from losslab import config as configuration
from losslab.config import ModelConfig
from losslab.config.numbers import check, shown
from losslab.study import Study, checks
from losslab.words import nearest

RATES = {
    "fixed": "every size has the learning rate that the settings of the study give it, or else its recipe",
    "width": "learning rates follow the width of the model, from those of the base size: with AdamW that of matrices "
             "and output weights is rate x base width / width, and embeddings, norms and biases keep theirs (Yang et "
             "al. 2022, arXiv 2203.03466, table 3; its initial weights are not taken over); with Muon matrices keep "
             "their rate (Jordan 2024), and that of embeddings and output weights is rate x sqrt(base width / width), "
             "as in karpathy/nanochat",
    "tuned": "the learning rate is tuned for each arm at the smaller sizes, and beyond them follows a power law in "
             "compute, rate = k C^p with C = 6 N D, the form of DeepSeek LLM (2024, arXiv 2401.02954), fitted by least "
             "squares of logarithms to what was chosen for that arm",
}
COUNTS = {  # of `scaling.counts.Counts`
    "all": ("num_params", "all parameters, a tied table once"),
    "with_head": ("num_params_with_head", "the blocks, the last norm and the output weights: what is multiplied"),
    "non_embedding": ("num_params_non_embedding", "the blocks and the last norm, without tables and output weights"),
}
TUNED_SIZES = 2
MOST_SIZES, MOST_BUDGETS = 50, 20
SHAPE = ("n_layer", "n_head", "n_embd", "num_positions")
KEYS = (*SHAPE, "size", "name", "tokens_per_param", "settings")
SAID = ("train.num_tokens", "train.num_steps", *(f"model.{name}" for name in SHAPE[:3]))
RATIOS = 1e-3, 1e6


@dataclass(frozen=True)
class Size:
    """A size of the ladder: one with a name, or its shape laid over the size of the study."""

    name: str
    """Of its rungs' folders."""
    known: str = ""
    """The name of one of `config.SIZES`; nothing: that of the study."""
    shape: tuple[tuple[str, int], ...] = ()
    """Fields of `ModelConfig` and their values."""
    tokens_per_param: tuple[float, ...] = ()
    """Its own budgets; nothing: those of the ladder."""
    settings: tuple[tuple[str, object], ...] = ()
    """Its own dotted settings, such as its batch, and their values."""


@dataclass(frozen=True)
class Ladder:
    """The table `[ladder]` of a study."""

    sizes: tuple[Size, ...]
    tokens_per_param: tuple[float, ...]
    """Training tokens for each parameter; `params` says of which."""
    params: str = "all"
    """What N is: `all`, `with_head` or `non_embedding`."""
    rate: str = "fixed"
    """The rule of the learning rate: `fixed`, `width` or `tuned`."""
    base: str = ""
    """With `width`, the size whose rates are taken; nothing: the smallest."""
    tuned_sizes: int = TUNED_SIZES
    """With `tuned`, at how many of the smallest sizes."""

    def budgets(self, size: Size) -> tuple[float, ...]:
        return size.tokens_per_param or self.tokens_per_param


def of(study: Study) -> Ladder:
    """The ladder that a study has.

    Raises:
        ValueError: for a study without one, or one that no ladder can be.
    """
    source = f"the study {study.name}" if study.name else "the study"
    if not study.ladder:
        raise ValueError(f"{source} has no [ladder]; it has sizes = [...] and tokens_per_param = [...], and `losslab "
                         "compare` runs a study without one")
    _check(study, source)
    found = from_dict(study.ladder, source)
    if study.tune and found.rate != "tuned":
        raise ValueError(f"[tune] in {source} goes with ladder.rate = 'tuned', and the rate is {shown(found.rate)}; "
                         "leave out one of them")
    return found


def from_dict(table: Mapping, source: str) -> Ladder:
    """A ladder from its table.

    Raises:
        ValueError: naming the key, for what cannot be.
    """
    checks.known(table, tuple(Ladder.__dataclass_fields__), "ladder.", source)
    sizes = table.get("sizes", ())
    if not isinstance(sizes, list | tuple) or len(sizes) < 2:
        raise ValueError(f"ladder.sizes in {source} is a list of at least 2 sizes, as names or as tables with n_layer, "
                         f"n_head and n_embd, got {shown(sizes)}; `losslab compare` trains at one size")
    check(f"the number of ladder.sizes in {source}", len(sizes), 2, MOST_SIZES)
    every = _ratios(table.get("tokens_per_param", ()), "ladder.tokens_per_param", source)
    found = tuple(_size(size, source) for size in sizes)
    for number, size in enumerate(found):
        if twin := [other for other in found[:number] if _same(other, size)]:
            raise ValueError(f"ladder.sizes in {source} hold {shown(size.name)} twice"
                             + (f" (as {shown(twin[0].name)}, too)" if twin[0].name != size.name else "")
                             + "; give each size once, and unlike ones unlike names (name = ...)")
        if not (size.tokens_per_param or every):
            raise ValueError(f"ladder.tokens_per_param in {source} is missing; it is a list such as [10, 20, 40]")
    words = {}
    for key, known in (("params", COUNTS), ("rate", RATES)):
        words[key] = checks.text(table.get(key, next(iter(known))), f"ladder.{key}", source)
        if words[key] not in known:
            raise ValueError(f"ladder.{key} in {source} is {', '.join(known)}, got {shown(words[key])}"
                             f"{nearest(words[key], known)}")
    base, tuned = checks.text(table.get("base", ""), "ladder.base", source), table.get("tuned_sizes", TUNED_SIZES)
    for key, rate in (("base", "width"), ("tuned_sizes", "tuned")):
        if key in table and words["rate"] != rate:
            raise ValueError(f"ladder.{key} in {source} goes with rate = {shown(rate)}, and the rate is "
                             f"{shown(words['rate'])}; leave it out")
    if base and base not in [size.name for size in found]:
        names = [size.name for size in found]
        raise ValueError(f"ladder.base in {source} is one of {', '.join(names)}, got {shown(base)}"
                         f"{nearest(base, names)}")
    if type(tuned) is not int:
        raise ValueError(f"ladder.tuned_sizes in {source} is a whole number, got {shown(tuned)}")
    check(f"ladder.tuned_sizes in {source}", tuned, 1, len(found), "the smallest of its sizes")
    return Ladder(found, every, words["params"], words["rate"], base, tuned)


def _same(one: Size, other: Size) -> bool:
    shapes = [replace(each, name="", tokens_per_param=(), settings=()) for each in (one, other)]
    return one.name == other.name or shapes[0] == shapes[1]


def _size(value: object, source: str) -> Size:
    where = f"ladder.sizes in {source}"
    if isinstance(value, str):
        return Size(_named(value, where), _known(value, where))
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} are names or tables with n_layer, n_head and n_embd, got {shown(value)}")
    checks.known(value, KEYS, "ladder.sizes.", source)
    shape = {key: value[key] for key in SHAPE if key in value}
    known = _known(value["size"], where) if "size" in value else ""
    if not known and (missing := [key for key in SHAPE[:3] if key not in shape]):
        raise ValueError(f"a size in {where} has no {missing[0]}; it has n_layer, n_head and n_embd, or size = NAME")
    model = configuration.override(ModelConfig(), shape, source=source, prefix="model.") if not known else None
    name = value.get("name") or known or f"{model.n_layer}x{model.n_embd}"
    own = _ratios(value.get("tokens_per_param", ()), "tokens_per_param of a size", source)
    settings = checks.flat(value.get("settings", {}), "settings of a size", source)
    if taken := [key for key in settings if key in SAID]:
        raise ValueError(f"{taken[0]} in settings of a size in {source} is said by the ladder; leave it out")
    return Size(_named(name, where), known, tuple(shape.items()), own, tuple(settings.items()))


def _named(value: object, where: str) -> str:
    if not isinstance(value, str) or not checks.NAME.fullmatch(value) or len(value) > 40:
        raise ValueError(f"the name of a size in {where} is that of a folder: up to 40 letters, digits, dots and "
                         f"dashes, got {shown(value)}")
    return value


def _known(value: object, where: str) -> str:
    if not isinstance(value, str) or value not in configuration.SIZES:
        raise ValueError(f"{where} has the unknown size {shown(value)}{nearest(str(value), configuration.SIZES)}; the "
                         f"sizes are {', '.join(configuration.SIZES)}, or tables with n_layer, n_head and n_embd")
    return value


def written(ratio: float) -> str:
    """A number of tokens per parameter as it stands in the name of a rung: six digits, and no exponent."""
    short = f"{ratio:g}"
    return f"{ratio:.0f}" if "e" in short else short


def _ratios(value: object, field: str, source: str) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{field} in {source} is a list of numbers such as [10, 20, 40], got {shown(value)}")
    found = tuple(checks.number(one, field, source) for one in value)
    check(f"the number of {field} in {source}", len(found), 0, MOST_BUDGETS)
    for one in found:
        check(f"{field} in {source}", one, *RATIOS, "training tokens for a parameter")
    if len(set(map(written, found))) < len(found):
        raise ValueError(f"{field} in {source} holds a number twice, and each is one rung; got {shown(list(value))}")
    return found


def _check(study: Study, source: str) -> None:
    """What a study may not have with a ladder, because the ladder says it."""
    own = [("start", "starting weights have a size of their own")] if study.start else []
    own += [("race", "every rung has the same seeds")] if study.race else []
    own += [(f"match = {shown(study.match)}", "a rung is a number of tokens")] if study.match != "tokens" else []
    for settings in (study.settings, *(arm.settings for arm in study.arms)):
        own += [(key, "the ladder says how large models are and how much they read") for key in settings
                if key in SAID]
    if own:
        raise ValueError(f"{own[0][0]} in {source} does not go with a ladder: {own[0][1]}; leave it out")
