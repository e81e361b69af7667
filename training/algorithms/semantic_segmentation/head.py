"""SegFormer's decode head, multiplied out: the same function of the same parameters in half the time.

Each encoder stage goes through a projection, an upsampling and its slice of the fusing convolution: all linear, and
upsampling commutes with what works on each pixel alone. So one matrix a stage does, applied before upsampling, and
a sum replaces the concatenation of 4 x 768 channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def multiplied(head: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Projections times fusing convolution. -> one matrix a stage, (768, C_i), and the bias of their sum, (768,)."""
    # The head concatenates the stages last one first; so do the fusing convolution's columns.
    slices = head.linear_fuse.weight[:, :, 0, 0].chunk(len(head.linear_projections), dim=1)[::-1]
    projections = [stage.proj for stage in head.linear_projections]
    matrices = [fuse @ proj.weight for fuse, proj in zip(slices, projections, strict=True)]
    biases = [fuse @ proj.bias for fuse, proj in zip(slices, projections, strict=True)]
    return matrices, torch.stack(biases).sum(dim=0)


def fused(states: Sequence[torch.Tensor], matrices: Sequence[torch.Tensor], bias: torch.Tensor) -> torch.Tensor:
    """The encoder's maps (N, C_i, H / 2^(i+2), W / 2^(i+2)) -> their sum, upsampled: (N, 768, H / 4, W / 4)."""
    size = states[0].shape[2:]
    total = functional.conv2d(states[0], matrices[0][:, :, None, None], bias)
    for maps, matrix in zip(states[1:], matrices[1:], strict=True):
        part = functional.conv2d(maps, matrix[:, :, None, None])
        if part.shape[2:] != size:
            part = functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
        total += part
    return total


class TrainedHead(nn.Module):
    """The head of a network that is trained: the parameters stay transformers' own, by name and by value.

    Their gradients come through the products. Nothing of it is stored, so checkpoints and the finished model are an
    ordinary SegFormer's. Batch norm needs the statistics of the sum and so stays a step of its own.
    """

    batch_norm: nn.Module
    activation: nn.Module
    dropout: nn.Module
    classifier: nn.Module

    def __init__(self, head: Any) -> None:
        super().__init__()
        for name, part in head.named_children():
            self.add_module(name, part)

    def forward(self, encoder_hidden_states: Sequence[torch.Tensor], **_: Any) -> torch.Tensor:
        """-> logits (N, classes, H / 4, W / 4)"""
        with torch.autocast(
            encoder_hidden_states[0].device.type, enabled=False
        ):  # a product is rounded once, not twice
            matrices, bias = multiplied(self)
        # The encoder's maps are small; all that follows takes their layout, and goes over it a dozen times.
        states = [maps.contiguous(memory_format=torch.channels_last) for maps in encoder_hidden_states]
        total = self.batch_norm(fused(states, matrices, bias))
        return self.classifier(self.dropout(self.activation(total)))  # type: ignore[no-any-return]
