"""Mutations of files and texts: bytes that fell over, and structures that somebody bent on purpose.

Every function takes a `random.Random` first and decides by it alone, so that a seed and a number name a mutation.
"""

import gzip
import json
import math
import random
import re
import struct

HUGE = 10**400
NUMBERS = (0, -1, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**63, 2**64, -(2**63), HUGE, 0.5, -0.0, 1e308, -1e308, 5e-324,
           math.nan, math.inf, -math.inf)  # fmt: skip
TEXTS = ("", " ", "a", "\0", "\n", "\x1b[31mred", "\ud800", "\U0010ffff", "é" * 40, "..", "../../etc/passwd",
         "/dev/zero", "<script>alert(1)</script>", "nan", "1e999", "9" * 400, "A" * 20_000, "%s%n{0}{x}", "$(id)",
         "softcap(15) # \"\"\"", "cross_entropy", "True", "null", "1", "-1")  # fmt: skip
TOKENS = (b"\0", b"\xff", b"\xed\xa0\x80", b"\r\n", b"\n\n", b'"', b"\\", b"\\ud800", b"{", b"}", b"[", b"]", b",",
          b":", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"[" * 5000, b'{"a":' * 5000, b"-", b".", b"\x1b[2J",
          b"\xef\xbb\xbf", b"'", b"#", b"=", b"(", b"|", b"null", b"true", b"<|endoftext|>")  # fmt: skip


def bits(rng: random.Random, data: bytes, most: int = 4) -> bytes:
    """One to `most` bits turned over; that is what a bad disk does."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.randint(1, most)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def raw(rng: random.Random, data: bytes) -> bytes:
    """One change of any kind of file: turned bits, a cut, a hole, something put in, a part said twice."""
    at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    return rng.choice((
        lambda: bits(rng, data),
        lambda: data[:at],
        lambda: data[at:],
        lambda: data[:at] + data[min(end, at + 200):],
        lambda: data[:at] + rng.choice(TOKENS) + data[at:],
        lambda: data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at:],
        lambda: data[:end] + data[at : min(end, at + 2000)] + data[end:],
        lambda: data[:at] + b"\0" * (end - at) + data[end:],
        lambda: rng.choice((b"", b"\0", b"{}", b"[]", b"null", b"1", b'"a"', b"\xff" * 100, b"[" * 100_000)),
    ))()  # fmt: skip


def value(rng: random.Random, old=None):
    """A value that a reader may not expect in the place of `old`."""
    near = [old * 2, old + 1, -old, float(old), str(old)] if isinstance(old, int | float) and abs(old) < 2**53 else []
    near += [old[:-1], old + old, old[::-1]] if isinstance(old, str | list) else []
    near += [list(old), dict(reversed(old.items()))] if isinstance(old, dict) else []
    nested: object = 0
    for _ in range(rng.choice((1, 3, 40))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    other = [None, True, False, [], {}, [1, 2, 3], {"value": 1}, nested, rng.choice(NUMBERS), rng.choice(TEXTS)]
    return rng.choice([*near, *near, *other, rng.choice(NUMBERS), rng.choice(TEXTS)])


def tree(rng: random.Random, found):
    """A JSON value with one to three places changed: another value, a key gone, renamed, or one more."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(found))
        if not places:
            return value(rng, found)
        parent, key = rng.choice(places)
        what = rng.random()
        if what < 0.7:
            parent[key] = value(rng, parent[key])
        elif what < 0.85:
            del parent[key]
        elif isinstance(parent, dict):
            parent[rng.choice((rng.choice(TEXTS), f"{key}x", str(key).upper()))] = parent.pop(key) if what < 0.93 else 1
        else:
            parent.insert(key, value(rng, parent[key]))
    return found


def _places(found):
    for key in list(found) if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ():
        yield found, key
        yield from _places(found[key])


def as_json(rng: random.Random, data: bytes) -> bytes:
    """A JSON file: two times in three its structure is changed, otherwise its bytes."""
    if rng.random() < 0.35:
        return raw(rng, data)
    return dumps(tree(rng, json.loads(data)), indent=rng.choice((None, 1)))


def as_lines(rng: random.Random, data: bytes) -> bytes:
    """A file with a JSON value on each line."""
    if rng.random() < 0.35:
        return raw(rng, data)
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    what = rng.random()
    if what < 0.7:
        lines[at] = dumps(tree(rng, json.loads(lines[at])))
    elif what < 0.8:
        lines[at] = dumps(value(rng))
    elif what < 0.9:
        lines.insert(rng.randrange(len(lines)), lines[at])
    else:
        del lines[at]
    return b"\n".join(lines) + b"\n"


def dumps(found, indent: int | None = None) -> bytes:
    """JSON with what the standard does not have, such as NaN, lone surrogates and 400 digits."""
    text = json.dumps(found, indent=indent, ensure_ascii=True)
    return text.encode()


def as_text(rng: random.Random, data: bytes) -> bytes:
    """A text whose numbers, names and quoted parts are exchanged (TOML, CSV, YAML, formulas)."""
    if rng.random() < 0.3:
        return raw(rng, data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        parts = [m.span() for m in re.finditer(rb'"[^"\n]*"|[-+]?\d[\d_.e+-]*|\w+|[^\w\s]', data)]
        if not parts:
            return rng.choice(TEXTS).encode(errors="surrogatepass")
        start, end = rng.choice(parts)
        other = slice(*rng.choice(parts))
        new = rng.choice((
            str(rng.choice(NUMBERS)), repr(rng.choice(TEXTS)), rng.choice(TEXTS), "", "-", "[1, 2]", "{a = 1}", "true",
            "1e999", "1979-05-27T07:32:00Z", "[[" * 50, "(" * 300 + ")" * 300, "9" * 400, "inf", "nan", "0x7fffffff",
        )).encode(errors="surrogatepass")  # fmt: skip
        new = rng.choice((new, new, data[other], data[start:end] * 2))
        data = data[:start] + new + data[end:]
    return data


def as_gzip(rng: random.Random, data: bytes, inside=raw) -> bytes:
    """A packed file: its packing is damaged, or what is in it."""
    if rng.random() < 0.5:
        return raw(rng, data)
    return gzip.compress(inside(rng, gzip.decompress(data)), mtime=0)


def as_safetensors(rng: random.Random, data: bytes) -> bytes:
    """A safetensors file: its bytes, its header, the length of its header."""
    what = rng.random()
    if what < 0.3:
        return raw(rng, data)
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = data[8 : 8 + length], data[8 + length :]
    if what < 0.4:
        return struct.pack("<Q", rng.choice((0, 1, length - 1, length + 1, 2**32, 2**63, 2**64 - 1))) + data[8:]
    if what < 0.5:  # numbers that are none
        return data[: 8 + length] + rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff" * 4)) * (len(rest) // 4)
    header = dumps(tree(rng, json.loads(header)))
    return struct.pack("<Q", len(header)) + header + rest
