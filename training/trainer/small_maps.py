"""Convolutions over maps of a few pixels as products of matrices: the same figures, and training takes two thirds.

With images of 28 pixels most of ResNet-50's maps have 4 x 4 pixels or fewer. There the weights are much more than the
pixels, and the gradient of the weights that PyTorch's convolution computes on a CPU takes 3 times what the product of
the same two matrices takes.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

SMALL_MAP = 2  # pixels a side; over larger maps a 3 x 3 convolution is as quick as it is


class SmallMapConv2d(nn.Conv2d):
    """A 1 x 1 convolution, or a 3 x 3 one with a padding of 1; its weights keep name, shape and layout."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C', H', W'), both with the channels last in memory."""
        if self.kernel_size == (1, 1):
            step = self.stride[0]
            rows, weight = pixels.permute(0, 2, 3, 1)[:, ::step, ::step], self.weight.flatten(1)
        elif pixels.shape[2:] == (1, 1):  # all of a 3 x 3 window but its middle lies outside
            rows, weight = pixels.permute(0, 2, 3, 1), self.weight[:, :, 1, 1]
        elif max(pixels.shape[2:]) <= SMALL_MAP:
            rows, weight = windows(pixels, self.stride[0]), self.weight.flatten(1)
        else:
            return super().forward(pixels)
        return functional.linear(rows, weight, self.bias).permute(0, 3, 1, 2)


def windows(pixels: torch.Tensor, step: int) -> torch.Tensor:
    """(N, C, H, W) -> (N, H', W', 9 C): what a 3 x 3 window sees at each of its places, 0 outside the map."""
    padded = functional.pad(pixels.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    return padded.unfold(1, 3, step).unfold(2, 3, step).flatten(3)  # (N, H', W', C, 3, 3) before it is flat


def fits(module: nn.Module) -> bool:
    """Whether it is a convolution that SmallMapConv2d computes."""
    if type(module) is not nn.Conv2d or module.groups != 1 or module.padding_mode != "zeros":
        return False
    form = (module.kernel_size, module.padding, module.dilation)
    return form in (((1, 1), (0, 0), (1, 1)), ((3, 3), (1, 1), (1, 1))) and module.stride[0] == module.stride[1]


def use_products(model: Any) -> Any:
    """Let the convolutions of `model` that may be products be SmallMapConv2d. -> `model`"""
    for module in model.modules():
        if fits(module):
            module.__class__ = SmallMapConv2d  # weights, hooks and mode stay
    return model
