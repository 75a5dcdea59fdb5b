"""The page on which people vote, and what their votes say.

Blind to the eye: the page shows no names, and which side is whose changes from pair to pair. Names and sides are inside
the page, turned over by a mask, so that the exported votes need no other file; who opens the source can find them.
"""

import base64
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from losslab import __version__, untrusted
from losslab.judge import summary
from losslab.judge.prompts import Prompt, Written
from losslab.judge.statistics import krippendorff
from losslab.report import page
from losslab.untrusted import one_line

FORMAT = 1
VOTES = ("left", "right", "tie")
MOST_BYTES = 16 << 20
HERE = Path(__file__).parent


def write(path: str | Path, written: Sequence[Written], prompts: Sequence[Prompt], *, seed: int = 0,
          most: int = 0) -> tuple[Path, int]:
    """Write the page of the first two models; its path, and how many pairs it shows.

    Args:
        most: pairs; 0 for all. One of each prompt comes before a second of any.
    """
    rng = random.Random(seed)
    pairs = []
    for k in range(min(len(written[0].texts[0]), len(written[1].texts[0]))):
        turn = [(p, k) for p in range(len(prompts)) if written[0].texts[p][k] != written[1].texts[p][k]]
        rng.shuffle(turn)
        pairs += turn
    pairs = pairs[: most or None]
    if not pairs:
        raise ValueError("all completions of the two models are the same, so there is nothing to vote on")
    sides = [rng.random() < 0.5 for _ in pairs]  # whether the first model is on the left
    items = []
    for (p, k), first_left in zip(pairs, sides, strict=True):
        left, right = written if first_left else (written[1], written[0])
        items.append({"prompt": prompts[p].shown, "left": left.texts[p][k], "right": right.texts[p][k]})
    hidden = {"names": [each.name for each in written[:2]], "prompts": [p for p, _ in pairs],
              "first_left": [int(side) for side in sides]}
    document = {"format": FORMAT, "id": _id([items, hidden]), "items": items, "hidden": cover(hidden)}
    return page.save(path, html(document)), len(items)


def html(document: dict) -> str:
    """The page as text; it loads nothing, as its policy demands."""
    style, script = ((HERE / f"human.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (f"default-src 'none'; script-src {page.source_hash(script)}; style-src {page.source_hash(style)}; "
              "base-uri 'none'; form-action 'none'")
    frame = (HERE / "human.html").read_text("utf-8")
    for name, text in (("policy", policy), ("version", __version__), ("style", style), ("script", script),
                       ("document", page.embedded(document))):
        frame = frame.replace(f"@{name}@", text, 1)  # the document last: no text in it is a place of another
    return frame


def cover(value) -> str:
    """JSON that a glance at the source does not give away; no secret."""
    raw = json.dumps(value).encode()
    return base64.b64encode(bytes(byte ^ 0x5A for byte in raw)).decode()


def uncover(text: str) -> dict:
    """What `cover` covered.

    Raises:
        ValueError: for anything else.
    """
    raw = base64.b64decode(text, validate=True)
    found = untrusted.parse_json(bytes(byte ^ 0x5A for byte in raw), "the votes")
    if not isinstance(found, dict):
        raise ValueError("it holds no names")
    return found


def tally(paths: Sequence[Path]) -> dict:
    """The win rate of the first model over one or more files of votes on the same page, and how far voters agree.

    Raises:
        ValueError: for a file that holds no votes of such a page, or another page's.
    """
    read = [_read(path) for path in paths]
    if len({votes["id"] for votes in read}) > 1:
        raise ValueError("these files hold votes on different pages; give those of one page together")
    hidden = read[0]["hidden"]
    points: dict[int, list[float]] = defaultdict(list)
    by_pair: dict[int, list[float]] = defaultdict(list)
    left, votes_by_reader = [], []
    for votes in read:
        votes_by_reader.append(len(votes["votes"]))
        for number, vote in votes["votes"].items():
            left += [vote == "left"] * (vote != "tie")
            point = 0.5 if vote == "tie" else float((vote == "left") == bool(hidden["first_left"][number]))
            points[hidden["prompts"][number]].append(point)
            by_pair[number].append(point)
    every = [point for group in points.values() for point in group]
    names = tuple(hidden["names"])
    found = summary.rate(list(points.values()), names) | {
        "wins": every.count(1.0), "losses": every.count(0.0), "ties": every.count(0.5), "votes": len(every),
        "readers": len(read), "unanswered": sum(len(hidden["prompts"]) - count for count in votes_by_reader),
        "left_chosen": {"value": sum(left) / len(left) if left else None, "n": len(left)},
    }
    if len(read) > 1:
        found["agreement"] = {"coefficient": "Krippendorff's alpha (names) of the votes of different readers",
                              "value": krippendorff(list(by_pair.values()), nominal=True)}
    return found


def _read(path: Path) -> dict:
    """The votes of one file, checked; `votes` by the number of the pair."""
    found = untrusted.read_object(path, MOST_BYTES)

    def wrong(why: str) -> ValueError:
        return ValueError(one_line(f"{path} holds no votes of a page of `losslab judge --human` ({why}); export them "
                                   "there again"))

    if found.get("format") != FORMAT or not all(isinstance(found.get(key), str) for key in ("id", "hidden")):
        raise wrong("its format is not known")
    try:
        hidden = uncover(found["hidden"])
    except ValueError:
        raise wrong("the names in it are damaged") from None
    names, prompts, sides = (hidden.get(key) for key in ("names", "prompts", "first_left"))
    if not (isinstance(names, list) and len(names) == 2 and all(isinstance(name, str) for name in names)
            and isinstance(prompts, list) and isinstance(sides, list) and len(prompts) == len(sides)
            and all(type(number) is int for number in [*prompts, *sides])):
        raise wrong("the names in it are damaged")
    votes = found.get("votes")
    if not isinstance(votes, list) or not votes:
        raise wrong("nobody has voted")
    given: dict[int, str] = {}
    for vote in votes:
        number = vote.get("item") if isinstance(vote, dict) else None
        is_pair = type(number) is int and 0 <= number < len(prompts) and number not in given
        if not is_pair or vote.get("vote") not in VOTES:
            raise wrong("a vote in it is of no pair, or the second one of its pair")
        given[number] = vote["vote"]
    return {"id": found["id"], "hidden": hidden, "votes": given}


def _id(value) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]
