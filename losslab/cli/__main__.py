"""`python -m losslab.cli`, as `torchrun -m` wants it."""

from losslab.cli import main

main()
