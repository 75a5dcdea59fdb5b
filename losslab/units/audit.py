"""The audit: every rule over every claim, and one finding a claim."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from losslab.units import accuracies, arithmetic, benchmarks, definitions, differences, facts, powers
from losslab.units.claims import Claim

RULES = (  # each gives the checks of one claim; that of improvements sees the other claims too
    arithmetic.possible, arithmetic.exponential, arithmetic.per_byte, arithmetic.counts, arithmetic.below_uniform,
    accuracies.fraction, accuracies.whole_items, accuracies.error_of_a_share, accuracies.above_chance,
    definitions.power_of_bits, definitions.mean_of_perplexities, definitions.always_comparable, definitions.equations,
    powers.power_law, facts.compressors, facts.chinchilla,
    benchmarks.core, benchmarks.gpt2_loss, benchmarks.gpt2_bits, benchmarks.lambada,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Whether a claim can be true, and the arithmetic."""

    name: str
    ok: bool
    message: str

    def to_dict(self) -> dict:
        return asdict(self)


def audit(claims: Sequence[Claim]) -> list[Finding]:
    """One finding a claim, in their order.

    A claim is refused only where its own numbers, another row's, or a known fact contradict it, each number taken
    as rounded or cut off at its last written digit.

    Example:
        >>> from losslab.units.claims import table
        >>> for finding in audit(table([{"loss": 1.83, "perplexity": 3.8}, {"loss": 1.83, "perplexity": 6.23}]).claims):
        ...     print(finding.ok, finding.message)
        False exp(1.83) = 6.23, not a perplexity of 3.8 (2^1.83 = 3.56 is of the wrong base); 3.8 is a loss of 1.34
        True exp(1.83) = 6.23, and the perplexity is 6.23
    """
    return [_finding(claim, claims) for claim in claims]


def _finding(claim: Claim, table: Sequence[Claim]) -> Finding:
    checks = [check for rule in RULES for check in rule(claim)] + list(differences.improvement(claim, table))
    wrong = [check.message for check in checks if not check.ok]
    said = list(dict.fromkeys(wrong or [check.message for check in checks]))
    return Finding(claim.name, not wrong, "; ".join(said) or "nothing in it could be checked")
