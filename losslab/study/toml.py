"""The tables of a study as TOML that people read: an [[arm]] table for each arm, what is searched in one line each."""

from collections.abc import Mapping


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


def _line(item: tuple[str, object]) -> str:
    """`learning_rate = { low = 0.001, high = 0.01 }`: a setting and its range in one line."""
    import tomli_w

    key, value = item
    if not isinstance(value, Mapping):
        return tomli_w.dumps({key: value})
    inside = ", ".join(tomli_w.dumps({name: one}).strip() for name, one in value.items())
    name = tomli_w.dumps({key: 0}).rpartition(" = ")[0]
    return f"{name} = {{ {inside} }}\n" if inside else f"{name} = {{}}\n"
