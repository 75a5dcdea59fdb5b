"""Files as a forger would leave them: bytes flipped, cut and added, and wild values anywhere in their JSON."""

import copy
import json

from hypothesis import strategies as st

WILD = st.sampled_from([None, True, 0, -1, 1.5, 2**31, 10**12, 2**63, 10**30, 1e308, "", "x", "\x1b[2J\n", [], {},
                        [[1]], {"a": 1}, [2**40, 2**40], 10**400, "softcap(1)"])


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(min(len(value), 4)):
            yield from places(value[key], (*path, key))


def changed(draw, value):
    """The value with something wild in one place of it, or without it."""
    path, wild = draw(st.sampled_from(list(places(value)))), draw(WILD)
    if not path:
        return wild
    made = copy.deepcopy(value)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if isinstance(inner, dict) and draw(st.integers(0, 3)) == 0:
        del inner[path[-1]]
    else:
        inner[path[-1]] = wild
    return made


def mutated(draw, name, raw):
    """A file with flipped, cut or added bytes, or with another value in its JSON, which is a header's in weights."""
    how = draw(st.sampled_from(["json", "json", "flip", "cut", "add"]))
    if how == "json" and name.endswith(".safetensors"):
        length = int.from_bytes(raw[:8], "little")
        head = json.dumps(changed(draw, json.loads(raw[8 : 8 + length]))).encode()
        return len(head).to_bytes(8, "little") + head + raw[8 + length :]
    if how == "json" and name.endswith(".json"):
        return json.dumps(changed(draw, json.loads(raw))).encode()
    at = draw(st.integers(0, len(raw) - 1))
    at = at % draw(st.sampled_from([8, 64, 2000, len(raw)])) % len(raw)
    if how == "cut":
        return raw[:at]
    if how == "add":
        return raw[:at] + draw(st.binary(min_size=1, max_size=9)) + raw[at:]
    return raw[:at] + bytes([raw[at] ^ draw(st.integers(1, 255))]) + raw[at + 1 :]
