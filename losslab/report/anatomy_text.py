"""What a loss is, as text for a terminal and as Markdown. Takes the dictionary of an anatomy."""

import textwrap

from losslab.escaping import code, escape, plain
from losslab.tables import Column, Table, left

WIDTH = 100
SHOWN = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)  # P(correct) in tables


def text(found: dict) -> str:
    """One screen: the findings, then two small tables."""
    lines = [plain(found["inspected"]), ""]
    for name, sentence in findings(found):
        lines += textwrap.wrap(f"{name:22} {plain(sentence)}", WIDTH, subsequent_indent=23 * " ")
    for title, table in tables(found):
        lines += ["", title, table.text(indent="  ")]
    return "\n".join(lines)


def findings(found: dict) -> list[tuple[str, str]]:
    """Name and sentence of each finding."""
    told = [("proper", proper(found)), ("minimizer", _minimizer(found)), ("token-wise independent", _alone(found)),
            ("convex", _convex(found)), ("finite", _finite(found)),
            ("route", f"{found['route']['name']}: {found['route']['why']}"), ("cost", _cost(found["cost"]))]
    if found["inspected"] != found["loss"]:
        told.insert(0, ("note", f"{found['loss']} alone cannot be descended toward the truth, so this is "
                                f"{found['inspected']}"))
    told.append(("left out", found["left_out"]))
    return [(name, sentence) for name, sentence in told if sentence]


def proper(found: dict) -> str:
    """Whether the loss is proper, and on how many classes that was tried."""
    sizes = sorted({len(one["truth"]) for one in found["minimizers"]})
    if found["proper"] is None:
        return "not found out: the loss fails on the few classes over which a minimizer is looked for"
    return f"{_proper(found)} (tried on {_classes(sizes)} classes)"


def _proper(found: dict) -> str:
    if found["proper"]:
        return "yes: for every truth that was tried, the softmax of the minimizer is the truth"
    if found["bias"] is None:
        lost = sum(not one["found"] for one in found["minimizers"])
        return f"no: training does not converge for {lost} of {len(found['minimizers'])} truths"
    bias = found["bias"]
    leaning = "flatter than the truth in some places and sharper in others" if bias["direction"] == "mixed" else (
        f"{bias['direction']} than the truth")
    return f"no: the minimizer is {leaning}, by up to {bias['max_abs']:.4f} in probability, {bias['kl_nats']:.4f} nats"


def _classes(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes[:-1])) + f" and {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])


def _minimizer(found: dict) -> str:
    if not found["minimizers"]:
        return ""
    one = found["minimizers"][0]
    where = "the softmax of the minimizer is" if one["found"] else "no stationary point found; training was last at"
    return f"for the truth {_list(one['truth'])} {where} {_list(one['softmax'])}"


def _alone(found: dict) -> str:
    return {True: "yes: a token's loss does not change when other tokens of the batch do",
            False: "no: a token's loss changes when other tokens of the batch change",
            "by definition": "no, by definition: the loss says of itself that it depends on other tokens",
            }[found["scored_alone"]]


def _convex(found: dict) -> str:
    pairs, witness, sizes = (found["convexity"][key] for key in ("pairs", "witness", "classes"))
    if not sizes:
        return "not found out: the loss fails on the numbers of classes that are tried"
    on = f"(tried on {_classes(sizes)} classes)"
    if witness is None:
        return f"yes: no counterexample in {pairs:,} pairs of points {on}"
    return (f"no: between two of {pairs:,} pairs of points the gradient turns back, by a slope of "
            f"{witness['slope']:.3g} {on}")


def _finite(found: dict) -> str:
    broken = [case for case, is_finite in found["finite"].items() if not is_finite]
    return f"no: {'; '.join(broken)}" if broken else f"yes: {'; '.join(found['finite'])}"


def _cost(cost: dict | None) -> str:
    if cost is None:
        return ""
    return (f"{cost['time_ratio']:.2f} times cross-entropy's time [{cost['time_ratio_low']:.2f}, "
            f"{cost['time_ratio_high']:.2f}] and {cost['memory_ratio']:.2f} times its memory, at {cost['tokens']:,} "
            f"tokens, width {cost['width']}, vocabulary {cost['vocab_size']:,} ({cost['processor']}, "
            f"threads: {cost['threads']}, n={cost['repeats']})")


def tables(found: dict) -> list[tuple[str, Table]]:
    """Titles and tables."""
    made = []
    if found["untrained"]:
        titles = ("classes", "value, zero logits", "value, GPT-2's", "gradient norm", "times cross-entropy's")
        made.append(("an untrained model", Table([*map(Column, titles)], [
            (f"{one['vocab_size']:,}", number(one["zero"]["value"]), number(one["gpt2"]["value"]),
             number(one["gpt2"]["gradient_norm"]), number(one["gpt2"]["times_cross_entropy"]))
            for one in found["untrained"]])))
    if found["curves"]:
        curve = found["curves"][-1]
        at = [min(range(len(curve["p_correct"])), key=lambda i: abs(curve["p_correct"][i] - p)) for p in SHOWN]
        titles = ("P(correct)", "value", "d value / d target logit", "gradient norm")
        keys = "p_correct", "value", "target_gradient", "gradient_norm"
        made.append((f"against P(correct), {curve['vocab_size']:,} classes", Table(
            [*map(Column, titles)], [[number(curve[key][i]) for key in keys] for i in at])))
    return made


def ends(found: dict) -> Table:
    """Where training ends for each truth."""
    columns = left("truth"), left("softmax of the minimizer"), Column("largest distance"), Column("nats")
    return Table(columns, [
        (_list(one["truth"]), ("" if one["found"] else "none found; last ") + _list(one["softmax"]),
         number(one["max_abs"]), number(one["kl_nats"])) for one in found["minimizers"]])


def number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _list(values: list) -> str:
    shown = ["?" if value is None else f"{value:.4f}" for value in values]
    return " ".join(shown) if len(shown) <= 6 else f"{' '.join(shown[:4])} ... {shown[-1]} ({len(shown)} classes)"


# --- Markdown ----------------------------------------------------------------------------------

def markdown(found: dict, sentence: str = "", pictures: dict[str, str] | None = None) -> str:
    """The findings as a page; `pictures` is title -> file of drawings next to it."""
    lines = [f"# {escape(found['loss'])}", ""]
    lines += [sentence, ""] if sentence else []
    command = f"losslab inspect \"{found['loss'].replace(chr(34), chr(39))}\""
    lines += [f"Inspected by {code(command)}.", "",
              Table((left("finding"), left("")), findings(found)).markdown(), ""]
    for title, file in (pictures or {}).items():
        lines += [f"![{title}]({file})", ""]
    lines += ["## Where training ends", "", ends(found).markdown(), ""] if found["minimizers"] else []
    for title, table in tables(found):
        lines += [f"## {title[0].upper()}{title[1:]}", "", table.markdown(), ""]
    lines += ["## What the numbers mean", "", *(f"- {name}: {told}" for name, told in found["conventions"].items())]
    return "\n".join(lines) + "\n"


def gallery(entries: list[tuple[dict, str, str | None]]) -> str:
    """One row for each anatomy, its sentence and its page."""
    rows = [["loss", "what it is", "proper", "bias", "token-wise independent", "convex", "route"]]
    for found, sentence, page in entries:
        name = code(found["loss"]) + (" (a term)" if found["inspected"] != found["loss"] else "")
        bias = found["bias"]
        told = "0" if found["proper"] else _word(None) if found["proper"] is None else "no stationary point" if (
            bias is None) else f"{bias['max_abs']:.3f}, {bias['direction']}"
        rows.append([f"[{name}]({page})" if page else name, sentence, _word(found["proper"]), told,
                     _word(found["scored_alone"]), _word(found["convex"]), found["route"]["name"]])
    return "\n".join(_grid(rows)) + "\n"


def _word(value: bool | str | None) -> str:
    return {True: "yes", False: "no", None: "not found out"}.get(value, f"no, {value}")


def _grid(rows: list[list[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]
