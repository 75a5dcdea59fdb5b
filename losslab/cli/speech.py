"""How verbs speak: results on standard output, everything else on standard error."""

import json as jsons
import sys

OK, USER_ERROR, MISSING_EXTRA, DIVERGED, STOPPED = 0, 2, 3, 4, 5


def tell(text: str) -> None:
    """A line for people: on standard error, so that standard output stays the result's."""
    print(text, file=sys.stderr, flush=True)


class Ticker:
    """One line that is written over on a terminal; elsewhere a plain line now and then."""

    def __init__(self, every_seconds: float = 15.0):
        self.every_seconds, self.last = every_seconds, 0.0

    def __call__(self, text: str) -> None:
        import time

        if sys.stderr.isatty():
            end = "\n" if ", 0 s left" in text else ""
            print(f"\r\033[K{text}", file=sys.stderr, flush=True, end=end)
        elif time.monotonic() - self.last >= self.every_seconds:
            self.last = time.monotonic()
            tell(text)


def run_lines():
    """Progress of a single run: rate and remaining time, every second or so."""
    import time

    state = {"last": 0.0, "first": None}

    def show(line: dict) -> None:
        now = time.monotonic()
        if state["first"] is None:
            state["first"] = now, line["step"]
        if "tune/nll" not in line and now - state["last"] < 2 and line["step"] < line["num_steps"]:
            return
        state["last"] = now
        begun, first = state["first"]
        rate = (line["step"] - first) / max(now - begun, 1e-9)
        left = f", {(line['num_steps'] - line['step']) / rate:.0f} s left" if rate > 0 else ""
        values = "  ".join(f"{k} {line[k]:.4f}" for k in ("train/objective", "train/nll", "tune/nll") if k in line)
        tokens_per_second = line["tokens"] / max(line["seconds"], 1e-9)
        tell(f"step {line['step']}/{line['num_steps']}  {values}  {tokens_per_second:,.0f} tokens/s{left}")

    return show


def score_text(score: dict) -> str:
    from losslab.stats import Score

    return f"{Score.from_dict(score)} {score['unit']}"


def show(document: dict, text: str, as_json: bool) -> None:
    print(jsons.dumps(document, indent=1, ensure_ascii=False, default=str) if as_json else text)


def command_line() -> str:
    import shlex

    return shlex.join(["losslab", *sys.argv[1:]])
