"""A study: a question, arms, seeds and a tuning budget, in a file; its runs, looks and verdict, in a folder."""

from losslab.study.comparing import compare
from losslab.study.conducting import conduct, thin, tuning
from losslab.study.file import Arm, Study, from_dict, read
from losslab.study.folder import VERDICT, check
from losslab.study.ranking import agree, best
from losslab.study.verdict import again

__all__ = ["VERDICT", "Arm", "Study", "again", "agree", "best", "check", "compare", "conduct", "from_dict", "read",
           "thin", "tuning"]
