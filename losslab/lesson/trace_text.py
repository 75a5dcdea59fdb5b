"""A trace as text for a terminal: every probability, every -ln p, their mean, where the gradient goes."""

import math

from losslab.lesson.names import Names
from losslab.lesson.trace import Position, Trace
from losslab.tables import Column, Table, left
from losslab.units import nats_to_bits, perplexity
from losslab.words import shorten, width

COLUMNS = 80
BAR = "█"
MOST_TOKENS = 60  # of a position that are listed; of a larger vocabulary only the likeliest are
LIKELIEST = 23


def traced(trace: Trace, names: Names, columns: int = COLUMNS) -> str:
    """Everything that a trace has to say."""
    steps = "untrained" if not trace.step else f"after {trace.step:,} training step{'s' * (trace.step > 1)}"
    head = f"{spelled(trace, names)}  under the model {steps}, loss {trace.loss_name}"
    end = f"{names.mark} is one token, the start and the end of every name; [ ] marks the token that came."
    parts = [f"{head}\n{end}"]
    parts += [position(trace, number, names, columns) for number in range(len(trace.positions))]
    parts += ["All positions\n" + table(trace, names, columns), means(trace, names), matrices(trace)]
    if trace.left_out:
        parts.insert(1, f"The model has {len(trace.positions)} positions; what the name has beyond them is left out.")
    return "\n\n".join(parts)


def spelled(trace: Trace, names: Names) -> str:
    return " ".join([*names.spelled(trace.name), names.mark])


def context(one: Position, names: Names) -> str:
    """The tokens that were read, the end mark first."""
    return "".join(names.spelled(one.context))


def position(trace: Trace, number: int, names: Names, columns: int = COLUMNS) -> str:
    """One prediction, with every probability."""
    one, vocabulary = trace.positions[number], names.vocabulary
    p, came, many = one.probabilities[one.target], vocabulary[one.target], len(trace.positions)
    lines = [f"Position {number + 1} of {many}: after {context(one, names)} came {came}"]
    lines += probabilities(one, names, columns)
    lines.append(f"  -ln p({came}) = -ln {p:.4f} = {one.nll:.4f}")
    if trace.loss_name != "cross_entropy":
        lines.append(f"  {trace.loss_name} = {one.loss:.4f}")
    rest = math.fsum(one.gradient) - one.gradient[one.target]
    formula = f"({p:.4f} - 1)/{many} = " if trace.loss_name == "cross_entropy" else ""
    lines.append(f"  gradient of its logit: {formula}{one.gradient[one.target]:+.4f}; of all others: {rest:+.4f}")
    return "\n".join(lines)


def probabilities(one: Position, names: Names, columns: int) -> list[str]:
    """The probabilities of a position in as many columns as there is room for."""
    tokens = list(range(len(one.probabilities)))
    if len(tokens) > MOST_TOKENS:
        likely = sorted(tokens, key=lambda token: -one.probabilities[token])[:LIKELIEST]
        tokens = sorted({*likely, one.target})
    cells = []
    for token in tokens:
        cell = f"{names.vocabulary[token]} {one.probabilities[token]:.4f}"
        cells.append(f"[{cell}]" if token == one.target else f" {cell} ")
    size = max(map(width, cells)) + 1
    across = max(1, min(9, (columns - 2) // size))
    lines = ["".join(cell + " " * (size - width(cell)) for cell in cells[start:start + across]).rstrip()
             for start in range(0, len(cells), across)]
    if left_out := len(one.probabilities) - len(tokens):
        share = 1 - math.fsum(one.probabilities[token] for token in tokens)
        lines.append(f"   {left_out:,} other tokens share {max(0.0, share):.4f}")
    return [f" {line}" for line in lines]


def table(trace: Trace, names: Names, columns: int = COLUMNS) -> str:
    """One line a position."""
    plain = trace.loss_name == "cross_entropy"
    rows, longest = [], max(one.nll for one in trace.positions)
    for one in trace.positions:
        bar = BAR * round(16 * one.nll / longest) if longest > 0 else ""
        p, slope = one.probabilities[one.target], one.gradient[one.target]
        rows.append((shorten(context(one, names), 20), names.vocabulary[one.target], f"{p:.4f}", f"{one.nll:.4f}",
                     *(() if plain else (f"{one.loss:.4f}",)), f"{slope:+.4f}", bar))
    heads = (left("after"), left("came"), Column("p"), Column("-ln p"), *(() if plain else (Column(trace.loss_name),)),
             Column("gradient"), left(""))
    return Table(heads, rows).text(columns, indent="  ")


def means(trace: Trace, names: Names) -> str:
    """The loss of the name, and the same number in other units."""
    whole, number, uniform = trace.nll * len(trace.positions), len(trace.positions), math.log(names.vocab_size)
    letters = max(1, sum(one.target != names.end for one in trace.positions))
    lines = [
        f"  mean of -ln p       {whole:.4f} / {number} = {trace.nll:.4f} nats per token",
        f"  knowing nothing     ln {names.vocab_size:,} = {uniform:.4f} nats per token",
        f"  perplexity          e^{trace.nll:.4f} = {perplexity(trace.nll):.3f}",
        f"  bits per token      {trace.nll:.4f} / ln 2 = {nats_to_bits(trace.nll):.4f}",
        f"  bits per character  {whole:.4f} / (ln 2 * {letters}) = {nats_to_bits(whole) / letters:.4f}",
    ]
    if trace.loss_name != "cross_entropy":
        lines.insert(0, f"  {f'mean of {trace.loss_name}':<18}  {trace.loss:.4f}")
    return "The loss of the name\n" + "\n".join(lines)


def matrices(trace: Trace) -> str:
    """How much of the gradient each matrix of weights gets."""
    whole = math.hypot(*trace.gradient_norms.values()) or 1.0
    rows = [(name, f"{norm:.4f}", BAR * round(30 * norm / whole)) for name, norm in trace.gradient_norms.items()]
    return "Where the gradient goes: its length in each matrix of weights\n" + Table(
        (left("matrix"), Column("length"), left("")), rows).text(heading=False, indent="  ")
