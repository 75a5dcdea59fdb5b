"""Which parameters are trained by which optimizer, at which rate."""

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from losslab.config import TrainConfig
from losslab.optim.muon import Muon

PEAK = "peak_learning_rate"  # what a group calls its own; the schedule scales it
FUSED = "c_attn.weight"  # queries, keys and values, one under the other
PARTS = {"queries_keys_values": 3}
BLOCKS = "matrices", "queries_keys_values"  # the groups of Muon


class Together:
    """Several optimizers of different parameters as one: their groups in one list, their states in one mapping."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]
        self.defaults = {key: value for part in parts for key, value in part.defaults.items()}
        self.state: defaultdict[Tensor, dict] = defaultdict(dict)
        for part in parts:
            part.state = self.state

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)


def build(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer | Together:
    """The optimizer that a configuration describes.

    Matrices and embeddings decay, norms and biases do not. With `muon`, the matrices of the blocks are its own, and
    AdamW has the rest. Each group has a `name` and a `peak_learning_rate`; the first is that of the matrices. Without
    Muon, embeddings and head are of that group unless they have another rate.
    """
    muon = config.optimizer == "muon"
    ratios = {"matrices": 1.0, "queries_keys_values": 1.0, "embeddings": config.embedding_rate_ratio,
              "head": config.head_rate_ratio, "vectors": config.vector_rate_ratio}
    members: dict[str, list[Tensor]] = {name: [] for name in ratios}
    for parameter, name in kinds(model):
        is_one = not muon and name != "vectors" and ratios[name] == 1.0
        members["matrices" if is_one else name].append(parameter)
    groups = [
        {"name": name, "params": members[name], "weight_decay": 0.0 if name == "vectors" else config.weight_decay,
         PEAK: config.learning_rate * ratio, "lr": config.learning_rate * ratio}
        for name, ratio in ratios.items() if members[name]
    ]
    if not muon:
        return torch.optim.AdamW(groups, betas=config.betas, fused=True)
    own = [group | {"parts": PARTS.get(group["name"], 1)} for group in groups if group["name"] in BLOCKS]
    rest = [group for group in groups if group["name"] not in BLOCKS]
    made = [Muon(own, momentum=config.momentum, dtype=config.dtype)] if own else []
    return Together(*made, *([torch.optim.AdamW(rest, betas=config.betas, fused=True)] if rest else []))


def kinds(model: nn.Module) -> Iterator[tuple[Tensor, str]]:
    """Each parameter of a model, and what it is: of `matrices`, `queries_keys_values`, `embeddings`, `head`, `vectors`.

    The embeddings are those of `nn.Embedding`, output weights tied to one among them; the head is `model.lm_head`.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = id(getattr(model, "output_weights", getattr(model, "lm_head", None)))
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            yield parameter, "vectors"
        elif id(parameter) in embeddings:
            yield parameter, "embeddings"
        elif id(parameter) == head:
            yield parameter, "head"
        else:
            yield parameter, "queries_keys_values" if name.endswith(FUSED) else "matrices"
