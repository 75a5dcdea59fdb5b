"""`compare` from Python: the same names as on the command line, and the same study behind them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from losslab import study as studies
from losslab.config.numbers import check_margin, shown
from losslab.notebook import given as checked
from losslab.notebook.compared import Comparison
from losslab.notebook.functions import loss_file
from losslab.notebook.watching import Tell, watching
from losslab.study import Arm, Study, checks

Loss = str | os.PathLike | Callable | Arm


def compare(
    losses: Loss | Sequence[Loss], *, corpus: str = "", seeds: int | Sequence[int] | None = None,
    num_tokens: int | None = None, preset: str = "", size: str = "", recipe: str = "", tokenizer: str = "",
    start: str = "", device: str = "", settings: Mapping[str, object] = {}, baseline: str = "",
    margin: float | None = None, tune: str | Mapping[str, object] = "", race: Sequence[int] = (), final: bool = False,
    match: str = "", name: str = "", question: str = "", store: str | Path = "", workers: int = 2, threads: int = 1,
    trust: Sequence[str] = (), progress: bool = True,
) -> Comparison:
    """Train losses under matched conditions, and say whether the difference is real; called again, it continues.

    Args:
        losses: formulas such as `"cross_entropy + 1e-4*z_loss"`, paths of loss files, Python functions, an `Arm` with a
            label and settings of its own; or the path of one study file, `"study.toml"`.
        corpus: `tales`, `pydoc`, a path, or the name of a hub data set.
        seeds: how many (5 is 0 to 4), or a list of them; 5 unless given.
        num_tokens: training tokens of a run.
        preset: a size, a recipe and data in one word; `tiny` unless one of these is given.
        size, recipe, tokenizer, start, device: as the flags of `losslab compare`.
        settings: dotted name -> value for all arms, such as `{"train.learning_rate": 2e-3, "model.n_layer": 2}`.
        baseline: the name of the arm that others are compared with; `cross_entropy` if it is one, else the first.
        margin: the difference in nats/token that would matter; 0.002 unless given.
        tune: tune each arm alike first, such as `"learning_rate=5"`, or the table of a study file.
        race: numbers of seeds at which looks are declared, which stop the arms that are settled.
        final: declare that this look is the last one.
        match: what all arms are given alike: `tokens`, `time` or `flops`.
        name: of the study; its folder is runs/NAME, and its file is kept there.
        question: of the study, for its page.
        store: folder of runs, in which what is finished is not run again; `runs`, or runs/NAME, unless given.
        workers: runs at once, each in its own process with `threads` threads.
        trust: hashes of loss files that a study file names and that you have read.
        progress: whether to show how far all runs are.

    Returns:
        the comparison. The page is in the store, too, as `report.html`.

    Raises:
        ValueError: in one sentence, for what cannot be trained or compared, or a function without a source.
        running.Stopped: after an interrupt, once every run is saved; called again, it continues.
    """
    with watching(progress) as (watcher, tell):
        values = _terms(seeds, margin, race, final, tune)
        values |= checked.texts(
            corpus=corpus, preset=preset, size=size, recipe=recipe, tokenizer=tokenizer, start=start,
            baseline=baseline, match=match, name=name, question=question)
        told = checks.table(settings, "settings", "compare") | checked.texts(**{"train.device": device})
        if num_tokens is not None:
            told["train.num_tokens"] = num_tokens
        hashes, place = checked.hashes(trust), checked.texts(store=store).get("store")
        checked.processes(workers, threads)
        asked, from_file = _asked(_listed(losses), values, told, tell)
        if hashes and not from_file:
            raise ValueError("trust goes with a study file: a loss file that you name here is run because you name it")
        found = studies.conduct(
            asked, Path(place) if place else Path("runs", asked.name), workers=workers, threads=threads,
            trusted=hashes if from_file else None, tell=tell, progress=watcher)
        return Comparison.of(found)


def _terms(seeds: object, margin: float | None, race: object, final: object,
           tune: str | Mapping[str, object] | None) -> dict[str, object]:
    """The fields of a study that are no texts, of those that are given: a 0 is, and nothing (None, (), "") is not."""
    found: dict[str, object] = {}
    if seeds is not None:
        found["seeds"] = checks.seeds(checked.listed(seeds), "seeds", "compare")
    if margin is not None:
        found["margin"] = check_margin("margin", margin)
    if race is not None and (looks := checks.whole_numbers(checked.listed(race), "race", "compare")):
        found["race"] = looks
    if checks.switch(final, "final", "compare"):
        found["final"] = True
    if tune is not None and tune != "" and tune != {}:
        found["tune"] = _tuning(tune)
    return found


def _listed(losses: Loss | Sequence[Loss]) -> list[str | Callable | Arm]:
    every = list(losses) if isinstance(losses, Sequence) and not isinstance(losses, str | bytes) else [losses]
    if not every:
        raise ValueError('compare takes at least one loss, such as compare(["cross_entropy", "squentropy"]); got none')
    return [os.fspath(each) if isinstance(each, os.PathLike) else each for each in every]


def _asked(given: Sequence[str | Callable | Arm], values: Mapping[str, object], settings: Mapping[str, object],
           tell: Tell) -> tuple[Study, bool]:
    """The study, and whether a file says it."""
    files = [each for each in given if isinstance(each, str) and each.endswith(".toml")]
    if files and len(given) > 1:
        raise ValueError(f"{files[0]} is a study, which has its own arms; give it alone, or name losses alone")
    if files:
        return studies.of_file(files[0], values=values, settings=settings), True
    return studies.of_losses((), arms=[_arm(each, tell) for each in given], values=values, settings=settings), False


def _arm(loss: str | Callable | Arm, tell: Tell) -> Arm:
    if isinstance(loss, Arm):
        return loss
    if not isinstance(loss, str):
        return Arm(loss_file(loss), label=loss.__name__)
    from losslab import formula

    whole = formula.completed(loss)
    if whole != loss:
        tell(f"{loss} is published as a part of {whole}, which is trained")
    return Arm(whole)


def _tuning(asked: str | Mapping[str, object]) -> dict[str, object]:
    from losslab.tune import Tuning

    if not isinstance(asked, str | Mapping):
        raise ValueError(f"tune in compare is a text, such as \"learning_rate=5\", or the table of a study file; got "
                         f"{shown(asked)}")
    return Tuning.parse(asked).to_dict() if isinstance(asked, str) else dict(asked)
