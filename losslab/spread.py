"""One model, trained by several ranks: each has all of it, or a part.

`replicated`: every rank has the whole model and its gradients are summed while the backward pass still runs
(DistributedDataParallel). `sharded`: every rank keeps a part of each weight, gradient and moment, and has a block whole
only while it computes with it (FSDP2). Either way a rank computes its own sequences, and gradients are sums over
ranks: who divides by the tokens of the whole step is the training loop.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losslab import parallel
from losslab.model import LanguageModel, unfilled

WAYS = ("alone", "replicated", "sharded")


class Step(nn.Module):
    """Hidden states and what is computed from them and the head, in one forward pass.

    A rank that holds a part of the head has all of it inside the forward pass alone.
    """

    def __init__(self, model: LanguageModel, head: Callable):
        super().__init__()
        self.model, self.head = model, head

    def forward(self, tokens: Tensor, placed: Mapping[str, Tensor], *arguments, **options):
        return self.head(self.model(tokens, **placed), self.model.lm_head, *arguments, **options)


class Spread:
    """A model as the ranks share it; in one process it is the model itself.

    Make the optimizer afterwards, of `model`: sharded, its parameters are the parts of this rank.

    Args:
        model: the same on all ranks; sharded in place.
        head: `head(hidden, lm_head, *arguments)`, tensors from hidden states `[batch, seq, n_embd]`.
        way: one of `WAYS`.
        device: of this rank, where the model goes.

    Raises:
        ValueError: for a way that does not go with the number of ranks.
    """

    def __init__(self, model: LanguageModel, head: Callable, way: str = "alone", device: str = "cpu"):
        if (way == "alone") != (parallel.world_size() == 1):
            raise ValueError(f"train.ranks is {way}, and there is {parallel.world_size()} rank; start the ranks with "
                             "torchrun, or leave it at auto")
        self.model, self.way, self.is_sharded = model, way, way == "sharded"
        self._step = Step(model, head)
        if self.is_sharded:
            _shard(self._step, device)
        else:
            model.to(device)
            if way == "replicated":
                self._step = _replicated(self._step, device)

    def __call__(self, tokens: Tensor, placed: Mapping[str, Tensor], *arguments, **options):
        """What `head` gives for the tokens `[batch, seq]` of this rank; `placed` is what else the model is told."""
        return self._step(tokens, placed, *arguments, **options)

    @contextmanager
    def backward_pass(self, *, is_last: bool) -> Iterator[None]:
        """Around the forward and backward pass of a micro-batch; of replicas the last one of an update sums them all.

        Sharded, each backward pass sums: a rank that waited would hold all gradients whole.
        """
        if self.way == "replicated" and not is_last:
            with self._step.no_sync():
                yield
        else:
            yield

    def whole(self) -> LanguageModel:
        """The model with all its weights, for what is not training; sharded, a copy, for which every rank calls."""
        if not self.is_sharded:
            return self.model
        own = self.model
        copy = unfilled(own.config, own.vocab_size, own.transforms)
        weights = {name: parallel.whole(tensor).detach() for name, tensor in own.state_dict().items()}
        copy.load_state_dict(weights, assign=True)
        return copy.train(own.training)


def _replicated(step: Step, device: str) -> nn.Module:
    from torch.nn.parallel import DistributedDataParallel

    ids = [torch.device(device)] if device.startswith("cuda") else None
    replica = DistributedDataParallel(step, device_ids=ids, gradient_as_bucket_view=True)
    replica.register_comm_hook(None, _summed)
    return replica


def _summed(state: None, bucket) -> torch.futures.Future[Tensor]:
    """The sum over ranks: by default it would be the mean, which weighs the tokens of a short share more."""
    handle = torch.distributed.all_reduce(bucket.buffer(), async_op=True)
    return handle.get_future().then(lambda done: done.value()[0])


def _shard(step: Step, device: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(device.split(":")[0], (parallel.world_size(),))
    for block in step.model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(step, mesh=mesh)  # what is left: embeddings, last norm and head
    for module in step.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # as `_summed`
            module.set_force_sum_reduction_for_comms(True)  # gloo has no other
