"""A comparison, a run and a corpus for people. The same facts are in the JSON documents."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from losslab import config as configuration
from losslab import tables
from losslab.cli.speech import score_text, show, tell
from losslab.comparison import Comparison
from losslab.progress import duration
from losslab.records import Record, files
from losslab.records.tags import tags_in
from losslab.tables import Column, Table, left
from losslab.words import printable, printable_lines

DOCUMENTS = ("spec.json", "environment.json", "result.json", "log.jsonl", "tags.json")
SAID_ELSEWHERE = ("train.device", "train.dtype", "data.corpus")  # of the settings: by the machine and the corpus


def comparison(found: Comparison, page: Path, as_json: bool, command: str, figures: Path | None = None) -> None:
    """Print a comparison, and write its page; and its figures into a folder, where one is given."""
    from losslab import report

    page = report.page_at(page)
    document = report.document(found, command=command)
    places = {"report": str(page)} | ({} if figures is None else {"figures": str(figures)})
    verdict(document | places, as_json)  # first: writing may fail
    report.write(document, page)
    written(page, as_json)
    if figures is not None:
        from losslab.report.figures import write

        files = write(document, figures)
        tell(f"figures: {figures}, {len(files)} files; METHODS.md says what was done")


def verdict(document: dict, as_json: bool) -> None:
    """Print the document of a comparison."""
    from losslab import report

    show(document, "" if as_json else printable_lines(report.table(document)), as_json)


def written(page: str | Path, as_json: bool) -> None:
    """Say where the page of a comparison is."""
    if not as_json:
        print(printable_lines(f"\nreport: {page}"), flush=True)


def run(record: Record) -> str:
    """The sections of a run folder, each left out where it has nothing to say."""
    near, own = nearest_preset(record.spec["config"])
    settings = [(name, value) for name, value in own.items()] or [("all", f"as the preset {near} has them")]
    found = problems(record)
    sections = [
        ("run", _about(record)),
        (f"settings that differ from the preset {near}", settings),
        ("scores", _scores(record)),
        ("fine-tuning", fine_tuning(record)),
        ("cost", _cost(record.result.get("cost", {}))),
        ("machine", list(record.environment.items())),
        ("files", _files(record)),
        ("problems found", list(enumerate(found, start=1)) or [("none", _checked(record))]),
    ]
    return "\n\n".join(f"{title}\n{_pairs(pairs)}" for title, pairs in sections if pairs)


def corpus(about: dict) -> str:
    """What `Corpus.describe` found: its facts, its splits as a table, and how it begins."""
    apart = ("splits", "sample", "instructions", "variety")
    facts = [(name.replace("_", " "), value) for name, value in about.items() if name not in apart
             and value not in (None, {})]
    splits = about.get("splits", {})
    columns = list(dict.fromkeys(name for counts in splits.values() for name in counts))
    table = Table((left("split"), *(Column(name.replace("_", " ")) for name in columns)),
                  [(split, *(_number(counts.get(name)) for name in columns)) for split, counts in splits.items()])
    sample = "\n".join(f"  {line}" for line in printable_lines(about.get("sample", "")).splitlines())
    told = f"{_instructions(about)}\n\n" if "instructions" in about else ""
    return f"corpus\n{_pairs(facts)}\n\n{told}splits\n{table.text(indent='  ')}\n\nbegins\n{sample}"


def _instructions(about: dict) -> str:
    """What was counted in instruction data, and its verbs."""
    from losslab.report import rings

    counted, variety = about["instructions"], about["variety"]
    facts = [("template", counted["template"])]
    facts += [(name.replace("_", " "), _number(counted[name])) for name in (
        "rows", "examples", "left_out", "duplicates", "same_prompt")]
    facts += [(f"left out: {reason}", _number(count)) for reason, count in counted["left_out_because"].items()]
    facts.append(("with input", f"{counted['with_input']:,} ({counted['share_with_input']:.1%})"))
    facts += [(f"words of {'an' if name == 'answer' else 'a'} {name}", ", ".join(
        f"{key} {value:,.4g}" for key, value in spread.items())) for name, spread in counted["words"].items()]
    table = Table((left("verb"), Column("rows"), left("objects")), [
        (verb["verb"], _number(verb["count"]), ", ".join("{object} {count}".format(**each) for each in verb["objects"]))
        for verb in variety["verbs"]])
    return f"instructions\n{_pairs(facts)}\n\nverbs and their objects\n{table.text(indent='  ')}\n\n" \
           f"{rings.sentence(variety)}"


def nearest_preset(config: dict) -> tuple[str, dict]:
    """The preset, alone or with another recipe, with the fewest differences from a run's settings; and those."""
    own = {name: value for name, value in configuration.flatten(config).items() if name not in SAID_ELSEWHERE}
    best = None
    presets = {name: configuration.preset(name) for name in configuration.PRESETS}
    presets |= {f"{name} with the recipe {recipe}": configuration.combined(parts.size, recipe, parts.data)
                for name, parts in configuration.PRESETS.items() for recipe in configuration.RECIPES
                if recipe != parts.recipe}
    for name, preset in presets.items():
        theirs = configuration.flatten(configuration.to_dict(preset))
        differing = {key: value for key, value in own.items() if _plain(value) != _plain(theirs.get(key))}
        if best is None or len(differing) < len(best[1]):
            best = name, differing
    return best


def problems(record: Record) -> list[str]:
    """Sentences about what is not as the run wrote it; reading the record has compared its documents."""
    found = [record.log_damage]
    try:
        tags_in(record.path)
    except (ValueError, OSError) as error:
        found.append(str(error))
    if record.result.get("weights") and record.status == "finished":
        found.append(_weights(record))
    if record.status == "failed":
        found.append(f"the run failed: {record.result.get('error', 'it does not say why')}")
    return [printable(sentence) for sentence in found if sentence]


# --- sections ----------------------------------------------------------------------------------

def _about(record: Record) -> list[tuple]:
    corpus, result = record.spec["corpus"], record.result
    origin = record.spec.get("origin")
    diverged = result.get("diverged", {})
    facts = [
        ("folder", record.path), ("status", record.status), ("loss", record.loss), ("seed", record.seed),
        ("condition", record.condition), ("tags", ", ".join(record.tags)),
        ("corpus", corpus["name"] and f"{corpus['name']}, digest {corpus['digest']}"),
        ("tokenizer", corpus["tokenizer"]),
        ("started from weights", record.spec.get("start")),
        ("imported from", origin.get("source") if isinstance(origin, dict) else None),
        ("parameters", _number(result.get("model", {}).get("num_params"))),
        ("steps", result.get("step") and f"{_number(result['step'])} of {_number(result.get('num_steps'))}"),
        ("training tokens", _number(result.get("tokens"))),
        ("diverged", diverged and f"at step {diverged.get('step')}: the objective was {diverged.get('value')}"),
        ("losslab", record.spec.get("version")),
    ]
    return [(name, value) for name, value in facts if value not in (None, "", {}, "-")]


def _scores(record: Record) -> list[tuple]:
    counts = record.result.get("counts", {})
    found = [(name, score_text({"unit": ""} | score)) for name, score in record.scores.items()]
    if counts:
        found.append(("measured on", ", ".join(f"{_number(counts[name])} {name}" for name in counts)))
    return found


def fine_tuning(record: Record) -> list[tuple]:
    """Before and after, where the run started from weights."""
    from losslab.comparison import fine_tuned
    from losslab.report.fine_tuning import sentence

    told = [(row["which"], sentence([row])) for row in fine_tuned.rows([record])]
    why_not = record.result.get("fine_tuning", {}).get("no_old") if told else None
    return told + ([("old", str(why_not))] if why_not else [])


def _cost(cost: dict) -> list[tuple]:
    seconds, rate = cost.get("train_seconds"), cost.get("tokens_per_second")
    memory, ratio = cost.get("peak_memory_bytes"), cost.get("loss_cost_ratio")
    facts = [("training", seconds and duration(seconds)), ("tokens per second", rate and f"{rate:,.0f}"),
             ("peak memory", memory and f"{memory / 1e6:,.0f} MB"),
             ("loss time / cross-entropy time", ratio and f"{ratio:.2f}")]
    return [(name, value) for name, value in facts if value]


def _files(record: Record) -> list[tuple]:
    found = []
    for name in DOCUMENTS:
        try:
            data = files.read_bytes(record.path / name)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            found.append((name, str(error)))
            continue
        count = data.count(b"\n")
        lines = f", {count:,} lines" if name == "log.jsonl" else ""
        found.append((name, f"{len(data):,} bytes{lines}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"))
    weights = record.result.get("weights")
    if record.result.get("checkpoint"):
        path = _weights_file(record)
        found.append((str(path.relative_to(record.path)),
                      f"sha256 {weights[:16]} when it was measured" if weights else "no sha256 recorded"))
    return found


def _checked(record: Record) -> str:
    if record.spec.get("format", 1) < 2:
        return "this run is older than checksums; its values were checked, changes of digits cannot be seen"
    return "every document is as it was written"


def _weights_file(record: Record) -> Path:
    return record.path / "checkpoint" / record.result.get("checkpoint", "") / "model.safetensors"


def _weights(record: Record) -> str | None:
    """Whether the weights that were measured still lie there."""
    path = _weights_file(record)
    most = 8 * int(record.result.get("model", {}).get("num_params") or 0) + (1 << 20)
    try:
        with os.fdopen(files.descriptor(path, os.O_RDONLY), "rb") as file:
            if os.fstat(file.fileno()).st_size > most:
                return f"{path} is far larger than the model that was measured"
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return f"{path} is missing: the weights that were measured are not kept"
    except (OSError, ValueError) as error:
        return str(error)
    return None if digest == record.result["weights"] else f"{path} is not what was measured: its sha256 differs"


# --- values ------------------------------------------------------------------------------------

def _pairs(pairs: Iterable[tuple]) -> str:
    return tables.pairs((name, _text(value)) for name, value in pairs)


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _number(value) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
