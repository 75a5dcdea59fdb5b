"""The tables of docs/trust.md: from the cheating loss files themselves, and from benchmarks/results/faults.json.

    python benchmarks/faults_page.py     # writes the tables again, and measures nothing
"""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "trust.md"
CHEATS = ROOT / "tests" / "cheats"
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
CLASSES = {
    "a": "They forge the measurement or the record",
    "b": "They break a budget that can be checked",
    "c": "They train otherwise than specified",
}
ENDS = {
    "measured": "the score is that of the weights it handed in",
    "refused": "not started, with a sentence",
    "failed": "recorded as failed, with a sentence",
    "diverged": "recorded as diverged",
}
NOT_STOPPED = "**not stopped**: the score is that of the weights, and they were trained otherwise"


def cheats() -> list[dict]:
    """Name, class, ending and description of each cheating file, read from the file and not run."""
    found = []
    for path in sorted(CHEATS.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {node.targets[0].id: node.value.value for node in tree.body
                     if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                     and isinstance(node.value, ast.Constant)}  # fmt: skip
        said = ast.get_docstring(tree)
        found.append({"name": path.stem, "class": constants["CLASS"], "ends": constants["ENDS"],
                      "cheat": said.removeprefix("CHEAT: ")})  # fmt: skip
    return found


def cheats_table() -> str:
    """A table for each class."""
    found, text = cheats(), []
    for key, title in CLASSES.items():
        rows = [cheat for cheat in found if cheat["class"] == key]
        text += [f"### ({key}) {title}: {len(rows)}", "", "| file | what it does | what comes of it |", "|---|---|---|"]
        for cheat in rows:
            end = NOT_STOPPED if key == "c" else ENDS[cheat["ends"]]
            text.append(f"| `{cheat['name'].partition('_')[2]}` | {cheat['cheat']} | {end} |")
        text.append("")
    return "\n".join(text).rstrip()


def table(found: dict) -> str:
    """What came of kills, flips and mutated inputs."""
    rows = ["| fault | how many | what came of it |", "|---|---|---|"]
    if works := found.get("kills"):
        every = [kill for came in works.values() for kill in came["kills"]]
        ends, differing, hangs, again = (sum(came[key] for came in works.values())
                                         for key in ("ends", "differing", "hangs", "again"))  # fmt: skip
        rows.append(f"| SIGKILL at a random moment ({_counts([kill['victim'] for kill in every])}) | {len(every):,} in "
                    f"{len(works)} kinds of work, which were completed {ends} times | {differing} of {ends} came "
                    f"to something else, {hangs} hangs; {again} answers of a judge paid for again, at most one for "
                    "each kill |")  # fmt: skip
    if flips := found.get("flips"):
        came = flips["outcomes"]
        rows.append(f"| bits turned over in a file of a run, a study, a ledger or the cache | {flips['flips']:,} | "
                    f"{came.get('silent', 0)} silent changes, {came.get('traceback', 0)} tracebacks; "
                    f"{came.get('said', 0)} said, {came.get('same', 0)} without any effect or repaired |")  # fmt: skip
    if inputs := found.get("inputs"):
        came = inputs["outcomes"]
        wrong = sum(came.get(kind, 0) for kind in ("sentence", "terminal"))
        rows.append(f"| mutated inputs of {inputs['subjects']} kinds | {inputs['inputs']:,} | "
                    f"{came.get('traceback', 0)} tracebacks, {came.get('hang', 0)} hangs, {wrong} unclear sentences; "
                    f"{came.get('refused', 0):,} refused, {came.get('read', 0):,} read |")  # fmt: skip
    text = "\n".join(rows)
    if works:
        text += "\n\n| work | kills | done | otherwise | the kills met |\n|---|---|---|---|---|"
        for name, came in works.items():
            met = "; ".join(sorted({kill["during"] for kill in came["kills"]}))
            text += f"\n| {name} | {len(came['kills'])} | {came['ends']} | {came['differing']} | {met} |"
    if flips:
        text += "\n\n| file | flips | said | same or repaired | silent |\n|---|---|---|---|---|"
        for name, came in flips["by_file"].items():
            text += (f"\n| `{name}` | {sum(came.values())} | {came.get('said', 0)} | {came.get('same', 0)} | "
                     f"{came.get('silent', 0) + came.get('traceback', 0)} |")  # fmt: skip
    if inputs:
        text += "\n\n| input | how many | refused | read | wrong |\n|---|---|---|---|---|"
        for name, came in sorted(inputs["by_subject"].items()):
            good = came.get("refused", 0), came.get("read", 0)
            text += f"\n| {name} | {sum(came.values())} | {good[0]} | {good[1]} | {sum(came.values()) - sum(good)} |"
    return text


def _counts(names: list[str]) -> str:
    words = {"command": "the command alone", "child": "one of its children", "all": "all at once"}
    return ", ".join(f"{names.count(name)} {words[name]}" for name in words)


def write(found: dict) -> None:
    """Put the tables into the page, between their marks."""
    text = PAGE.read_text(encoding="utf-8")
    for name, block in (("cheats", cheats_table()), *([("faults", table(found))] if found else [])):
        text = re.sub(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)",
                      lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)  # fmt: skip
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {})
