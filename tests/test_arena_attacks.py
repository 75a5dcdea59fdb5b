"""Losses that attack the arena: each ends with its reason, or trains the weights of its honest twin, bit for bit.

The files are in tests/attacks: what each tries stands in its first line, how it may end in the second; the twin of each
is the file without the lines that are marked, which is `honest.py`. Those that end alike are tried in one process here,
and each apart in the slow tests.
"""

import socket
import threading

import pytest
from arena_games import (
    ACCEPTED,
    ATTACKS,
    attacks,
    fingerprint,
    honest,
    jail_of,
    robbed,
    text_of,
    together,
    trained,
    tried,
)

from losslab.arena import tiers

ENDS = attacks()
SAME = [name for name, ends in ENDS.items() if ends == ["same"]]
APART = {"default_dtype", "huge_memory", "signal_handlers", "patched_modules"}  # what would change the others


def has_walls():
    try:
        jail_of((ATTACKS / "honest.py").read_text()).close()
    except tiers.NotToBeHad as why:
        return str(why)
    return ""


@pytest.fixture(scope="module")
def walls():
    if why := has_walls():
        pytest.skip(f"shows what walls keep out, and this machine gives none: {why}")


@pytest.fixture(scope="module")
def twin(walls):
    """The weights of the honest file."""
    return trained((ATTACKS / "honest.py").read_text(encoding="utf-8"))


@pytest.fixture
def host(tmp_path):
    return robbed(tmp_path / "host")


@pytest.fixture
def listening():
    """A port of this machine; what was sent to it."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        port = server.getsockname()[1]
        other.bind(("127.0.0.1", port))
        server.settimeout(0.1)
        other.settimeout(0.1)
        over = threading.Event()

        def listen():
            while not over.is_set():
                for take in (server.accept, lambda: other.recv(1)):
                    try:
                        heard.append(take())
                    except OSError:
                        pass

        thread = threading.Thread(target=listen)
        thread.start()
        yield port, heard
        over.set()
        thread.join()


def test_there_are_forty_attacks_and_each_is_the_honest_file_with_something_in_it():
    assert len(ENDS) >= 40
    assert {end for ends in ENDS.values() for end in ends} == {"same", "refused", "killed", "disqualified"}
    for name in ENDS:
        assert honest(text_of(name)) == text_of("honest") != text_of(name), name


@pytest.mark.slow
def test_what_an_attack_may_do_to_no_end_leaves_the_weights_and_the_host_as_they_are(twin, host, listening):
    port, heard = listening
    names = [name for name in SAME if name not in APART]
    before = fingerprint(host)
    plain = trained(together(names, [text_of("honest")] * len(names)))
    assert plain[0] == twin[0] == "same"
    assert trained(together(names, [text_of(name, host, port) for name in names])) == plain
    assert fingerprint(host) == before and not heard


@pytest.mark.parametrize("name", ["patched_losslab", "remembers"])
def test_what_is_no_loss_is_refused_before_a_test_is_spent(name, walls):
    status, reason = tried(text_of(name))
    assert status == "refused" and reason.startswith("the loss ")


@pytest.mark.parametrize(("name", "says"), [
    ("remembers_late", "gives other numbers in a fresh jail"), ("forged_answers", ""), ("exits", "exit code 0"),
    ("crashes", "its process ended in a call"),
])
def test_what_breaks_a_rule_in_training_ends_with_its_reason(name, says, walls):
    status, reason = trained(text_of(name))
    assert status in ENDS[name] and says in reason


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_every_attack(name, twin, host, listening):
    port, heard = listening
    before, text = fingerprint(host), text_of(name, host, port)
    found = tried(text) if "refused" in ENDS[name] else ("passed", "")
    if found[0] == "passed":
        found = trained(text)
    assert found[0] in ENDS[name] and len(found[1]) > 20 and found[1].isprintable()
    assert found[0] != "same" or found == twin
    assert fingerprint(host) == before and not heard


@pytest.mark.slow
@pytest.mark.parametrize("tier", ACCEPTED)
def test_each_tier_that_is_to_be_had_keeps_the_host_out_of_reach(tier, twin, host):
    if tiers.missing(tier):
        pytest.skip(tiers.missing(tier))
    for name in ("reads_validation", "signals_to_the_parent", "leaves_child"):
        assert trained(text_of(name, host), [tier]) == twin
