"""judge: grades of stories and answers, by a model, by people, or by measures of the text alone."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from losslab.cli.application import app
from losslab.cli.flags import Corpus, Json, Whole
from losslab.cli.speech import OK, Ticker, command_line, show, tell

JUDGE, TEXTS, PEOPLE = Group("The judge"), Group("The texts"), Group("People")
KEY_FLAGS = tuple(f"--{name}" for name in (
    "key", "api-key", "apikey", "judge-key", "judge-api-key", "openai-key", "openai-api-key", "token", "api-token",
    "judge-token", "secret", "password", "bearer", "auth", "authorization", "credentials", "header",
))


@app.command(sort_key=4)
def judge(
    *runs: Path, against: Annotated[list[Path] | None, Parameter(negative="")] = None,
    prompts: Path | None = None,
    protocol: Literal["tinystories", "pairwise", "instruction"] = "tinystories", json: Json = False,
    out: Path | None = None, dry_run: Annotated[bool, Parameter(negative="")] = False, device: str = "cpu",
    url: Annotated[str | None, Parameter(group=JUDGE)] = None,
    judge_model: Annotated[str | None, Parameter(group=JUDGE)] = None,
    folder: Annotated[Path | None, Parameter(name="--judge", group=JUDGE)] = None,
    repeats: Annotated[Whole, Parameter(group=JUDGE)] = 1,
    control: Annotated[Whole, Parameter(group=JUDGE)] = 0,
    judge_temperature: Annotated[float | None, Parameter(group=JUDGE)] = None,
    judge_max_tokens: Annotated[Whole, Parameter(group=JUDGE)] = 1000,
    concurrency: Annotated[Whole, Parameter(group=JUDGE)] = 4,
    timeout: Annotated[float, Parameter(group=JUDGE)] = 120.0,
    retries: Annotated[Whole, Parameter(group=JUDGE)] = 5,
    price_in: Annotated[float | None, Parameter(group=JUDGE)] = None,
    price_out: Annotated[float | None, Parameter(group=JUDGE)] = None,
    max_calls: Annotated[Whole | None, Parameter(group=JUDGE)] = None,
    key_variable: Annotated[str | None, Parameter(group=JUDGE)] = None,
    cache: Annotated[Path | None, Parameter(group=JUDGE)] = None,
    num_prompts: Annotated[Whole, Parameter(group=TEXTS)] = 0,
    completions: Annotated[Whole, Parameter(group=TEXTS)] = 10,
    num_tokens: Annotated[Whole, Parameter(group=TEXTS)] = 200,
    temperature: Annotated[float, Parameter(group=TEXTS)] = 1.0,
    top_k: Annotated[Whole, Parameter(group=TEXTS)] = 0,
    seed: Annotated[Whole, Parameter(group=TEXTS)] = 0,
    measures: Annotated[bool, Parameter(group=TEXTS)] = True,
    corpus: Annotated[Corpus, Parameter(group=TEXTS)] = None,
    benchmarks: Annotated[Path | None, Parameter(group=TEXTS)] = None,
    human: Annotated[Path | None, Parameter(group=PEOPLE)] = None,
    num_pairs: Annotated[Whole, Parameter(group=PEOPLE)] = 0,
    votes: Annotated[list[Path] | None, Parameter(group=PEOPLE, negative="")] = None,
    key: Annotated[list[str] | None, Parameter(name=KEY_FLAGS, show=False, negative="")] = None,
):
    """Let a trained model write, and have its texts graded: by a model, by people, or by measures alone.

    Without --url and --judge only the measures that need no judge are taken. The key of an endpoint comes from the
    environment variable LOSSLAB_JUDGE_KEY, or OPENAI_API_KEY.

    Parameters
    ----------
    runs
        A run folder, an imported model, or a GPT-2 of transformers; those after the first are compared with it.
    against
        Another model that is compared with the first.
    prompts
        A YAML list, .json, .jsonl or .txt file of beginnings or instructions, also as .gz.
    protocol
        tinystories: grammar, creativity, consistency, plot and age group; pairwise: which of two texts is better, asked
        in both orders; instruction: relevance, correctness, completeness and fluency of an answer.
    out
        Where the page goes; judgement-PROTOCOL-JUDGE.html in the folder of the first run unless given.
    dry_run
        Say what judging would cost, and ask nobody.
    url
        An OpenAI-compatible endpoint, such as http://localhost:8000/v1.
    judge_model
        The name of the model there; may be left out where it has one alone.
    folder
        A model on this machine that judges by the likelihood of each grade: a run folder or an imported GPT-2.
    repeats
        How often each text is graded; from 2 on, the agreement is reported.
    control
        Held-out texts by which the judge is checked: graded as they are, in disorder, and with a sentence that asks for
        good grades.
    judge_temperature
        Of the judge; not sent unless given.
    judge_max_tokens
        The most tokens of one answer of the judge.
    concurrency
        Requests at once.
    timeout
        Seconds that one answer may take.
    retries
        How often a request that failed is sent again.
    price_in
        Money for a million tokens sent.
    price_out
        Money for a million tokens of answers.
    max_calls
        Ask nobody if it would take more calls than this.
    key_variable
        The environment variable that holds the key, in place of the two above.
    cache
        Where completions and answers are kept, so that nothing is paid twice; in losslab's cache unless given.
    num_prompts
        The first so many prompts; 0 for all.
    completions
        Completions of each prompt.
    num_tokens
        The most tokens of one completion.
    temperature
        Of the completions; 0 takes the likeliest token each time.
    top_k
        Sample among the k likeliest tokens; 0 for all.
    measures
        Measure the texts, too.
    corpus
        Gives held-out texts and the training text that copies are searched in; that of the first run unless given.
    benchmarks
        A folder with BLiMP, by which grammar is measured.
    human
        Write a page on which people vote between two models, and ask no judge.
    num_pairs
        Pairs on that page; 0 for all.
    votes
        Votes that were exported from such a page; once for each file.
    """
    from losslab.judge import keys

    values = (*runs, *(against or ()), url, judge_model, key_variable, prompts)
    given = [*map(str, values), *sys.argv[1:]]
    if key is not None:
        raise ValueError(keys.ON_THE_COMMAND_LINE)
    keys.check_arguments(given, also=key_variable or "")
    if votes:
        return _votes(votes, runs, json)
    if not runs or prompts is None:
        raise ValueError("`losslab judge` needs a RUN and --prompts FILE, such as `losslab judge runs/RUN --prompts "
                         "prompts.txt`, or --votes FILE alone")
    if url is not None and folder is not None:
        raise ValueError("--url and --judge are two judges; give one of them")
    from losslab.judge import command
    from losslab.judge.asked import Asked, Prices, Sampling

    asked = Asked(
        models=(*runs, *(against or ())), prompts=prompts, protocol=protocol, num_prompts=num_prompts,
        sampling=Sampling(completions, num_tokens, temperature, top_k, seed), repeats=repeats, control=control,
        url=url, judge_model=judge_model, folder=folder, judge_temperature=judge_temperature,
        judge_max_tokens=judge_max_tokens, concurrency=concurrency, timeout=timeout, retries=retries,
        prices=Prices(price_in, price_out), max_calls=max_calls, key_variable=key_variable, cache=cache,
        measures=measures, corpus=corpus, benchmarks=benchmarks, device=device, human=human, num_pairs=num_pairs,
        out=out, dry_run=dry_run, command=command_line(),
    )
    document, text = command.run(asked, progress=Ticker(), tell=tell)
    show(document, text, json)
    return OK


def _votes(votes: list[Path], runs: tuple[Path, ...], json: bool) -> int:
    from losslab.judge import human

    if runs:
        raise ValueError("--votes says who won by the votes alone; leave out the run")
    found = human.tally(votes)
    lines = [found["verdict"], f"{found['wins']} wins, {found['losses']} losses, {found['ties']} ties, "
             f"{found['unanswered']} pairs without a vote, {found['readers']} file{'s' * (found['readers'] > 1)}"]
    if "agreement" in found and found["agreement"]["value"] is not None:
        lines.append(f"{found['agreement']['coefficient']}: {found['agreement']['value']:.2f}")
    show(found, "\n".join(lines), json)
    return OK
