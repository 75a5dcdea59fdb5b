"""A study: a question, arms, seeds and a tuning budget, in a file; its runs, looks and verdict, in a folder."""

from losslab.study.comparing import compare
from losslab.study.conducting import conduct, trials
from losslab.study.file import Arm, Study, from_dict, read
from losslab.study.folder import VERDICT

__all__ = ["VERDICT", "Arm", "Study", "compare", "conduct", "from_dict", "read", "trials"]
