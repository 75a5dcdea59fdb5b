"""What a workspace and the answers of its verbs are in words."""


def left(found: dict) -> str:
    return ", ".join(f"{count} {what}" for what, count in found.items())


def at_work(found: dict) -> str:
    return "\na command is at work in this workspace" if found["at_work"] else ""


def what(entry: dict) -> str:
    parts = [str(entry[key]) for key in ("how", "steps", "test", "name", "status", "reason") if entry.get(key) not in (
        None, "")]
    if settings := entry.get("settings"):
        parts.append(f"{settings['candidates']} formulas of seed {settings['seed']}, {settings['seeds']} times "
                     f"{settings['tokens']:,} tokens each")
    return " ".join(parts)


def told(said: dict) -> str:
    lines = [said["status"] + (f": {said['reason']}" if said["reason"] else "")]
    lines += [f"  {name}: {found}" for name, found in said.get("checks", {}).items()]
    for name in ("speed", "anatomy"):
        lines += [f"  {key.replace('_', ' ')}: {value:.4g}" for key, value in said.get(name, {}).items()]
    if difference := said.get("difference"):
        from losslab.report import words

        lines.append(f"  difference from cross_entropy: {words.difference(difference)} {difference['unit']}, "
                     f"{difference['n']} seeds")
    if "tier" in said:
        lines.append(f"  jail: {said['tier']}")
    return "\n".join(lines + ([f"  left: {left(said['left'])}"] if "left" in said else []))
