"""The tags of a run: words in `tags.json`, which are no part of its condition or checksums."""

from pathlib import Path

from losslab.records import files


def read_tags(path: Path) -> tuple[str, ...]:
    """The tags of a run; none where they cannot be read."""
    try:
        return tags_in(path)
    except (ValueError, OSError):
        return ()


def tags_in(path: Path) -> tuple[str, ...]:
    """The tags of a run, in order.

    Raises:
        ValueError: for a `tags.json` that does not hold a list of tags.
    """
    try:
        value = files.parse(files.read_bytes(path / "tags.json", 1 << 16))
    except FileNotFoundError:
        return ()
    found = value.get("tags") if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(map(is_tag, found)):
        raise files.damaged(path / "tags.json", "it does not hold a list of tags")
    return tuple(sorted(set(found)))


def is_tag(text) -> bool:
    """Whether a text can be a tag: at most 40 characters, no spaces, commas or `=`, no `-` at the start."""
    return (isinstance(text, str) and 0 < len(text) <= 40 and text.isprintable()
            and not any(c.isspace() or c in ",=" for c in text) and not text.startswith("-"))
