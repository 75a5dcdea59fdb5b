"""A study: a question, arms, seeds and a tuning budget, in a file; its runs, looks and verdict, in a folder."""

from losslab.study.asking import of_file, of_losses
from losslab.study.comparing import compare
from losslab.study.conducting import conduct, prepared, search, tuning
from losslab.study.definition import Arm, Study
from losslab.study.file import from_dict, read
from losslab.study.folder import VERDICT
from losslab.study.ranking import agree, best
from losslab.study.verdict import again

__all__ = ["VERDICT", "Arm", "Study", "again", "agree", "best", "compare", "conduct", "from_dict", "of_file",
           "of_losses", "prepared", "read", "search", "tuning"]
