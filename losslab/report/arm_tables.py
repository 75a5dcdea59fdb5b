"""The tables of a comparison, each in one place for terminal, Markdown and page. They take its document."""

from collections.abc import Sequence

from losslab.report import words
from losslab.tables import Column, Table, left, name

LOSS = name("loss", least=16)
RATIO = "loss time / cross-entropy time"


def arms(document: dict, rows: Sequence[dict], *, page: bool = False) -> Table:
    """What the arms scored and how they differ; a page shows one error more, and the verdict as a word."""
    in_bits = document["measure"].replace("nll", "bits_per_byte")

    def row(arm: dict) -> tuple[str, ...]:
        found, bits = arm["difference"] or {}, arm["scores"].get(in_bits)
        is_baseline = arm["name"] == document["baseline"]
        return (
            arm["name"], words.score(arm["scores"].get(document["measure"])) if arm["scores"] else arm["status"],
            "baseline" if is_baseline else words.difference(arm["difference"]), words.p_value(found.get("p_holm")),
            words.score(bits, n=False) if page else words.number(bits and bits["value"]), str(len(arm["seeds"])),
            words.outcome(arm) if page else arm["verdict"])

    return Table((LOSS, Column("nll", "nats/token"), Column("difference [95 % interval]"), Column("p (Holm)"),
                  Column("bits/byte"), Column("seeds"), left("verdict")), list(map(row, rows)))


def seeds(document: dict) -> Table:
    """The nll of every seed of the arms that are drawn, or what became of it."""
    shown = words.seeds(document)
    return Table((LOSS, *(Column(f"seed {seed}") for seed in shown)),
                 [(arm["name"], *(words.of_seed(arm, seed) for seed in shown)) for arm in document["arms"]])


def scores(document: dict, *, n: bool = True) -> Table:
    """Every score, a column each; on a page without n, with temperatures and distances to a known entropy."""
    units = {key: score["unit"] for arm in reversed(document["arms"]) for key, score in arm["scores"].items()}
    names = list(dict.fromkeys(key for arm in document["arms"] for key in arm["scores"]))
    columns = [LOSS, *(Column(key, "" if n else units[key]) for key in names)]
    rows = [[arm["name"], *(words.score(arm["scores"].get(key), n=n) for key in names)] for arm in document["arms"]]
    if not n:
        for arm, row in zip(document["arms"], rows, strict=True):
            for i, key in enumerate(names, start=1):
                if key.startswith("nll_calibrated") and arm["scores"]:
                    row[i] = row[i], f"temperature {words.number(arm['temperature'], 3)}"
        if document["corpus"]["floor_bits_per_byte"] is not None:
            columns.append(Column("distance to the floor", "bits/byte"))
            for arm, row in zip(document["arms"], rows, strict=True):
                row.append(words.score(arm["distance_to_floor"], n=False))
    return Table(columns, rows)


def costs(document: dict) -> Table:
    """Medians over seeds."""
    titles = ("tokens/s", "training time", "peak memory", "loss alone", "cross-entropy alone", RATIO)
    return Table((LOSS, *map(Column, titles)), [
        (arm["name"], words.number(cost["tokens_per_second"], 3), words.duration(cost["train_seconds"]),
         words.size(cost["peak_memory_bytes"]), words.duration(cost["loss_seconds"]),
         words.duration(cost["cross_entropy_seconds"]), words.ratio(cost["loss_cost_ratio"]))
        for arm in document["arms"] for cost in [arm["cost"]]])


def brief_costs(document: dict) -> Table:
    return costs(document).only("loss", "tokens/s", "training time", "peak memory", RATIO)


def curves(document: dict) -> Table:
    """At most twelve points of each learning curve, the last among them."""
    rows = []
    for arm in document["arms"]:
        curve, last = arm["curve"], len(arm["curve"]["tokens"]) - 1
        for i in sorted({round(i * last / 11) for i in range(12)}) if last >= 0 else []:
            shown = (words.number(curve[key][i]) for key in ("mean", "low", "high"))
            rows.append((arm["name"], f"{curve['tokens'][i]:,}", *shown))
    return Table((LOSS, *map(Column, ("training tokens", "mean", "lowest", "highest"))), rows)


def quantiles(document: dict) -> Table:
    """The perplexity of single documents, from the easiest to the hardest; without a row where it is not known."""
    arms = [arm for arm in document["arms"] if arm["document_perplexity"]]
    shown = list(dict.fromkeys(q for arm in arms for q in arm["document_perplexity"]))
    return Table((LOSS, *(Column(f"{100 * float(q):g} %") for q in shown)),
                 [(arm["name"], *(words.number(arm["document_perplexity"].get(q), 4) for q in shown)) for arm in arms])


def splits(corpus: dict) -> Table:
    counts = ("documents", "tokens", "bytes")
    return Table((left("split"), *map(Column, counts)),
                 [(name, *(words.value(split[key]) for key in counts)) for name, split in corpus["splits"].items()])


def runs(document: dict) -> Table:
    """Every run folder of the arms that are drawn."""

    def row(arm: dict, run: dict) -> tuple:
        end, error = run["diverged"], run["error"]
        said = [f"objective is {end.get('value')} at step {end.get('step')}"] if end else []
        said += [str(error)] if error else []
        return ((arm["name"], arm["condition"]), str(run["seed"]), run["status"], words.value(run["step"]),
                words.number(run["nll"]), (run["path"], *said))

    return Table((LOSS, *map(Column, ("seed", "status", "steps", "nll")), left("folder")),
                 [row(arm, run) for arm in document["arms"] for run in arm["runs"]])
