"""Linear layers whose products are those of the numerics."""

from torch import Tensor, nn

from losslab.kernels import products


class Linear(nn.Linear):
    """`nn.Linear`, by the products that `kernels.products.numerics` chooses."""

    def forward(self, x: Tensor) -> Tensor:
        return products.linear(x, self.weight, self.bias)
