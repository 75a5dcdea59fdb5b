"""A ladder: the arms of a study at several sizes and budgets of tokens, each rung a study by itself."""

from losslab.ladder.conduct import climb, estimated
from losslab.ladder.folder import NAME
from losslab.ladder.reading import again
from losslab.ladder.rungs import Rung, rungs
from losslab.ladder.settings import Ladder, Size

__all__ = ["NAME", "Ladder", "Rung", "Size", "again", "climb", "estimated", "rungs"]
