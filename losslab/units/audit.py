"""The audit: every rule over every claim, and one finding a claim."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from losslab.units import accuracies, arithmetic, benchmarks, definitions, differences, facts, powers, quantities
from losslab.units.claims import Claim

# each gives the checks of one claim
OF_NUMBERS = (arithmetic.possible, arithmetic.exponential, arithmetic.per_byte, arithmetic.counts,
              arithmetic.below_uniform)  # of a row of columns, or of a phrase
OF_ITEMS = (accuracies.fraction, accuracies.whole_items, accuracies.error_of_a_share, accuracies.above_chance)
OF_TEXT = (
    definitions.power_of_bits, definitions.mean_of_perplexities, definitions.always_comparable, definitions.equations,
    powers.power_law, facts.compressors, facts.chinchilla,
    benchmarks.core, benchmarks.gpt2_loss, benchmarks.gpt2_bits, benchmarks.lambada,
)  # fmt: skip
LABELS = OK, WRONG, NOT_CHECKED = "ok", "wrong", "not checked"
NOTHING = "nothing in it could be checked; a column for each number can be, and only numbers of one text are compared"


@dataclass(frozen=True)
class Finding:
    """Whether a claim can be true, and the arithmetic."""

    name: str
    label: str
    """`ok`: something was checked, and all of it can be true; `wrong`: something cannot; or `not checked`."""
    message: str

    @property
    def ok(self) -> bool | None:
        """True, False, or None where nothing was checked."""
        return None if self.label == NOT_CHECKED else self.label == OK

    def to_dict(self) -> dict:
        return asdict(self) | {"ok": self.ok}


def audit(claims: Sequence[Claim]) -> list[Finding]:
    """One finding a claim, in their order.

    A claim is refused only where its own numbers, another row's, or a known fact contradict it, each number taken
    as rounded or cut off at its last written digit. Two numbers are held against each other only where they are said
    of one score: in columns of one row that name the same text (`val_loss` and `val_ppl`, `loss` and `perplexity`) or
    in one phrase with nothing between them that may name another.

    Example:
        >>> from losslab.units.claims import table
        >>> rows = [{"loss": 1.83, "perplexity": 3.8}, {"val_loss": 2.34, "lambada_ppl": 72.3}]
        >>> for finding in audit(table(rows).claims):
        ...     print(finding.label, finding.message[:33])
        wrong exp(1.83) = 6.23, not a perplexit
        not checked nothing in it could be checked; a
    """
    rows = [row for claim in claims for row in claim.rows()]
    return [_finding(claim, rows) for claim in claims]


def _finding(claim: Claim, table: Sequence[Claim]) -> Finding:
    rows = claim.rows()
    phrases = [replace(claim, columns=numbers, named={}) for numbers in quantities.phrases(claim.text)]
    checks = [check for rule in OF_NUMBERS for row in rows + phrases for check in rule(row)]
    checks += [check for rule in OF_ITEMS for row in rows for check in rule(row)]
    checks += [check for rule in OF_TEXT for check in rule(claim)]
    checks += [check for row in rows for check in differences.improvement(row, table)]
    wrong = [check.message for check in checks if not check.ok]
    said = list(dict.fromkeys(wrong or [check.message for check in checks]))
    return Finding(claim.name, WRONG if wrong else OK if checks else NOT_CHECKED, "; ".join(said) or NOTHING)
