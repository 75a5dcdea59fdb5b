"""The tables of a study as TOML that people read: an [[arm]] table for each arm, what is searched in one line each.

The file that a folder keeps ends with a checksum, as a comment: a margin of which a bad disk turned a bit would be
another margin, and so another verdict.
"""

import hashlib
import re
from collections.abc import Mapping

SEAL = "# sha256 of the lines above, as losslab wrote them: "
LIKE_A_SEAL = re.compile(rb"#.*[0-9a-f]{16}")  # one with turned bits, too


def text(tables: Mapping) -> str:
    """What `file.from_dict` reads as these tables.

    Example:
        >>> print(text({"seeds": 5, "tune": {"trials": 5, "space": {"learning_rate": {}}},
        ...             "arm": [{"loss": "mse", "train": {"learning_rate": 0.002}}]}))
        seeds = 5
        <BLANKLINE>
        [tune]
        trials = 5
        <BLANKLINE>
        [tune.space]
        learning_rate = {}
        <BLANKLINE>
        [[arm]]
        loss = "mse"
        <BLANKLINE>
        [arm.train]
        learning_rate = 0.002
        <BLANKLINE>
    """
    import tomli_w  # needed to write alone

    parts = [tomli_w.dumps({key: value for key, value in tables.items() if key not in ("arm", "tune")})]
    if tune := dict(tables.get("tune", {})):
        space = tune.pop("space", None)
        parts.append(tomli_w.dumps({"tune": tune}))
        if space:
            parts.append("[tune.space]\n" + "".join(map(_line, space.items())))
    for arm in tables["arm"]:
        inner = {key: value for key, value in arm.items() if isinstance(value, Mapping)}
        own = tomli_w.dumps({key: value for key, value in arm.items() if key not in inner})
        parts.append(f"[[arm]]\n{own}")
        space = inner.pop("space", {})
        if inner:
            parts.append(tomli_w.dumps({"arm": inner}))  # [arm.train] is of the last [[arm]]
        if space:
            parts.append("[arm.space]\n" + "".join(map(_line, space.items())))
    return "\n".join(filter(None, parts))


def sealed(text: str) -> str:
    """The text with its checksum as the last line."""
    return f"{text}{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def check_seal(raw: bytes) -> None:
    """Compare a file with the checksum in its last line, if it has one.

    Raises:
        ValueError: if it is not what was written.

    Example:
        >>> check_seal(b"seeds = 5\\n")
        >>> check_seal(sealed("seeds = 5\\n").replace("5", "7", 1).encode())
        Traceback (most recent call last):
        ...
        ValueError: it does not fit the checksum in its last line; take that line away if you changed it yourself
    """
    body, _, last = raw.removesuffix(b"\n").rpartition(b"\n")
    if LIKE_A_SEAL.match(last) and raw != sealed((body + b"\n").decode("utf-8", "replace")).encode():
        raise ValueError("it does not fit the checksum in its last line; take that line away if you changed it "
                         "yourself")


def _line(item: tuple[str, object]) -> str:
    """`learning_rate = { low = 0.001, high = 0.01 }`: a setting and its range in one line, tables in it, too."""
    import tomli_w

    key, value = item
    if not isinstance(value, Mapping):
        return tomli_w.dumps({key: value})
    inside = ", ".join(_line(inner).strip() for inner in value.items())
    name = tomli_w.dumps({key: 0}).rpartition(" = ")[0]
    return f"{name} = {{ {inside} }}\n" if inside else f"{name} = {{}}\n"
