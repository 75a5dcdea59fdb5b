"""Runs that are written down -> one `Comparison`: what a command says, and what a page shows.

Example:
    >>> from losslab import comparison, records
    >>> found = comparison.compare(records.find(["runs"]))  # doctest: +SKIP
    >>> found.verdict, found.arm("squentropy").difference.value  # doctest: +SKIP
"""

from losslab.comparison.arms import Arm
from losslab.comparison.comparing import Comparison, compare
from losslab.comparison.judging import judged

__all__ = ["Arm", "Comparison", "compare", "judged"]
