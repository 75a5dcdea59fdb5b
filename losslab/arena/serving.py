"""The verbs of a submitter as tools for programs, over the Model Context Protocol; needs the extra `agents`.

A tool calls what the command of the same name calls. What trains is a job: its tool returns a handle at once, since a
test outlasts the patience of a client.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from pydantic import Field, ValidationError

import losslab
from losslab.arena import challenge as challenges
from losslab.arena import game, pages, verbs
from losslab.arena.challenge import Challenge
from losslab.arena.jobs import Jobs
from losslab.arena.workspace import Workspace, seen
from losslab.untrusted import one_line
from losslab.words import nearest

MOST_WAIT = 50  # seconds of one call of `status`
COMMAND = re.compile(r"`losslab arena ([a-z]+)[^`]*`")
RULES = """You improve one training loss of a language model for the challenge {name}. All else is fixed.

Call `new` for a workspace, `show` for its statement and file, `edit` and `undo` to change the file, `check` (free) to
try it, `test` to train with it on {visible} seeds (you have {tests}), and `submit` to put a finished test on the board,
trained on {hidden} other seeds that nobody but the host knows (you have {submissions}). `test` and `submit` return a
handle at once: ask `status` with it, and wait a minute or more between two questions. `cancel` ends one. Edits, undos
and tests are actions, and you have {actions}; a refused edit costs nothing. A difference below 0 is better than
cross-entropy, and only the board says whether it is shown.

What the file may hold: {holds}"""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$", description="Name of a workspace.")]
Handle = Annotated[str, Field(description="What `test` or `submit` returned, such as test-1.")]


class Changed(TypedDict):
    """What a change of the file gave."""

    status: str
    reason: str
    text: str
    left: Annotated[dict[str, int], Field(description="Of the budget: actions, tests, submissions.")]


class Begun(TypedDict):
    """A job that was started."""

    handle: str
    verb: str
    workspace: str


class State(TypedDict):
    """How far a job is."""

    handle: str
    verb: str
    workspace: str
    status: Annotated[str, Field(description="running, or finished, refused, diverged, killed, disqualified, failed, "
                                             "cancelled.")]
    reason: Annotated[str, Field(description="Why it did not finish; empty otherwise.")]
    said: Annotated[list[str], Field(description="What it last told, one sentence each.")]
    result: Annotated[dict[str, Any] | None, Field(description="What it gave: of a test `test`, `difference` from "
                                                               "cross-entropy (value, low, high) and `left`.")]


class Server(MCPServer):
    """One sentence for every mistake of a client, as on the command line."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context=None):
        schemas = {tool.name: tool.input_schema.get("properties", {}) for tool in await self.list_tools()}
        if name not in schemas:
            raise ToolError(f"there is no tool {name[:40]!r}{nearest(name, schemas)}; the tools are "
                            f"{', '.join(schemas)}")
        if unknown := next((key for key in arguments if key not in schemas[name]), None):
            raise ToolError(f"{name} takes no {unknown[:40]!r}{nearest(unknown, schemas[name])}; it takes "
                            f"{', '.join(schemas[name]) or 'nothing'}")
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValueError | OSError) and not isinstance(cause, ValidationError):
                raise ToolError(one_line(_in_tools(str(cause)))) from None
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_invalid(name, error.__cause__)) from None
            raise


def _in_tools(sentence: str) -> str:
    """A sentence that names a command, with the tool of the same name.

    Example:
        >>> _in_tools("the budget is spent; `losslab arena log mine` shows on what")
        'the budget is spent; `log` shows on what'
    """
    return COMMAND.sub(r"`\1`", sentence)


def _invalid(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    came = "" if first["type"] == "missing" else f", got {first['input']!r:.60}"
    return one_line(f"{where} of {name}: {first['msg'][:1].lower()}{first['msg'][1:]}{came}")


def made(name: str | Path, folder: Path, jobs: Jobs) -> Server:
    """The server of a challenge, whose workspaces are folders in `folder`.

    Raises:
        ValueError: for an unknown challenge, or a folder that is none.
    """
    challenge = challenges.read(name)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give one in which the workspaces are to be made")
    server = Server(f"losslab-arena-{challenge.name}", instructions=rules(challenge), version=losslab.__version__,
                    log_level="WARNING")
    for each in (*_changing(challenge, folder, jobs), *_working(challenge, folder, jobs)):
        server.tool()(each)
    return server


def serve(name: str | Path, folder: Path) -> None:
    """Answer over standard input and output until that closes; jobs that still run are cancelled then."""
    jobs = Jobs()
    try:
        made(name, folder, jobs).run("stdio")
    finally:
        jobs.close()


def rules(challenge: Challenge) -> str:
    """What a program is told before it plays."""
    budget = challenge.budget
    return RULES.format(name=challenge.name, visible=challenge.visible_seeds,
                        hidden=challenge.hidden_seeds, tests=budget.tests, submissions=budget.submissions,
                        actions=budget.actions, holds=pages.holds(challenge))


def _seen(challenge: Challenge, folder: Path, name: str) -> Workspace:
    """A workspace of this server: of its challenge alone."""
    found = seen(folder / name)
    if found.challenge.digest != challenge.digest:
        raise ValueError(f"{name} is a workspace of {found.challenge.name} {found.challenge.digest}, and these tools "
                         f"play {challenge.name} {challenge.digest}; make another with `new`")
    return found


# --- the tools ---------------------------------------------------------------------------------

def _changing(challenge: Challenge, folder: Path, jobs: Jobs) -> tuple:
    def new(workspace: Name) -> dict[str, Any]:
        """Make a workspace; it stands on the board under this name."""
        return verbs.new(challenge, folder / workspace)

    def show(workspace: Name) -> dict[str, Any]:
        """The statement of the challenge, the text of the loss file, and what is left of the budget; never waits."""
        return verbs.show(_seen(challenge, folder, workspace).place)

    def edit(
        workspace: Name,
        how: Annotated[Literal["create", "insert", "replace"], Field(description="The whole file anew, or by line.")],
        text: Annotated[str, Field(description="The new text; empty to remove the lines that it replaces.")],
        lines: Annotated[str, Field(description="Behind which line to insert, such as 9 (0: the beginning), or which "
                                                "to replace, such as 4-7.")] = "",
    ) -> Changed:
        """Change the loss file: one action. A refused edit costs nothing."""
        return verbs.edit(jobs.free(_seen(challenge, folder, workspace).place), how, text, lines)

    def undo(workspace: Name, steps: Annotated[int, Field(ge=1, description="How many edits.")] = 1) -> Changed:
        """Go back to what the loss file was before: one action."""
        return verbs.undo(jobs.free(_seen(challenge, folder, workspace).place), steps)

    def board() -> dict[str, Any]:
        """The rows of the board, best first."""
        return verbs.board(challenge)

    def log(workspace: Name) -> dict[str, Any]:
        """What was done in a workspace; never waits."""
        return verbs.log(_seen(challenge, folder, workspace).place)

    return new, show, edit, undo, board, log


def _working(challenge: Challenge, folder: Path, jobs: Jobs) -> tuple:
    def begun(verb: str, name: str, *arguments) -> Begun:
        job = jobs.begin(verb, folder / name, *arguments)
        return {"handle": job.handle, "verb": verb, "workspace": name}

    def state(handle: str, seconds: float) -> State:
        found = jobs.status(handle, seconds)
        return found | {"reason": _in_tools(found["reason"])}

    def check(workspace: Name) -> State:
        """Try the loss file in a jail: is it a loss, what does it cost, what is its gradient like. Free.

        On a busy machine it may still be running when this returns; `status` then has the rest.
        """
        _seen(challenge, folder, workspace)
        return state(begun("check", workspace)["handle"], MOST_WAIT)

    def test(workspace: Name) -> Begun:
        """Spend a test: train on the visible seeds, and compare with cross-entropy. Returns a handle for `status`."""
        game.may_test(_seen(challenge, folder, workspace))
        return begun("test", workspace)

    def submit(workspace: Name, test: Annotated[int | None, Field(ge=1, description="Number of a finished test; the "
               "last unless given.")] = None) -> Begun:
        """Put a test on the board: it is trained on the hidden seeds. Returns a handle for `status`."""
        game.may_submit(_seen(challenge, folder, workspace), test)
        return begun("submit", workspace, test)

    def status(
        handle: Handle,
        wait_seconds: Annotated[float, Field(ge=0, le=MOST_WAIT, description="Wait so long for its end.")] = 0.0,
    ) -> State:
        """How far a test or a submission is, and what it gave."""
        return state(handle, wait_seconds)

    def cancel(handle: Handle) -> State:
        """End a test or a submission; it stays paid for, and the same call goes on with it."""
        return jobs.cancel(handle)

    return check, test, submit, status, cancel
