"""The lesson as a walk through on a terminal: nine short chapters around the loss of one name."""

import math
import textwrap
from collections.abc import Sequence

from losslab.lesson import losses, trace_text
from losslab.lesson.model import shapes
from losslab.lesson.names import Names
from losslab.lesson.trace import Trace
from losslab.lesson.trace_text import BAR, COLUMNS
from losslab.lesson.training import NUM_STEPS
from losslab.tables import Column, Table, left
from losslab.words import printable

POINTS = ((1.0, "1.0"), (0.9, "0.9"), (0.5, "0.5"), (1 / 27, "1/27"), (0.01, "0.01"), (0.001, "0.001"))
FAVORITE = "emma"


def example(names: Names) -> str:
    """The name that the lesson takes apart: one of four letters, where the names have one."""
    if not set(FAVORITE) - set(names.characters):
        return FAVORITE
    return min(names.names, key=lambda name: abs(len(name) - len(FAVORITE)))


def told(names: Names, before: Trace, after: Trace, training: dict, columns: int = COLUMNS) -> list[str]:
    """The chapters.

    Args:
        names: that the model learns from.
        before, after: a name under the model before and after training.
        training: `losses`, `nll`, `samples` and `loss` of the training.
        columns: of the terminal.
    """
    columns = min(columns, 88)
    chapters = [
        ("One prediction after another", _predictions(names, before, columns)),
        ("The price of a token: -ln p", _price(columns)),
        ("Why the first loss must be near ln V", _first(names, before, training, columns)),
        ("Why the mean", _mean(before)),
        ("What a confident mistake costs", _mistakes()),
        ("One number, four units", _units(names, before)),
        ("Where the gradient goes", _gradient(names, before, columns)),
        ("Training", _training(names, before, after, training, columns)),
        ("What another loss changes", _others(before, columns)),
    ]
    shown = []
    for number, (title, parts) in enumerate(chapters, 1):
        heading = f"{number}  {title}"
        body = [textwrap.fill(part, columns - 1) if isinstance(part, str) else "\n".join(part) for part in parts]
        shown.append("\n\n".join([f"{heading}\n{'-' * len(heading)}", *body]))
    return shown


# Prose is a string, and is wrapped; what stands in lines is a list of them.

def _predictions(names: Names, trace: Trace, columns: int) -> list:
    return [
        "A language model reads tokens and says how likely each token is to come next. Here the tokens are the "
        f"{len(names.characters):,} different characters of {names.source}, and {names.mark}, which stands before and "
        f"after every name: {names.vocab_size:,} in all. The model is a GPT of {_weights(names):,} weights, each a "
        "plain Python number, and it has not learned anything yet.",
        f"It reads {trace_text.spelled(trace, names)} from the left. This is its first prediction; [ ] marks the "
        "token that came:",
        [trace_text.position(trace, 0, names, columns)],
        "And these are all predictions of the name, one a position:",
        [trace_text.table(trace, names, columns)],
        f"The mean of the column -ln p is the loss of the name, {trace.nll:.4f}. `losslab lesson --trace NAME` shows "
        "all probabilities of any name.",
    ]


def _price(columns: int) -> list:
    rows = [(shown, f"{-math.log(p) + 0:.3f}", f"{1 / p:,.{2 * (p > 0.5)}f}") for p, shown in POINTS]
    heads = (Column("P(correct)"), Column("-ln p", "nats"), Column("as unsure as a fair die with so many sides"))
    return [
        "Only one of the probabilities counts: that of the token that came, P(correct). Its price is -ln p. Whoever "
        "was certain and right pays nothing. Half the probability costs ln 2 = 0.693 more, wherever one starts. And "
        "there is no highest price.",
        _curve(),
        Table(heads, rows).text(columns, indent="  ").splitlines(),
        "Why a logarithm? Because probabilities of tokens multiply to that of the whole text, and logarithms turn "
        "this product into a sum: the price of a text is the sum of the prices of its tokens.",
    ]


def _curve(wide: int = 60, high: int = 10, most: float = 5.0) -> list[str]:
    """-ln p against p, in characters."""
    grid = [[" "] * (wide + 1) for _ in range(high + 1)]
    for column in range(wide + 1):
        upper = min(most, -math.log(max(1e-9, column / wide - 0.5 / wide)))
        lower = -math.log(min(1.0, column / wide + 0.5 / wide))
        for row in range(high + 1):  # every height that the curve passes in this column
            if lower - most / high / 2 <= row * most / high <= upper + 1e-9 and lower <= most:
                grid[row][column] = BAR
    lines = []
    for row in range(high, -1, -1):
        height = row * most / high
        lines.append(f"  {f'{height:.0f}' if row % 2 == 0 else '':>4} |{''.join(grid[row])}".rstrip())
    ticks = "0".ljust(wide // 4) + "0.25".ljust(wide // 4) + "0.5".ljust(wide // 4) + "0.75".ljust(wide // 4) + "1"
    return ["  -ln p", *lines, f"       +{'-' * (wide + 1)}", f"        {ticks}  P(correct)"]


def _first(names: Names, before: Trace, training: dict, columns: int) -> list:
    V, uniform = names.vocab_size, math.log(names.vocab_size)
    first = f", and the first step of training {training['nll'][0]:.4f}" if training["nll"] else ""
    return [
        "A model that knows nothing should give each of V tokens the same probability, 1/V. Then every token costs "
        f"the same, whatever comes: -ln (1/V) = ln V. Here ln {V:,} = {uniform:.4f}; {printable(before.name)} costs "
        f"{before.nll:.4f}{first}. For the {50257:,} tokens of GPT-2 it is ln {50257:,} = {math.log(50257):.2f}.",
        "So the first number that a training prints is a test of the program, before anything is learned:",
        _defined(columns, [
            ("near ln V", f"the initial logits are near 0, as they should be (here {before.nll - uniform:+.3f} away)"),
            ("far above", "the initial logits are too large, and the model is sure of what it cannot know"),
            ("far below", "the answer is in the input (a target that was not shifted), or V is not what you think"),
            ("exactly ln V", "fine at step 1; after 100 steps it means that nothing is learned"),
        ]),
    ]


def _defined(columns: int, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Words and what they mean, in two columns."""
    wide = max(len(word) for word, _ in rows) + 4
    return [line for word, meaning in rows for line in textwrap.wrap(
        meaning, columns - 1, initial_indent=f"  {word}".ljust(wide), subsequent_indent=" " * wide)]


def _weights(names: Names) -> int:
    return sum(rows * columns for rows, columns in shapes(names.vocab_size).values())


def _mean(trace: Trace) -> list:
    number, whole = len(trace.positions), trace.nll * len(trace.positions)
    prices = " + ".join(f"{one.nll:.4f}" for one in trace.positions)
    return [
        f"{printable(trace.name)} takes {number} predictions, the end included. Their prices add up to the price of "
        "the name, and their mean is its loss:",
        [f"  ({prices}) / {number}", f"  = {whole:.4f} / {number} = {trace.nll:.4f}"],
        "A sum would grow with the length: long names would look hard, and would move the weights more than short "
        "ones. The mean is per token, so that names, batches and corpora of any size can be compared, and a learning "
        "rate fits them all. Where a batch has texts of several lengths, add up all prices first and divide by all "
        "tokens once: a mean of means counts a token of a short text more than one of a long text.",
    ]


def _mistakes() -> list:
    usual, rows = -math.log(0.9), []
    for p in (0.9, 0.1, 0.01, 0.001, 0.000001):
        price = -math.log(p)
        mean = (9 * usual + price) / 10
        rows.append((f"{p:.6f}".rstrip("0"), f"{price:.3f}", f"{mean:.3f}", f"{math.exp(mean):.2f}",
                     f"{100 * price / (10 * mean):.0f} %"))
    heads = tuple(map(Column, ("p of the tenth", "its -ln p", "mean of ten", "perplexity", "its share")))
    return [
        "Ten tokens; nine of them were given 0.9. What the tenth was given decides:",
        Table(heads, rows).text(indent="  ").splitlines(),
        "One token that the model all but excluded costs more than the nine others together. This is why a model "
        "does well to keep a little probability for everything, and why one strange document can be seen in the loss "
        "of a whole batch. Its gradient, though, is bounded: p - 1 is never below -1. The price has no limit, the "
        "pull has.",
    ]


def _units(names: Names, trace: Trace) -> list:
    return [
        "Nats are the unit of the natural logarithm. The same number has other names:",
        trace_text.means(trace, names).splitlines()[1:],
        "Perplexity: as unsure as a fair die with so many sides. Bits: as many yes-or-no questions as it would take "
        "on average. Bits per character divide by letters and not by tokens: only so can two models with different "
        "tokens be compared. Take the mean first and the exponential last: a mean of perplexities is another, larger "
        "number.",
    ]


def _gradient(names: Names, trace: Trace, columns: int) -> list:
    one, many, vocabulary = trace.positions[0], len(trace.positions), names.vocabulary
    others = sorted((token for token in range(names.vocab_size) if token != one.target),
                    key=lambda token: -one.probabilities[token])
    rows = [_pulled(one, token, vocabulary) for token in (one.target, *others[:4], *others[-1:])]
    heads = (left("token"), Column("p"), Column("came"), Column("gradient of its logit"), left(""))
    table = Table(heads, rows).text(columns, indent="  ").splitlines()
    return [
        "Training asks of every number: how does the loss change if you grow a little? For a logit z_j, where the "
        f"token y came, the answer is (p_j - [j=y]) / {many}, with [j=y] = 1 for the token that came and 0 for all "
        f"others: what the model said, minus what was true, and the {many} from the mean. At the first position, the "
        "token that came, the four likeliest others and the least likely one:",
        table,
        "Training moves against it: the logit that came goes up, all others go down, each by as much probability as "
        "it had taken. All of it adds up to 0. From the logits the chain rule carries it to every weight:",
        trace_text.matrices(trace).splitlines()[1:],
    ]


def _pulled(one, token: int, vocabulary: Sequence[str]) -> tuple[str, ...]:
    slope = one.gradient[token]
    # the pull of all others together is as long as that of the token that came
    bar = BAR * max(1, round(24 * abs(slope) / max(map(abs, one.gradient))))
    return (vocabulary[token], f"{one.probabilities[token]:.4f}", str(int(token == one.target)), f"{slope:+.4f}",
            f"{bar} {'up' if slope < 0 else 'down'}")


def _training(names: Names, before: Trace, after: Trace, training: dict, columns: int) -> list:
    steps = len(training["nll"])
    if not steps:
        return ["Nothing was trained. `losslab lesson --num-steps 1000 --vectorized` trains for a second or two."]
    wide = 10  # rows
    parts = [training["nll"][round(k * steps / wide):round((k + 1) * steps / wide)] for k in range(wide)]
    means = [(sum(part) / len(part), part) for part in parts if part]
    done, rows = 0, []
    for mean, part in means:
        span = f"{done + 1:,} to {done + len(part):,}" if len(part) > 1 else f"{done + 1:,}"
        rows.append((span, f"{mean:.4f}", BAR * round(10 * mean)))
        done += len(part)
    trained = "" if training["loss"] == "cross_entropy" else f" with {training['loss']}"
    made = ", ".join(printable(name) or "(nothing)" for name in training["samples"])
    return [
        f"One name a step: its loss, the way back to every weight, and a small change to each, {steps:,} "
        f"times{trained}. The mean of -ln p over the steps:",
        Table((left("steps"), Column("mean"), left("")), rows).text(heading=False, indent="  ").splitlines(),
        "Names differ more than the model improves from one step to the next, so that a single loss says little. "
        f"{printable(before.name)}, which cost {before.nll:.4f}, costs {after.nll:.4f} now:",
        [trace_text.table(after, names, columns)],
        f"Names that this model makes up, at temperature 0.5: {made}.",
        "With more steps it learns better what a name looks like: `losslab lesson --num-steps 1000 --vectorized`.",
    ][: 5 if steps < NUM_STEPS else 4]


def _others(trace: Trace, columns: int) -> list:
    many, rows = len(trace.positions), []
    for name in losses.LOSSES:
        found = [losses.evaluated(name, one.logits, one.target) for one in trace.positions]
        value = math.fsum(loss for loss, _ in found) / many
        slopes = [slope / many for _, gradient in found for slope in gradient]
        first = found[0][1][trace.positions[0].target] / many
        rows.append((name, f"{value:.4f}", f"{first:+.4f}", f"{math.hypot(*slopes):.4f}"))
    heads = (left("loss"), Column(f"of {printable(trace.name)}"), Column("gradient of the first target's logit"),
             Column("length of all"))
    rules = Table((left("loss"), left("value"), left("gradient of z_j")),
                  [(name, each.value, each.gradient) for name, each in losses.LOSSES.items()])
    return [
        "The same logits, judged by four losses of the family, as `losslab losses NAME` defines them:",
        Table(heads, rows).text(indent="  ").splitlines(),
        rules.text(indent="  ").splitlines(),
        "What they want can be seen from where their gradient is 0:",
        _defined(columns, [(name, each.rest) for name, each in losses.LOSSES.items()]),
        "The values cannot be compared with each other: they have different units and different least values. That "
        "is why losslab trains with any loss and measures with one, -ln p on text that was not trained on. `losslab "
        "lesson --loss mse` trains this model with another, and `losslab compare cross_entropy squentropy` asks "
        "which makes the better model.",
    ]
