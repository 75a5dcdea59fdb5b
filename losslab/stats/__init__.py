"""Scores with an error, intervals, paired tests, and the comparison of losses over seeds."""

from losslab.stats.comparison import ArmResult as ArmResult
from losslab.stats.comparison import Difference as Difference
from losslab.stats.comparison import PairedComparison as PairedComparison
from losslab.stats.comparison import unknown as unknown
from losslab.stats.inference import bootstrap_interval as bootstrap_interval
from losslab.stats.inference import equivalence_p as equivalence_p
from losslab.stats.inference import holm as holm
from losslab.stats.inference import paired_p as paired_p
from losslab.stats.inference import t_interval as t_interval
from losslab.stats.paired import compare as compare
from losslab.stats.planning import detectable_difference as detectable_difference
from losslab.stats.planning import power as power
from losslab.stats.planning import seeds_needed as seeds_needed
from losslab.stats.score import Score as Score
from losslab.stats.score import mean_score as mean_score
from losslab.stats.score import ratio_score as ratio_score
from losslab.stats.score import transform_score as transform_score
