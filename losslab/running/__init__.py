"""Many runs at once: arms x seeds, planned, estimated and trained in worker processes; finished runs are kept.

Example:
    >>> from losslab import config, running
    >>> planned = running.plan([config.preset("tiny")], [0, 1], "runs")  # doctest: +SKIP
    >>> running.execute(planned, workers=2, threads=1, tell=print, progress=print)  # doctest: +SKIP
"""

from losslab.running.estimate import estimate
from losslab.running.plan import Plan, Tell, plan
from losslab.running.workers import Stopped, Track, execute

__all__ = ["Plan", "Stopped", "Tell", "Track", "estimate", "execute", "plan"]
