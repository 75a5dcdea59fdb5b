"""The audit: every rule over every claim, and one finding a claim."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from losslab.units import accuracies, arithmetic, definitions, differences, facts, scaling_claims
from losslab.units.claims import Claim

OF_ONE_ROW = (
    arithmetic.possible, arithmetic.exponential, arithmetic.per_byte, arithmetic.counts, arithmetic.below_uniform,
)  # fmt: skip
OF_A_TABLE = (
    accuracies.fraction, accuracies.whole_items, accuracies.error_of_a_share, accuracies.above_chance,
    differences.improvement, scaling_claims.power_law,
    definitions.power_of_bits, definitions.mean_of_perplexities, definitions.always_comparable, definitions.equations,
    facts.compressors, facts.core, facts.gpt2_loss, facts.gpt2_bits, facts.lambada, facts.chinchilla,
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
    """
    return [_finding(claim, claims) for claim in claims]


def _finding(claim: Claim, table: Sequence[Claim]) -> Finding:
    checks = [check for rule in OF_ONE_ROW for check in rule(claim)]
    checks += [check for rule in OF_A_TABLE for check in rule(claim, table)]
    wrong = [check.message for check in checks if not check.ok]
    said = list(dict.fromkeys(wrong or [check.message for check in checks]))
    return Finding(claim.name, not wrong, "; ".join(said) or "nothing in it could be checked")
