"""Loss files: reading them, the user's list of those that may run, trying them, running them.

`sources`, `check`, `allow` and `tried` execute nothing of a file. `load` does, so only a process may call it that
measures nothing, compares nothing and writes no result.
"""

from losslab.lossfile.allowed import allow as allow
from losslab.lossfile.allowed import check as check
from losslab.lossfile.running import Term as Term
from losslab.lossfile.running import load as load
from losslab.lossfile.source import LossError as LossError
from losslab.lossfile.source import Source as Source
from losslab.lossfile.source import sources as sources
from losslab.lossfile.trial import tried as tried
