"""`losslab judge`, without its flags: checked, written, estimated, asked, and written down."""

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from losslab import records, untrusted
from losslab.config import DataConfig
from losslab.judge import conduct, control, cost, human, keys, models, prompts, protocols, wire, writing
from losslab.judge.asked import Asked
from losslab.judge.cache import Cache
from losslab.judge.endpoint import Endpoint
from losslab.judge.grading import Asking, Outcome
from losslab.judge.local import Likelihood
from losslab.judge.measures import ABOUT
from losslab.judge.prompts import Written
from losslab.judge.protocols import Protocol
from losslab.judge.writing import Sampling
from losslab.progress import Progress
from losslab.report import judgement, page

UNNAMED = "default"  # a model, for a server that has one alone and does not name it


def run(asked: Asked, *, progress: Progress, tell: Callable[[str], None]) -> tuple[dict, str]:
    """The document, and the same as text.

    Raises:
        ValueError, OSError: one sentence; what was answered before is kept.
    """
    protocol = protocols.find(asked.protocol)
    found, notes = prompts.read(asked.prompts, asked.num_prompts)
    kept = Cache(asked.cache, tell)
    judge = endpoint(asked, kept, tell) if asked.url else None
    if asked.dry_run:
        return _dry_run(asked, protocol, found, judge)
    loaded = [models.load(path, device=asked.device, tell=tell) for path in asked.models]
    if asked.folder:
        judge = Likelihood(models.load(asked.folder, device=asked.device, tell=tell))
    notes += _too_long(loaded, found)
    names, samplings = _names(asked.models), _samplings(asked)
    if isinstance(judge, Asking) and not all(writing.are_kept(each, found, sampling, kept)
                                             for each, sampling in zip(loaded, samplings, strict=True)):
        judge.endpoint.models()  # says so where nobody is there, before hours of writing
    written = [Written(name, writing.completions(each, found, sampling, kept, progress=progress))
               for name, each, sampling in zip(names, loaded, samplings, strict=True)]
    if asked.human:
        place, count = human.write(asked.human, written, found, seed=asked.sampling.seed, most=asked.num_pairs)
        return ({"page": str(place), "pairs": count, "models": names[:2]},
                f"{place}: {count} pairs to vote on; `losslab judge --votes FILE` reads what it exports")
    document = conduct.about(found, protocol, asked.sampling, asked.repeats)
    document |= {"prompts": str(asked.prompts), "command": asked.command, "judge": None, "notes": notes, "pairs": [],
                 "models": [{"model": name, "run": str(each.path), "grades": {}, "failures": 0}
                            for name, each in zip(names, loaded, strict=True)], "differences": []}
    try:  # before anything is paid for
        _measure(asked, loaded, written, found, document, progress)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if judge is None or asked.corpus or asked.benchmarks:
            raise
        tell(f"the texts are not measured: {error}")
        document["notes"].append(f"the texts were not measured: {untrusted.one_line(str(error))}")
    outcomes = []
    if judge is not None:
        outcomes = _ask(asked, protocol, found, loaded, written, judge, document, progress, tell)
    document["samples"] = _samples(written, found, outcomes)
    place = page.page_at(asked.out or _place(asked, document["judge"]))
    _write_items(place.with_suffix(".jsonl"), written, found, outcomes)
    document["report"] = str(judgement.write(document | {"report": str(place)}, place))
    return judgement.finite(document), f"{judgement.text(document)}\n\nreport: {place}"


def endpoint(asked: Asked, kept: Cache, tell: Callable[[str], None]) -> Asking:
    """The judge behind `--url`."""
    to, key = wire.address(asked.url), keys.read(asked.key_variable)
    options = {"max_tokens": asked.judge_max_tokens}
    if asked.judge_temperature is not None:
        options["temperature"] = asked.judge_temperature
    made = Endpoint(to, asked.judge_model or "", key, timeout=asked.timeout, retries=asked.retries, options=options,
                    tell=tell)
    if not made.model and not asked.dry_run:
        there = made.models()
        if len(there) > 1:
            raise ValueError(f"the endpoint {to.name} has {len(there)} models; name one with --judge-model, such as "
                             f"{there[0]}")
        made.model = there[0] if there else UNNAMED
    tell(f"judge: {made.model or UNNAMED} at {to.name}, "
         f"{f'with the key in {key.variable}' if key else 'without a key'}")
    return Asking(made, kept)


def _dry_run(asked: Asked, protocol: Protocol, found: Sequence, judge: Asking | None) -> tuple[dict, str]:
    """What it would cost if every completion were as long as it may be."""
    if judge is None:
        raise ValueError("--dry-run says what an endpoint would cost; give one with --url URL")
    size = asked.sampling.num_tokens * cost.BYTES_PER_TOKEN
    blank = [Written(name, [[f"{name} {p} {k} ".ljust(size, "x") for k in range(asked.sampling.completions)]
                            for p in range(len(found))]) for name in _names(asked.models)]
    tasks = conduct.tasks(blank, found, protocol, asked.repeats) + control.blank(asked.control)
    estimate = cost.estimate(tasks, protocol, judge, asked.prices)
    document = conduct.about(found, protocol, asked.sampling, asked.repeats) | {"estimate": estimate}
    return document, f"{cost.text(estimate, before=True)}, at most: every completion counted as long as it may be"


def _ask(asked, protocol, found, loaded, written, judge, document, progress, tell) -> list[Outcome]:
    """The outcomes, and in the document what they come to and what they cost."""
    repeats = asked.repeats
    if isinstance(judge, Likelihood):
        if repeats > 1:
            raise ValueError("--repeats asks a judge again that may answer otherwise; likelihoods stay the same")
        document["judge"] = {"kind": "likelihood", "model": judge.loaded.name, "weights": judge.loaded.weights}
    else:
        to = judge.endpoint
        document["judge"] = {"kind": "endpoint", "model": to.model, "at": to.to.name, "options": dict(to.options)}
    tasks = conduct.tasks(written, found, protocol, repeats)
    if asked.control:
        data = _data(asked, loaded)
        if data is None:
            raise ValueError("--control takes held-out texts, and the text of the first model is not known; name one "
                             "with --corpus")
        tasks = control.tasks(conduct.held_out(data, progress), asked.control, asked.sampling.seed) + tasks
    if isinstance(judge, Asking):
        document["estimate"] = estimate = cost.estimate(tasks, protocol, judge, asked.prices)
        tell(cost.text(estimate, before=True))
        if asked.max_calls is not None and estimate["calls"] > asked.max_calls:
            raise ValueError(f"it takes {estimate['calls']:,} calls, more than --max-calls {asked.max_calls:,}; take "
                             "fewer --num-prompts or --completions, or allow more")
    try:
        outcomes = conduct.ask(judge, protocol, tasks, at_once=asked.concurrency, progress=progress)
    finally:
        if isinstance(judge, Asking):
            document["spend"] = cost.spent(judge.endpoint.spend, asked.prices)
            tell(cost.text(document["spend"], before=False))
    if asked.control:
        of_control = [outcome for outcome in outcomes if outcome.task.model in control.KINDS]
        document["control"] = control.result(of_control, protocol)
    graded = conduct.graded(written, protocol, outcomes, repeats)
    models = [before | of_model for before, of_model in zip(document["models"], graded["models"], strict=True)]
    document |= graded | {"models": models}
    if isinstance(judge, Asking):
        document["judge"]["options"] = dict(judge.endpoint.options)
    elif judge.num_cut:
        document["notes"].append(f"{judge.num_cut} of {len(tasks) * len(protocol.scales)} questions were longer than "
                                 "the judge's context, which then did not see the beginning of the text")
    return outcomes


def _measure(asked: Asked, loaded, written, found, document: dict, progress: Progress) -> None:
    """Measures of the texts, and BLiMP, in the document."""
    if asked.measures:
        data = _data(asked, loaded)
        measured, notes = conduct.measured(written, found, data, asked.sampling.seed, progress)
        for model, scores in zip(document["models"], measured, strict=True):
            model["measures"] = scores
        document["notes"] += notes
        document["measures_about"] = {name: about for name, (_, about) in ABOUT.items()}
        if data is None:
            document["notes"].append(f"on what {written[0].name} was trained is not known, so that there are no "
                                     "held-out texts and no search for copies; --corpus names a text")
    if asked.benchmarks:
        from losslab.evaluate import tasks

        settings = tasks.Settings(benchmarks=asked.benchmarks, progress=progress)
        for each, model in zip(loaded, document["models"], strict=True):
            model["blimp"] = tasks.run("blimp", each.model, each.tokenizer, settings).scores["accuracy"].to_dict()


def _data(asked: Asked, loaded) -> DataConfig | None:
    """The text that held-out texts come from: of `--corpus`, else of the first model, where it is known."""
    data = loaded[0].data
    return dataclasses.replace(data or DataConfig(), corpus=asked.corpus) if asked.corpus else data


def _names(paths: Sequence[Path]) -> list[str]:
    """One name for each model; the same one again is a control, which writes with other random numbers."""
    found: list[str] = []
    for path in paths:
        again = [name for name in found if name == str(path) or name.startswith(f"{path} again")]
        found.append(f"{path} again{f' {len(again)}' * (len(again) > 1)}" if again else str(path))
    return found


def _too_long(loaded: Sequence[models.Loaded], found: Sequence) -> list[str]:
    """Sentences on prompts that do not fit a model's context."""
    notes = []
    for each in loaded:
        limit = each.model.config.num_positions
        if count := sum(len(each.tokenizer.encode(prompt.text)) + 1 > limit for prompt in found):
            notes.append(f"{count} of {len(found)} prompts are longer than the context of {each.name} ({limit:,} "
                         "tokens), which continues from their ends")
    return notes


def _samplings(asked: Asked) -> list[Sampling]:
    """How each model writes: one that comes again has other random numbers."""
    again = [asked.models[:number].count(path) for number, path in enumerate(asked.models)]
    return [dataclasses.replace(asked.sampling, seed=asked.sampling.seed + each) for each in again]


def _place(asked: Asked, judge: dict | None) -> Path:
    """Next to the run, by protocol and judge: another judge's grades are not written over."""
    slug = re.sub(r"[^\w.-]+", "-", Path(judge["model"]).name)[:60].strip("-.") if judge else ""
    name = f"judgement-{asked.protocol}-{slug or 'judge'}.html" if judge else "judgement-texts.html"
    return asked.models[0] / name if records.is_run(asked.models[0]) else Path(name)


def _samples(written: Sequence[Written], found: Sequence, outcomes: Sequence[Outcome]) -> list[dict]:
    """The first completion of the first prompt of each model, with what the judge said of it."""
    assessed = {outcome.task.model: outcome.assessment for outcome in reversed(outcomes)
                if outcome.task.prompt == outcome.task.number == 0}
    return [{"model": each.name, "prompt": found[0].shown, "text": each.texts[0][0],
             "assessment": assessed.get(each.name, "")} for each in written]


def _write_items(path: Path, written: Sequence[Written], found: Sequence, outcomes: Sequence[Outcome]) -> None:
    """Every text and every grade, a line each."""
    lines = [{"model": each.name, "prompt": p, "number": k, "beginning": found[p].shown, "text": text}
             for each in written for p, group in enumerate(each.texts) for k, text in enumerate(group)]
    lines += [{"graded": outcome.task.model, "prompt": outcome.task.prompt, "number": outcome.task.number,
               "repeat": outcome.task.repeat, "grades": outcome.grades, "failure": outcome.failure,
               "assessment": outcome.assessment} for outcome in outcomes]
    path.parent.mkdir(parents=True, exist_ok=True)
    records.files.write_whole(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
