"""The audit: every rule over every claim, and one finding a claim."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from losslab.units import accuracies, differences, powers, published, scores
from losslab.units.checks import OK, WARNING, WRONG
from losslab.units.claims import Claim

RULES = (
    scores.possible, scores.agreement, scores.counts, scores.below_uniform,
    accuracies.whole_items, accuracies.error_of_a_share, accuracies.above_chance,
    powers.power_law, powers.least_loss, published.compressors, published.tasks, published.checkpoints,
)  # fmt: skip
NOT_CHECKED = "not checked"
LABELS = (OK, WARNING, WRONG, NOT_CHECKED)
NOTHING = "nothing in it could be checked; `losslab audit --columns` lists what is read, and text is never judged"


@dataclass(frozen=True)
class Finding:
    """Whether a claim can be true, and the arithmetic."""

    name: str
    label: str
    """`ok`: something was checked, and all of it can be true; `warning`: it can be true, but does not say what a reader
    would take it for; `wrong`: something contradicts itself or a definition; or `not checked`."""
    message: str
    claim: str = ""
    """The free text of the row, which is shown and never judged."""

    @property
    def ok(self) -> bool | None:
        """True where it can be true, False where not, None where nothing was checked."""
        return None if self.label == NOT_CHECKED else self.label != WRONG

    def to_dict(self) -> dict:
        return asdict(self) | {"ok": self.ok}


def audit(claims: Sequence[Claim]) -> list[Finding]:
    """One finding a claim, in their order.

    A claim is wrong only where its own numbers, another row that it names, or a definition contradict it, each number
    taken as rounded or cut off at its last written digit. Two numbers are compared only where they are of one score: in
    columns of one row that name the same text (`val_loss` and `val_ppl`, `loss` and `perplexity`).

    Example:
        >>> from losslab.units.claims import table
        >>> rows = [{"loss": 1.83, "perplexity": 3.8}, {"val_loss": 2.34, "lambada_ppl": 72.3}]
        >>> for finding in audit(table(rows).claims):
        ...     print(finding.label, finding.message[:33])
        wrong exp(1.83) = 6.23, not a perplexit
        not checked nothing in it could be checked; `
    """
    rows = [claim.rows() for claim in claims]
    by_name: dict[str, list[Claim]] = {}
    for claim, parts in zip(claims, rows, strict=True):
        by_name.setdefault(claim.name, parts)  # the first of a name
    return [_finding(claim, parts, by_name) for claim, parts in zip(claims, rows, strict=True)]


def _finding(claim: Claim, rows: Sequence[Claim], by_name: dict[str, list[Claim]]) -> Finding:
    checks = [(row, check) for row in rows for rule in RULES for check in rule(row)]
    checks += [(row, check) for row in rows for check in differences.difference(row, by_name)]
    found = {check.label for _, check in checks}
    label = next((label for label in (WRONG, WARNING, OK) if label in found), NOT_CHECKED)
    said = list(dict.fromkeys(f"{row.scope}: " * (len(rows) > 1 and bool(row.scope)) + check.message
                              for top in (WRONG, WARNING, OK) for row, check in checks
                              if check.label == top and (top != OK or label == OK)))
    return Finding(claim.name, label, "; ".join(said) or NOTHING, claim.words.get("claim", ""))
