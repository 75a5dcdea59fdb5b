"""`python -m losslab.cli`, as `torchrun -m` wants it."""

import os
import sys

# `-m` puts the working directory first on the path, where a file that a loss file has left would be imported later on
sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]

from losslab.cli import main  # noqa: E402

main()
