"""A study in stages: what its file says, and what of it can be.

Example:
    name = "small"

    [[stage]]
    name = "pretrain"
    kind = "train"
    size = "tiny"
    recipe = "classic"
    corpus = "tales"
    epochs = 1

    [[stage]]
    name = "tune"
    kind = "train"
    start = "pretrain"
    corpus = "alpaca.json"
    epochs = 3
    warmup_share = 0.03

    [[stage]]
    name = "stories"
    kind = "generate"
    models = ["pretrain", "tune"]
    prompts = "pretrain"

    [[stage]]
    name = "grades"
    kind = "judge"
    texts = "stories"
    protocol = "tinystories"

    [scales.smoke.stage.pretrain]
    epochs = 0.1
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from losslab.config.numbers import check, shown
from losslab.study import checks
from losslab.words import nearest

MOST_STAGES, MOST_EPOCHS, MOST_PROMPTS = 50, 10_000, 10_000
PROTOCOLS = ("tinystories", "instruction")
HORIZON, WARMUP = ("train.num_tokens", "train.num_steps"), "train.warmup_steps"


@dataclass(frozen=True)
class Train:
    """A run: of new weights, or of those that an earlier stage ends with."""

    name: str
    start: str = ""
    """The stage whose weights it begins with; nothing: new ones, of a `size` and a `recipe`."""
    corpus: str = ""
    tokenizer: str = ""
    size: str = ""
    recipe: str = ""
    loss: str = "cross_entropy"
    seed: int = 0
    epochs: float = 0.0
    """How often each row of the training data is seen; 0: `settings` has the horizon."""
    warmup_share: float = 0.0
    """The warm-up as a share of the run; 0: `train.warmup_steps` holds."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Dotted setting -> value."""


@dataclass(frozen=True)
class Generate:
    """Texts that models write after prompts from a held-out text."""

    name: str
    models: tuple[str, ...] = ()
    """Training stages; a model next to them writes, too."""
    prompts: str = ""
    """The training stage whose validation text gives the prompts: beginnings of documents, or instructions."""
    num_prompts: int = 20
    prompt_words: int = 20
    """Words of a beginning; an instruction is whole."""
    completions: int = 1
    num_tokens: int = 200
    temperature: float = 1.0
    top_k: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Judge:
    """Measures of what a stage wrote, and its grades where a judge is asked."""

    name: str
    texts: str = ""
    """The stage that wrote them."""
    protocol: str = "tinystories"


Stage = Train | Generate | Judge
KINDS = {"train": Train, "generate": Generate, "judge": Judge}


@dataclass(frozen=True)
class Staged:
    """Stages in the order in which they are run."""

    stages: tuple[Stage, ...]
    name: str = ""
    question: str = ""
    scale: str = ""
    """The scale that it is at; nothing for the study as it was published."""
    scales: Mapping[str, Mapping] = field(default_factory=dict)
    published: Mapping[str, object] = field(default_factory=dict)
    """What others found, as in a study of losses; the label of a figure is a stage."""
    notes: tuple[str, ...] = ()
    """What differs from the published set-up at every scale, a sentence each."""

    def __post_init__(self):
        check("the number of stages", len(self.stages), 1, MOST_STAGES)
        seen: dict[str, Stage] = {}
        for stage in self.stages:
            if stage.name in seen:
                raise ValueError(f"two stages are named {shown(stage.name)}; give one of them another name")
            _CHECKS[type(stage)](stage, seen)
            seen[stage.name] = stage
        if not any(isinstance(stage, Train) for stage in self.stages):
            raise ValueError('a study in stages needs one that trains; give it kind = "train"')
        checks.every_scale(self)

    @property
    def training(self) -> tuple[Train, ...]:
        return tuple(stage for stage in self.stages if isinstance(stage, Train))

    def at(self, scale: str) -> "Staged":
        """The study as large as one of its scales says, under the name NAME-SCALE.

        Raises:
            ValueError: for a scale that it does not have.
        """
        over, name = checks.at_scale(self, scale)
        known = [stage.name for stage in self.stages]
        if unknown := next((one for one in over if one not in known), None):
            raise ValueError(f"there is no stage {shown(unknown)}{nearest(unknown, known)}")
        stages = tuple(_laid(stage, over.get(stage.name, {})) for stage in self.stages)
        return replace(self, stages=stages, name=name, scale=scale, scales={})

    def with_texts(self, corpus: str | None, data: str | None) -> "Staged":
        """With another text for the stages that begin with new weights, and for those that go on from a stage."""
        def own(stage: Stage) -> Stage:
            given = data if isinstance(stage, Train) and stage.start else corpus
            return replace(stage, corpus=given) if isinstance(stage, Train) and given else stage
        return replace(self, stages=tuple(map(own, self.stages)))


def _laid(stage: Stage, over: Mapping[str, object]) -> Stage:
    """A stage with the keys of a scale laid over it; of two ways to say the same, the later one holds."""
    over = dict(over)
    if isinstance(stage, Train):
        own, given = dict(stage.settings), over.get("settings", {})
        dropped = (HORIZON if "epochs" in over else ()) + ((WARMUP,) if over.get("warmup_share") else ())
        over["settings"] = checks.laid({key: value for key, value in own.items() if key not in dropped}, given)
        if set(HORIZON) & given.keys():
            over.setdefault("epochs", 0.0)
        if WARMUP in given:
            over.setdefault("warmup_share", 0.0)
    return replace(stage, **over)


# --- what a stage may be -----------------------------------------------------------------------

def _check_train(stage: Train, seen: Mapping[str, Stage]) -> None:
    if stage.start:
        _of_kind(stage.start, "start", stage, seen, Train)
        if given := [key for key in ("size", "recipe", "tokenizer") if getattr(stage, key)]:
            raise ValueError(f"the stage {stage.name} starts from {stage.start}, which has its own {given[0]}; leave "
                             f"{given[0]} out")
    elif not stage.size:
        raise ValueError(f"the stage {stage.name} begins with new weights and needs a size, or a start")
    if not stage.corpus:
        raise ValueError(f"the stage {stage.name} needs a corpus to train on")
    check(f"epochs of the stage {stage.name}", stage.epochs, 0, MOST_EPOCHS)
    check(f"warmup_share of the stage {stage.name}", stage.warmup_share, 0, 0.9)
    if bool(stage.epochs) == bool(set(HORIZON) & stage.settings.keys()):
        raise ValueError(f"the stage {stage.name} needs one horizon: epochs, or train.num_tokens or train.num_steps in "
                         "its settings")
    if stage.warmup_share and WARMUP in stage.settings:
        raise ValueError(f"the stage {stage.name} has warmup_share and {WARMUP}; give one of them")


def _check_generate(stage: Generate, seen: Mapping[str, Stage]) -> None:
    if not stage.models:
        raise ValueError(f"the stage {stage.name} needs models, a list of stages that train")
    for model in (*stage.models, stage.prompts):
        _of_kind(model, "prompts" if model == stage.prompts else "models", stage, seen, Train)
    for key, most in (("num_prompts", MOST_PROMPTS), ("prompt_words", 1000), ("completions", 1000),
                      ("num_tokens", 100_000)):
        check(f"{key} of the stage {stage.name}", getattr(stage, key), 1, most)
    check(f"temperature of the stage {stage.name}", stage.temperature, 0, 100)
    check(f"top_k of the stage {stage.name}", stage.top_k, 0, 2**31)


def _check_judge(stage: Judge, seen: Mapping[str, Stage]) -> None:
    _of_kind(stage.texts, "texts", stage, seen, Generate)
    if stage.protocol not in PROTOCOLS:
        raise ValueError(f"protocol of the stage {stage.name} must be {' or '.join(PROTOCOLS)}, got "
                         f"{shown(stage.protocol)}{nearest(stage.protocol, PROTOCOLS)}")


def _of_kind(name: str, key: str, stage: Stage, seen: Mapping[str, Stage], kind: type) -> None:
    if not isinstance(seen.get(name), kind):
        known = [each.name for each in seen.values() if isinstance(each, kind)]
        which = "trains" if kind is Train else "generates"
        raise ValueError(f"{key} of the stage {stage.name} must name a stage before it that {which}, got "
                         f"{shown(name)}{nearest(name, known)}; those are {', '.join(known) or 'none'}")


_CHECKS = {Train: _check_train, Generate: _check_generate, Judge: _check_judge}
