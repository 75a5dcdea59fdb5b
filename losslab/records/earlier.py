"""Specifications that an earlier losslab wrote, as this one would write them.

Until identity version 2, a condition was the digest of all settings. A specification of that time can be told: its
condition is that digest of what stands in it. It is read with the condition that its settings have now, so that old and
new runs of equal settings are replicates of one arm; the condition that it was written with is kept as `earlier`.
"""

import copy
import json

from losslab import config as configuration
from losslab.config import rates


def current(written: dict) -> dict:
    """A specification as this version would write it, or as it is where no losslab wrote it like this."""
    spec = written | {"config": _with_ratio(_renamed(written["config"]))}
    if "identity" in spec:
        return spec | {"config": _filled(spec["config"])}
    try:
        config = configuration.from_dict(_filled(spec["config"]))
        if _is_rate_kept(spec) or spec["condition"] != _first_condition(written, config.num_steps):
            return spec
        identity = configuration.identity(config, objective=spec["objective"], corpus=spec["corpus"]["digest"],
                                          weights=spec.get("start", ""))
    except (ValueError, KeyError):  # not the settings of a run: an imported model, or an invented file
        return spec
    return spec | {"identity": configuration.VERSION, "condition": configuration.digest(identity),
                   "earlier": spec["condition"], "config": json.loads(json.dumps(configuration.to_dict(config)))}


def _renamed(config: dict) -> dict:
    """`config` with each setting under its name of today."""
    return {configuration.RENAMED.get(name, name): _renamed(value) if isinstance(value, dict) else value
            for name, value in config.items()}


def _with_ratio(config: dict) -> dict:
    """`config` with the lowest rate as a ratio of the peak, where one gives it to the last bit."""
    train = config.get("train")
    try:
        new = rates.converted(train) if isinstance(train, dict) else train
    except ValueError:  # not the settings of a run; whoever needs them says so
        return config
    if new == train or rates.lowest(train["learning_rate"], new[rates.NEW]) != train[rates.OLD]:
        return config
    return config | {"train": new}


def _is_rate_kept(spec: dict) -> bool:
    return rates.OLD in spec["config"].get("train", {})


def _filled(config: dict) -> dict:
    """`config` with the settings that did not exist when it was written, as they were before they could be set."""
    given = configuration.flatten(config)
    if missing := configuration.DEFAULTS.keys() - given.keys() - {f"train.{rates.OLD}"}:
        config = copy.deepcopy(config)
        for name in missing:
            section, _, field = name.partition(".")
            config.setdefault(section, {})[field] = configuration.DEFAULTS[name]
    return config


def _first_condition(spec: dict, num_steps: int) -> str:
    """The condition of identity version 1: every setting but the seed, and those of the tasks watched in training."""
    settings = copy.deepcopy(spec["config"])
    del settings["seed"], settings["data"]["corpus"]
    if spec.get("start"):
        settings["start"] = spec["start"]
    settings |= {"loss": spec["objective"], "corpus": spec["corpus"]["digest"], "format": 1}
    for name in ("tasks", "tasks_every", "tasks_limit", "benchmarks"):
        settings["evaluate"].pop(name, None)
    settings["train"] |= {"num_tokens": 0, "num_steps": num_steps}
    return configuration.digest(settings)
