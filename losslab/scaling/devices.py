"""Devices of a plan: how fast they are, what they hold, and who says so."""

import math
from dataclasses import dataclass

from losslab.config.numbers import check, shown
from losslab.words import nearest

UTILIZATION = 0.4  # of the peak; 0.32 to 0.4 are usual at 124M to 355M parameters, 0.5 to 0.6 where all is tuned
BYTES_PER_PARAMETER = 16  # AdamW in mixed precision: 2 weight, 2 gradient, 4 its float32 copy, 4 and 4 the moments
GB = 1e9  # as data sheets count it


@dataclass(frozen=True)
class Device:
    """A device's peak in dense matrix products of 16 bit, in FLOP per second, its memory in bytes, and who says so.

    Where a device is sold with more than one size of memory, it is the largest: what that cannot hold, none can.
    """

    name: str
    peak: float
    memory: float
    source: str


_NVIDIA = "NVIDIA data sheet of the {}, {}; the dense figure, half of that with sparsity where only this is printed"
DEVICES = {one.name: one for one in (
    Device("v100", 125e12, 32 * GB, _NVIDIA.format("V100 (SXM2, float16, 32 GB)", "2020")),
    Device("a10", 125e12, 24 * GB, _NVIDIA.format("A10 (24 GB)", "2021")),
    Device("a100", 312e12, 80 * GB, _NVIDIA.format("A100 (40 or 80 GB)", "2021")),
    Device("l4", 121e12, 24 * GB, _NVIDIA.format("L4 (24 GB)", "2023")),
    Device("l40s", 362e12, 48 * GB, _NVIDIA.format("L40S (48 GB)", "2023")),
    Device("h100", 989.4e12, 80 * GB, _NVIDIA.format("H100 SXM (80 GB)", "2023")),
    Device("h100-pcie", 756e12, 80 * GB, _NVIDIA.format("H100 PCIe (80 GB)", "2023")),
    Device("h200", 989.4e12, 141 * GB, _NVIDIA.format("H200 SXM (141 GB)", "2024")),
    Device("tpu-v5e", 197e12, 16 * GB, "Google Cloud TPU documentation, v5e (16 GB), as of 2025"),
)}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What a plan is to run on.

    Args:
        name: of the device, or `a device of 1e+14 FLOP/s`.
        peak: of one device, FLOP/s.
        devices: how many.
        utilization: the share of the peak that training reaches.
        price: of one device and hour; None where it is not known.
        source: who says the peak and the memory.
        memory: of one device, bytes; None where it is not known.
    """

    name: str
    peak: float
    devices: int = 1
    utilization: float = UTILIZATION
    price: float | None = None
    source: str = "given"
    memory: float | None = None

    def seconds(self, flops: float) -> float:
        return flops / (self.peak * self.devices * self.utilization)

    def cost(self, flops: float) -> float | None:
        return None if self.price is None else self.seconds(flops) / 3600 * self.devices * self.price

    def too_small(self, num_params: float) -> list[str]:
        """A sentence where the devices together cannot hold a model in training.

        Reference:
            Rajbhandari et al., ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, 2020,
            arXiv:1910.02054, section 3.1: 16 bytes a parameter.
        """
        takes = BYTES_PER_PARAMETER * num_params
        if self.memory is None or takes <= self.devices * self.memory:
            return []
        return [f"training {num_params:.3g} parameters with AdamW in mixed precision takes {BYTES_PER_PARAMETER} bytes "
                f"each, {takes / GB:,.4g} GB (Rajbhandari et al. 2020), and {self.devices:,} x {self.name} "
                f"{'has' if self.devices == 1 else 'have'} {self.devices * self.memory / GB:,.4g} GB: "
                f"{math.ceil(takes / self.memory):,} devices would hold it if it is divided among them, without its "
                "activations"]


def machine(device: str | None, *, devices: int = 1, utilization: float = UTILIZATION, peak: float | None = None,
            price: float | None = None) -> Machine | None:  # fmt: skip
    """The devices of a plan, checked; None where none are named.

    Raises:
        ValueError: for an unknown device or a number out of range.
    """
    check("--devices", devices, 1, 10_000_000, "more than there are")
    check("--utilization", utilization, 1e-4, 1.0, "the peak itself")
    if price is not None:
        check("--price", price, 0.0, 1e6, "of a device and hour")
    if peak is not None:
        check("--peak", peak, 1e6, 1e18, "FLOP/s of one device")
        if device is not None:
            raise ValueError("--device and --peak both say how fast a device is; give one of them")
        return Machine(f"a device of {peak:g} FLOP/s", float(peak), devices, utilization, price)
    if device is None:
        if price is not None or devices != 1:
            raise ValueError("--price and --devices need to know the device; name one with --device, or give --peak")
        return None
    known = DEVICES.get(device.lower())
    if known is None:
        raise ValueError(f"no device {shown(device)} is known{nearest(device.lower(), DEVICES)}; known are "
                         f"{', '.join(DEVICES)}, and --peak takes FLOP/s of another one")
    return Machine(known.name, known.peak, devices, utilization, price, known.source, known.memory)
