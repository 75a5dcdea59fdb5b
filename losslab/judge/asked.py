"""What `losslab judge` is asked for, checked before anything is written or paid for."""

from dataclasses import dataclass
from pathlib import Path

from losslab.config.numbers import check
from losslab.judge.cost import Prices
from losslab.judge.protocols import PAIRWISE, TINYSTORIES
from losslab.judge.writing import Sampling


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; each field is the flag of its name."""

    models: tuple[Path, ...]
    prompts: Path
    protocol: str = "tinystories"
    num_prompts: int = 0
    sampling: Sampling = Sampling()
    repeats: int = 1
    control: int = 0
    url: str | None = None
    judge_model: str | None = None
    folder: Path | None = None
    judge_temperature: float | None = None
    judge_max_tokens: int = 1000
    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 5
    prices: Prices = Prices()
    max_calls: int | None = None
    key_variable: str | None = None
    cache: Path | None = None
    measures: bool = True
    corpus: str | None = None
    benchmarks: Path | None = None
    device: str = "cpu"
    human: Path | None = None
    num_pairs: int = 0
    out: Path | None = None
    dry_run: bool = False
    command: str = ""

    def __post_init__(self):
        check("--repeats", self.repeats, 1, 100)
        check("--control", self.control, 0, 1000, "held-out texts")
        check("--concurrency", self.concurrency, 1, 64, "requests at once")
        check("--timeout", self.timeout, 0.1, 3600, "seconds")
        check("--retries", self.retries, 0, 20)
        check("--judge-max-tokens", self.judge_max_tokens, 16, 100_000)
        check("--num-prompts", self.num_prompts, 0, 1_000_000)
        check("--num-pairs", self.num_pairs, 0, 1_000_000)
        if self.control and (self.control == 1 or self.protocol != TINYSTORIES.name or not (self.url or self.folder)):
            raise ValueError("--control takes two held-out texts or more, a judge (--url or --judge), and the protocol "
                             "tinystories")
        if self.judge_temperature is not None:
            check("--judge-temperature", self.judge_temperature, 0, 2)
        if (self.protocol == PAIRWISE.name or self.human) and len(self.models) < 2:
            what = "--human" if self.human else "the protocol pairwise"
            raise ValueError(f"{what} takes two models; name the other one with --against OTHER")
        if self.protocol == PAIRWISE.name and not (self.url or self.folder or self.human):
            raise ValueError("the protocol pairwise needs a judge; give --url URL, --judge FOLDER, or --human PAGE")
