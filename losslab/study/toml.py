"""The tables of a study as TOML that people read: an [[arm]] table for each arm, its settings beneath it."""

from collections.abc import Mapping


def text(tables: Mapping) -> str:
    """What `file.from_dict` reads as these tables.

    Example:
        >>> print(text({"seeds": 5, "arm": [{"loss": "mse", "train": {"learning_rate": 0.002}}]}))
        seeds = 5
        <BLANKLINE>
        [[arm]]
        loss = "mse"
        <BLANKLINE>
        [arm.train]
        learning_rate = 0.002
        <BLANKLINE>
    """
    import tomli_w  # needed to write alone

    parts = [tomli_w.dumps({key: value for key, value in tables.items() if key != "arm"})]
    for arm in tables["arm"]:
        inner = {key: value for key, value in arm.items() if isinstance(value, Mapping)}
        own = tomli_w.dumps({key: value for key, value in arm.items() if key not in inner})
        parts.append(f"[[arm]]\n{own}")
        if inner:
            parts.append(tomli_w.dumps({"arm": inner}))  # [arm.train] is of the last [[arm]]
    return "\n".join(filter(None, parts))
