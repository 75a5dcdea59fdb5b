"""The names of the arms of a study."""

from collections.abc import Mapping, Sequence

from losslab import formula
from losslab.objective import label as text_of


def names_of(arms: Sequence) -> list[str]:
    """Each its label; else its formula, with its own settings where another arm without a label has that, too."""
    formulas = [text_of(formula.parse(arm.loss)) for arm in arms]
    unlabelled = [text for text, arm in zip(formulas, arms, strict=True) if not arm.label]
    shared = {text for text in unlabelled if unlabelled.count(text) > 1}
    return [arm.label or (text + _ending(arm.settings) if text in shared else text)
            for text, arm in zip(formulas, arms, strict=True)]


def _ending(settings: Mapping[str, object]) -> str:
    told = ", ".join(f"{key.rpartition('.')[2]} {value:g}" if isinstance(value, float) else
                     f"{key.rpartition('.')[2]} {value}" for key, value in settings.items())
    return f" ({told})" if told else ""
