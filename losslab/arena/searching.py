"""A short automatic search: random formulas on a cheap proxy rung, and tests of the best.

The rung trains with fewer tokens than the challenge, on seeds of its own, in the same jail and under the same referee.
Its picks are the best of many noisy draws, so what they gained there is too much; their tests, on other seeds, say how
much of it is left. A search that was broken off goes on where it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import config as configuration
from losslab import stats
from losslab.arena import drawing, game, home, refereeing, workspace
from losslab.arena.challenge import Challenge
from losslab.arena.drawing import Drawn
from losslab.arena.home import LOWEST_SEED, Board
from losslab.arena.refereeing import Entry
from losslab.arena.workspace import Workspace
from losslab.config.numbers import check
from losslab.progress import Progress, silent

Tell = Callable[[str], None]
SHARE = 4  # the tokens of the challenge, divided by this, are those of the rung unless given
MOST = 1_000
MOST_SEEDS = 100


@dataclass(frozen=True)
class Search:
    """What is searched; the same search goes on in the same workspace."""

    candidates: int = 12
    """Formulas that are tried on the rung."""
    seed: int = 0
    """Of the draws."""
    seeds: int = 2
    """Trainings of each on the rung."""
    tokens: int = 0
    """Of one training on the rung; 0 is a quarter of those of the challenge."""
    promote: int = 2
    """Tests for the best of them, at most."""

    def __post_init__(self):
        check("--candidates", self.candidates, 1, MOST, "formulas")
        check("--seed", self.seed, 0, 2**31)
        check("--seeds", self.seeds, 1, MOST_SEEDS, "trainings of each formula")
        check("--promote", self.promote, 1, MOST, "tests")


def search(
    challenge: Challenge, place: Path, asked: Search, *, name: str = "", tell: Tell = lambda text: None,
    progress: Progress = silent,
) -> dict:
    """Draw formulas, try them on the rung, and test the best in a workspace.

    Args:
        challenge: that is played.
        place: a new folder, or a workspace of that challenge.
        asked: how many, of what, how cheaply.
        name: of a new workspace on the board.
        tell: takes sentences for people.
        progress: is told how many formulas were tried.

    Returns:
        `tried`, each with `number`, `formula`, `form`, `status`, `reason`, and `difference` from cross-entropy on the
        rung where it finished, best first; `promoted`, each with `number`, `formula`, `proxy` (its difference on the
        rung) and what its test gave; `left`; `told`, sentences.

    Raises:
        ValueError: for a workspace of another challenge, a budget that has not so many tests left, or a rung that is
            not smaller than the challenge.
    """
    rung_of(challenge, asked)  # what cannot be is said before anything is made
    if not (place / workspace.POINTER).exists():
        _affordable(challenge, asked)
        workspace.made(home.board(challenge, fresh=True), place, name)
    with workspace.opened(place, tell) as found:
        if found.challenge.digest != challenge.digest:
            raise ValueError(f"{place} is a workspace of {found.challenge.name} {found.challenge.digest}, and the "
                             f"search is of {challenge.name} {challenge.digest}; give a new folder")
        return _search(found, asked, tell, progress)


def rung_of(challenge: Challenge, asked: Search) -> Challenge:
    """The challenge with fewer tokens."""
    tokens = asked.tokens or max(1, challenge.budget.tokens // SHARE)
    if not 0 < tokens < challenge.budget.tokens:
        raise ValueError(f"--tokens must be between 1 and {challenge.budget.tokens - 1:,}, since the rung is cheaper "
                         f"than {challenge.name}, got {tokens:,}")
    config = configuration.override(challenge.config, {"train": {"num_tokens": tokens}}, source="the search")
    return replace(challenge, config=config, budget=replace(challenge.budget, tokens=tokens), rungs=())


def _affordable(challenge: Challenge, asked: Search) -> None:
    budget = challenge.budget
    if budget.tests < asked.promote or budget.actions < 2 * asked.promote:
        raise ValueError(f"--promote {asked.promote} needs as many tests and twice as many actions, and "
                         f"{challenge.name} gives {budget.tests} tests and {budget.actions} actions")


def _search(found: Workspace, asked: Search, tell: Tell, progress: Progress) -> dict:
    rung = rung_of(found.challenge, asked)
    settings = vars(asked) | {"tokens": rung.budget.tokens}
    known = {one["verb"] for one in found.ledger.entries if one.get("settings") == settings}
    if "search" not in known:
        found.need("tests", asked.promote)
        found.need("actions", 2 * asked.promote)
        found.ledger.add("search", settings=settings)
    board = replace(found.board, path=found.board.path / f"search-{rung.budget.tokens}", challenge=rung)
    formulas = drawing.drawn(asked.seed, asked.candidates)
    tried = _on_the_rung(found, board, formulas, asked, tell, progress)
    ranked = sorted(tried, key=lambda one: one["difference"]["value"] if "difference" in one else float("inf"))
    if "searched" not in known:
        found.ledger.add("searched", settings=settings, tried=len(tried))
    promoted = _promote(found, ranked, {one.number: one.text for one in formulas}, asked.promote, tell)
    return {"status": "finished", "reason": "", "challenge": found.challenge.name, "folder": str(found.place),
            "search": settings, "tried": ranked, "promoted": promoted, "left": found.left(),
            "told": _told(found, ranked, promoted)}


# --- the rung ----------------------------------------------------------------------------------

def _on_the_rung(found: Workspace, board: Board, formulas: list[Drawn], asked: Search, tell: Tell,
                 progress: Progress) -> list[dict]:
    seeds = range(1, asked.seeds + 1)
    assert seeds[-1] < LOWEST_SEED, "these are no seeds of a board"
    total = len(formulas) + 1
    usual = refereeing.run(board, Entry("cross_entropy"), seeds, "tune")
    if refereeing.status(usual)[0] != "finished":
        raise ValueError(f"cross_entropy itself ended {', '.join(refereeing.status(usual))} on the rung; nothing can "
                         "be compared with it")
    progress("trying formulas", 1, total, "formulas")
    tried = []
    for one in formulas:
        runs = refereeing.run(board, game.entry_of(found, one.text), seeds, "tune")
        status, reason = refereeing.status(runs)
        told = {"number": one.number, "formula": one.formula, "form": one.form, "status": status, "reason": reason}
        if status == "finished":
            told["difference"] = _difference(runs, usual)
        tried.append(told)
        tell(f"formula {one.number} of {len(formulas)}, {one.formula}: "
             + (f"{told['difference']['value']:+.4f} nats/token from cross_entropy" if status == "finished"
                else f"{status}, {reason}"))
        progress("trying formulas", len(tried) + 1, total, "formulas")
    return tried


def _difference(runs: dict[int, dict], usual: dict[int, dict]) -> dict:
    values = {name: {seed: one["scores"]["tune_nll"]["value"] for seed, one in every.items()}
              for name, every in (("this", runs), ("cross_entropy", usual))}
    d = stats.compare(values, "cross_entropy", plan=False).arm("this").difference
    return {"value": d.value, "low": d.low, "high": d.high, "n": d.n, "unit": "nats/token"}


# --- tests of the best -------------------------------------------------------------------------

def _promote(found: Workspace, ranked: list[dict], texts: dict[int, str], most: int,
             tell: Tell) -> list[dict]:
    """Test those that are better than cross-entropy on the rung, best first; one that is refused costs no test."""
    promoted: list[dict] = []
    for one in ranked:
        if "difference" not in one or one["difference"]["value"] >= 0:
            break
        if sum("test" in each for each in promoted) == most:
            break
        text = texts[one["number"]]
        tell(f"testing formula {one['number']}, {one['formula']}")
        about = {"number": one["number"], "formula": one["formula"], "proxy": one["difference"]}
        promoted.append(about | (_tested(found, text) or _test(found, text, one["number"], tell)))
    return promoted


def _tested(found: Workspace, text: str) -> dict | None:
    """What an earlier part of this search found out about a file."""
    tests = [one["test"] for one in found.ledger.entries
             if one["verb"] == "test" and one["file"] == found.digest(text)]
    ended = next((one for one in found.ledger.entries if one["verb"] == "tested" and one["test"] in tests), None)
    return ended and _brief(ended)


def _test(found: Workspace, text: str, number: int, tell: Tell) -> dict:
    if found.digest(text) != found.take_up():
        found.edit(f"formula {number} of a search", lambda old: text)
    return _brief(game.test(found, tell))


def _brief(said: dict) -> dict:
    return {key: said[key] for key in ("test", "status", "reason", "difference") if key in said}


def _told(found: Workspace, ranked: list[dict], promoted: list[dict]) -> list[str]:
    finished = [one for one in ranked if "difference" in one]
    told = [f"{len(ranked)} formulas were tried on the rung, {len(finished)} finished, "
            f"{sum(one['difference']['value'] < 0 for one in finished)} were below cross_entropy there"]
    for one in promoted:
        test = f"test {one['test']}" if "test" in one else "no test"
        value = f"{one['difference']['value']:+.4f}" if "difference" in one else f"{one['status']}, {one['reason']}"
        told.append(f"{test}, formula {one['number']}: {one['proxy']['value']:+.4f} on the rung, {value} in the test: "
                    f"{one['formula']}")
    if len(promoted) > 0:
        told.append("picked as the best of many noisy draws, so that the rung's differences are too good; only the "
                    f"board judges: `losslab arena submit {found.place} --test N`")
    else:
        told.append("nothing was tested, and nothing spent")
    return told
