"""The verbs as tools for programs, driven by the client of the library."""

import asyncio
import os
import sys

import pytest
from arena_places import place as place
from test_arena_game import SMALL

from losslab.arena import challenge, jobs, verbs, workspace

mcp = pytest.importorskip("mcp", reason="needs the extra `agents`")
TINY = SMALL.replace("[budget]", "[budget]\ntests = 1\nactions = 6").replace("tokens = 6_000", "tokens = 2_048")


def played(client, game):
    """Run a game with a client; `call` gives what a tool returned, or the sentence of its error."""

    async def whole():
        async with client as connected:
            async def call(tool, **arguments):
                found = await connected.call_tool(tool, arguments)
                return found.content[0].text if found.is_error else found.structured_content

            await game(connected, call)

    asyncio.run(whole())


def test_the_tools_are_typed_and_a_mistake_is_one_sentence_with_its_remedy(place):
    from losslab.arena import serving

    (place / "tiny.toml").write_text(TINY)
    server = serving.made("tiny.toml", place, jobs.Jobs())

    async def play(client, call):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"new", "show", "edit", "undo", "check", "test", "submit", "board", "log", "status",
                              "cancel"}
        assert tools["edit"].input_schema["properties"]["how"]["enum"] == ["create", "insert", "replace"]
        assert tools["edit"].output_schema["properties"]["left"] and tools["status"].output_schema["required"]
        assert all(tool.description and tool.output_schema for tool in tools.values())
        assert "you have 1" in client.instructions
        assert (await call("new", workspace="mine"))["left"] == {"actions": 6, "tests": 1, "submissions": 1}
        changed = await call("edit", workspace="mine", how="insert", lines="9", text="# one")
        assert changed["text"].endswith("# one\n") and changed["left"]["actions"] == 5
        assert (await call("undo", workspace="mine"))["left"]["actions"] == 4
        verbs.new(challenge.read("loss-laptop"), place / "other")
        for said, tool, arguments in (
                ("there is no tool 'shwo'; did you mean show?", "shwo", {}),
                ("show takes no 'work'; did you mean workspace?", "show", {"work": "mine"}),
                ("workspace of show: field required", "show", {}),
                ("workspace of new: string should match pattern", "new", {"workspace": "../mine"}),
                ("nothing is no workspace; `new` makes one", "show", {"workspace": "nothing"}),
                ("other is a workspace of loss-laptop", "show", {"workspace": "other"}),
                ("mine is not an empty folder", "new", {"workspace": "mine"}),
                ("steps of undo: input should be greater than or equal to 1, got 0", "undo", {"workspace": "mine",
                                                                                          "steps": 0}),
                ("lines 1 to 4 are protected", "edit", {"workspace": "mine", "how": "replace", "lines": "1-2",
                                                        "text": "x"}),
                ("how of edit: input should be 'create'", "edit", {"workspace": "mine", "how": "cut", "text": ""}),
                ("no test finished that could be submitted; `test` makes one", "submit", {"workspace": "mine"}),
                ("there is no job 'test-1'; `test` and `submit` give a handle", "status", {"handle": "test-1"}),
        ):  # fmt: skip
            found = await call(tool, **arguments)
            assert said in found and "\n" not in found, found
        with workspace.opened(place / "mine") as held:  # a command is at work, and reading does not wait for it
            held.ledger.add("test", test=1, file=held.take_up())
            held.ledger.add("tested", test=1, status="killed", reason="why")
            assert (await call("show", workspace="mine"))["at_work"]
            assert [one["verb"] for one in (await call("log", workspace="mine"))["entries"]][-1] == "tested"
            assert "is in use by another losslab" in await call("undo", workspace="mine")
        found = await call("test", workspace="mine")
        assert found == ("the budget of 1 tests is spent; `log` shows on what, and a test that finished can be "
                         "submitted")
        assert not (await call("show", workspace="mine"))["at_work"]
        assert (await call("board"))["rows"][0]["status"] == "not run"

    played(mcp.Client(server), play)


@pytest.mark.slow
def test_a_whole_game_over_standard_input_and_output_until_the_budget_is_spent(place):
    (place / "tiny.toml").write_text(TINY)
    known = {name: os.environ[name] for name in ("PYTHONPATH", "LOSSLAB_CACHE", "LOSSLAB_ARENA", "LOSSLAB_STATE",
                                                 "OMP_NUM_THREADS") if name in os.environ}
    command = mcp.client.stdio.StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "losslab.cli", "arena", "serve-mcp", "tiny.toml"], cwd=str(place),
        env=known)

    async def play(client, call):
        async def ended(handle):
            while (found := await call("status", handle=handle, wait_seconds=50))["status"] == "running":
                pass
            return found

        await call("new", workspace="mine")
        found = await call("check", workspace="mine")
        found = await ended(found["handle"])
        assert found["status"] == "passed" and found["result"]["checks"]["later tokens"] == "move nothing earlier"
        first = await call("test", workspace="mine")
        assert "is at work in mine" in await call("edit", workspace="mine", how="create", text="x")
        assert (await call("cancel", handle=first["handle"]))["status"] == "cancelled"
        second = await call("test", workspace="mine")
        found = await ended(second["handle"])
        assert found["status"] == "finished" and found["result"]["difference"]["value"] == 0, found
        assert "1 of 2 seeds" in " ".join(found["said"]) and found["result"]["left"]["tests"] == 0
        assert "the budget of 1 tests is spent" in await call("test", workspace="mine")
        third = await call("submit", workspace="mine", test=1)
        found = await ended(third["handle"])
        assert found["status"] == "finished" and found["result"]["verdict"] == "identical", found
        assert "the budget of 1 submissions is spent" in await call("submit", workspace="mine")
        assert {one["name"] for one in (await call("board"))["rows"]} == {"mine", "cross_entropy"}

    played(mcp.Client(command), play)
