"""What is written for people and programs: the statement and the rules of a workspace, and a board as a page."""

from pathlib import Path

from losslab import __version__
from losslab.arena import ladder, tiers
from losslab.arena.challenge import Challenge
from losslab.escaping import block, code, escape
from losslab.report import page, words
from losslab.tables import Column, Table, left, name

RULES = '''# Rules for a program that plays {name}

You improve one loss. Everything else (model, optimizer, data, seeds, number of updates) is fixed and out of reach.

1. `losslab arena show DIR --json` gives the statement, the file with the numbers of its lines, and what is left.
2. Change `loss.py`: `losslab arena edit DIR --create --text TEXT`, `--insert LINE --text TEXT`,
   `--replace FIRST-LAST --text TEXT` (`--text -` reads standard input), or write the file itself. `undo DIR` goes back.
3. `losslab arena check DIR --json` is free: it says whether the file is a loss, what it costs, and how its gradient is
   related to that of cross-entropy.
4. `losslab arena test DIR --json` spends one of {tests} tests: it trains from scratch on {visible} seeds and gives
   `status`, `reason`, and `difference` from cross-entropy (`value`, `low`, `high`; below 0 is better).
5. `losslab arena submit DIR --test N --json` freezes test N. It is trained on {hidden} other seeds, which nobody but
   the host knows, and gets a row on the board. You have {submissions} of these.

Edits, undos and tests are actions; you have {actions}. A refused edit costs nothing. Exit code 2 is a refused edit or a
spent budget, 4 a run that diverged, 6 one that was killed or disqualified.

## What the file may hold

{holds}'''
HOLDS = '''One function, in one of two forms:

    def compute_loss(logits, targets):        # [batch, seq, vocab] float32, [batch, seq] int64
        return ...                            # the mean, or one number per token

    def my_loss(prediction, *, weight=0.1):   # nll, log_z, entropy, target_logit, sum_squares, ...
        return ...                            # one number per token

It is computed in another process, a jail, which sees the logits and targets of one micro-batch at a time and nothing
else. It must be a function of these alone: the same numbers for the same input, whatever was computed before. Calls are
repeated in a fresh jail and compared bit for bit. {gradient} Later tokens of a sequence may not change what an
earlier one is told. The file may have {source:,} bytes, a call {call:g} seconds and {memory:,} bytes of memory.
{settings}'''


def program(challenge: Challenge) -> str:
    """The rules, for a program that reads them."""
    budget = challenge.budget
    return RULES.format(name=challenge.name, tests=budget.tests, visible=challenge.visible_seeds,
                        hidden=challenge.hidden_seeds, submissions=budget.submissions, actions=budget.actions,
                        holds=holds(challenge))


def holds(challenge: Challenge) -> str:
    """What the file of a workspace may hold."""
    budget = challenge.budget
    settings = ""
    if challenge.overrides:
        ranges = ", ".join(f"`{key}` {low:g} to {high:g}" for key, (low, high) in challenge.overrides.items())
        settings = (f"\n`CONFIG_OVERRIDES`, one literal dictionary at the beginning of a line of `loss.py`, may set "
                    f"{ranges}. It is read and never run. Cross-entropy is tuned over the same ranges, with "
                    f"{budget.tests} trials.\n")
    return HOLDS.format(
        source=budget.source_bytes, call=budget.call_seconds, memory=budget.memory_bytes, settings=settings,
        gradient="Its gradient must be that of its value." if challenge.gradient != "any" else "It may stop gradients.")


def statement(board) -> str:
    """What a challenge asks, and what its baselines have reached, as Markdown."""
    challenge = board.challenge
    config, budget = challenge.config, challenge.budget
    facts = [
        ("text", f"{config.data.corpus} in {config.data.tokenizer}"),
        ("model", f"{config.model.n_layer} layers, {config.model.n_head} heads, width {config.model.n_embd}, context "
                  f"{config.seq_len}"),
        ("training", f"{budget.tokens:,} tokens, {config.num_steps:,} updates of {config.tokens_per_step:,} tokens, "
                     f"{config.train.optimizer}, learning rate {config.train.learning_rate:g}"),
        ("a test", f"{challenge.visible_seeds} seeds, scored on the split tune: {', '.join(challenge.visible)}"),
        ("the board", f"{challenge.hidden_seeds} hidden seeds, scored on the split val: {', '.join(challenge.hidden)}"),
        ("budget", f"{budget.actions} actions, {budget.tests} tests, {budget.submissions} submissions; a run "
                   f"{budget.seconds:,} seconds"),
        ("the jail", f"{challenge.tier} or better: {tiers.ABOUT[challenge.tier]}"),
        ("baselines", ", ".join(challenge.baselines)),
        ("digest", challenge.digest),
        ("seeds are committed to", board.commitment),
    ]
    table = Table((left("what"), left("")), facts).markdown()
    return (f"# {challenge.name}\n\n{escape(challenge.about)}.\n\n{table}\n\nThe verdict is the difference in nll from "
            "cross-entropy, paired over the hidden seeds. `program.md` has the rules, `losslab arena board "
            f"{challenge.name}` the rows.\n")


# --- a board -----------------------------------------------------------------------------------

def table(document: dict) -> Table:
    """The rows of a board."""
    metrics = [metric for metric in document["statement"]["hidden"] if metric != "nll"]
    columns = (name("loss", least=16), Column("rank"), Column("difference [95 % interval]", "nats/token"),
               Column("p (Holm)"), left("verdict"), Column("nll"), *map(Column, metrics), Column("cost"),
               Column("lines"), Column("score"), left("jail"))
    return Table(columns, [_cells(one, metrics) for one in document["rows"]])


def _cells(one: dict, metrics: list[str]) -> tuple[str, ...]:
    if one["rank"] is None:
        blank = ("–",) * (len(metrics) + 4)
        return (one["name"], "–", "–", "–", one["verdict"], *blank, "")
    usual = one["name"] == "cross_entropy"
    score = one.get("published_score")
    return (
        one["name"], f"{one['rank']}{'=' * one['tied']}", "–" if usual else words.difference(one["difference"]),
        "–" if usual else words.p_value(one["p_value"]), "no difference shown" if one["verdict"] == "open" else
        one["verdict"], *(words.score(one["metrics"].get(metric), n=False) for metric in ("nll", *metrics)),
        words.ratio(one["cost"]["time_ratio"]), str(one["lines"]), "–" if score is None else f"{score:.2f}",
        one["tier"],
    )


def headline(document: dict) -> str:
    """What the board says, in one sentence."""
    better = [one["name"] for one in document["rows"] if one["verdict"] == "better"]
    found = f"{', '.join(better)} better" if better else "nothing is shown to be better"
    return f"{document['challenge']}: {found} than cross_entropy"


def remarks(document: dict) -> list[str]:
    """What a reader must know of the numbers."""
    told = [document["note"], "cost: time of the loss and its gradient through the jail, as a multiple of "
            "cross_entropy's; score: that of the published task, for comparison"]
    told += [f"{one['name']} got no row: {one['status']}, {one['reason']}" for one in document["ended"]]
    for one in document["rows"]:
        told += [f"{one['name']} on rung {reached['rung']} ({reached['tokens']:,} tokens): "
                 + (words.difference(reached["difference"]) if "difference" in reached else reached["status"])
                 for reached in one.get("rungs", ())]
    told += [f"{one['name']} was picked among {one['searched']} formulas of a search by cheaper runs"
             for one in document["rows"] if one.get("searched")]
    told += map(ladder.told, document.get("agreements", ()))
    if document.get("withdrawn"):
        told.append(f"withdrawn, and counted by Holm: {', '.join(document['withdrawn'])}")
    secret = document.get("secret")
    if secret:
        told.append(f"the hidden seeds were {', '.join(map(str, secret['hidden']))} (nonce {secret['nonce']}); their "
                    f"sha256 is {document['commitment']}")
    else:
        told.append(f"the hidden seeds are committed to by the sha256 {document['commitment']}, and shown when the "
                    "board closes")
    return told


def markdown(document: dict) -> str:
    """The board as Markdown, with the text of each submission."""
    parts = [f"# {escape(headline(document))}", f"{escape(document['about'])}.", table(document).markdown(),
             "\n".join(f"- {escape(told)}" for told in remarks(document)),
             f"Challenge {code(document['digest'])}, board {document['number']}, "
             f"{'closed' if document['closed'] else 'open'}; losslab {__version__}."]
    for one in document["rows"]:
        if one.get("source"):
            parts += [f"## {escape(one['name'])}", f"sha256 {code(one['sha256'])}", block(one["source"])]
    return "\n\n".join(parts) + "\n"


def html(document: dict, fill=page.filled) -> str:
    """The board as one page that loads nothing."""
    return fill("arena.html.j2", document, {}, version=__version__, headline=headline(document),
                rows=table(document), remarks=remarks(document))


def write(document: dict, path: str | Path) -> Path:
    """The page, and Markdown and JSON next to it; the path of the page."""
    return page.save(path, html(document), markdown(document), document)
