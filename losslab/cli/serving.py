"""serve: the live page of a store."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import Json, Whole
from losslab.cli.speech import OK, show, tell
from losslab.config.numbers import check
from losslab.words import extra

HIGHEST_PORT = 65_535


@app.command(sort_key=8)
def serve(
    store: Path = Path("runs"), *, port: Whole = 8765, host: str = "127.0.0.1",
    name: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    allow_writes: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
) -> int:
    """Show the runs of a store in a browser: live curves, verdicts, anatomy, calculators. Ctrl-C ends it.

    Only this machine can reach it, unless --host says otherwise; then the environment variable LOSSLAB_TOKEN must hold
    a token, which browsers ask for as the password.

    Parameters
    ----------
    store
        A store of runs, or a folder with several.
    port
        Where it listens; 0 takes any that is free.
    host
        The address of this machine at which it listens.
    name
        A further name by which browsers call this machine; may be repeated.
    allow_writes
        Let the page tag and remove runs.
    """
    check("--port", port, 0, HIGHEST_PORT, "the highest port that there is")
    try:
        from losslab.serve import application, guard
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"`losslab serve` needs the extra web ({error.name} is missing); {extra('web')}"
                                  ) from None
    token = os.environ.get(guard.TOKEN, "")
    guard.check(host, token)
    names = (*guard.LOOPBACK, host.lower(), *map(guard.check_name, name))
    page = application.application(store, names=names, token=token, allow_writes=allow_writes)
    waiting = application.listening(host, int(port))
    place = waiting.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{place}"
    count = sum(1 for _ in page.app.state.site.catalog.rows())
    show({"address": address, "store": str(store), "runs": count, "allow_writes": allow_writes},
         f"{store}, {count:,} runs: {address}", json)
    tell("Ctrl-C ends it")
    try:
        application.run_server(page, waiting)
    except KeyboardInterrupt:
        pass
    return OK
