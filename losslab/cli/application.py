"""The application that every verb joins."""

from cyclopts import App

from losslab import __version__

app = App(
    name="losslab",
    version=__version__,
    help="Does this training loss make a better language model? Answers with an interval.",
    help_epilogue="Exit codes: 0 ok, 2 user error, 3 missing extra, 4 diverged, 5 stopped and resumable.",
)
runs_app = App(name="runs", help="List, show, tag and remove runs.")
app.command(runs_app)
