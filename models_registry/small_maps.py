"""ResNet over small images: what lies outside a map of a few pixels is left out, and images share one product.

With images of 28 pixels the last maps of ResNet-50 have 2 x 2 pixels and 1 x 1, under 22 of its 23 million weights.
There a padded 3 x 3 convolution mostly multiplies zeros, and a runtime that computes image by image reads all those
weights for each of them. The same sums, written so that neither happens: a batch of 8 takes three quarters of the
time, one of 32 half, a single image a tenth more (docs/models.md).
"""

from typing import Any

import torch
from torch import nn

from models_registry.network import Network

SMALL_MAP = 2  # pixels a side


class Flat(nn.Module):
    """`inner` over maps that lie in one, the pixels of all images: (1, C, pixels, N). There a 1 x 1 convolution is a
    product of two matrices, whose weights are read once.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, side, side) -> (N, C', side', side')"""
        flat = self.inner(maps.permute(1, 2, 3, 0).reshape(1, maps.shape[1], maps.shape[2] * maps.shape[3], -1))
        side = 1 if flat.shape[2] == 1 else SMALL_MAP
        pixels: torch.Tensor = flat.reshape(flat.shape[1], side, side, -1).permute(3, 0, 1, 2)
        return pixels


class Dense(nn.Module):
    """A padded 3 x 3 convolution over a small map: one matrix, for each pixel out sees all pixels in."""

    def __init__(self, convolution: nn.Conv2d, side: int) -> None:
        super().__init__()
        assert convolution.bias is not None
        centres = [(y, x) for y in range(0, side, convolution.stride[0]) for x in range(0, side, convolution.stride[0])]
        seen = [(y, x) for y in range(side) for x in range(side)]
        weight = convolution.weight.detach()
        rows = [torch.stack([weight[:, :, v - y + 1, u - x + 1] for v, u in seen], dim=2) for y, x in centres]
        matrix = torch.stack(rows, dim=1)  # (C', pixels out, C, pixels in)
        self.wide, self.pixels = convolution.out_channels, len(centres)
        self.product = nn.Conv2d(matrix[0, 0].numel(), self.wide * self.pixels, 1)
        self.product.weight = nn.Parameter(matrix.reshape(*self.product.weight.shape))
        self.product.bias = nn.Parameter(convolution.bias.detach().repeat_interleave(self.pixels))

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        """(1, C, pixels in, N) -> (1, C', pixels out, N)"""
        rows: torch.Tensor = self.product(flat.reshape(1, self.product.in_channels, 1, -1))
        return rows.reshape(1, self.wide, self.pixels, -1)


class FirstPixel(nn.Module):
    """All that a 1 x 1 convolution with stride 2 sees of a map of 2 x 2 pixels: (1, C, 4, N) -> (1, C, 1, N)."""

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        return flat[:, :, :1]


class EverySecond(nn.Module):
    """(N, C, H, W) -> every second row and column of it."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps[:, :, ::2, ::2]


def fold_small_maps(network: Network, side: int) -> Network:
    """Rewrite the ResNet in `network` for images of `side` x `side` pixels, and for no others. -> `network`, changed.

    Its answers differ by rounding only.
    """
    resnet: Any = network.model.resnet
    for module in list(resnet.modules()):
        if hasattr(module, "convolution") and isinstance(getattr(module, "normalization", None), nn.BatchNorm2d):
            _fold_norm(module)
    sides = _map_sides(resnet, side)
    for stage in resnet.encoder.stages:
        stage.layers = nn.Sequential(*_rewritten(list(stage.layers), sides))
    return network


def _fold_norm(module: Any) -> None:
    """Batch norm in evaluation is linear: it becomes part of the convolution before it."""
    convolution, norm = module.convolution, module.normalization
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    convolution.weight = nn.Parameter((convolution.weight.double() * scale[:, None, None, None]).float())
    convolution.bias = nn.Parameter((norm.bias.double() - norm.running_mean.double() * scale).float())
    module.normalization = nn.Identity()


def _map_sides(resnet: nn.Module, side: int) -> dict[nn.Conv2d, int]:
    """The side of the maps that each convolution is given."""
    sides: dict[nn.Conv2d, int] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        sides[module] = inputs[0].shape[-1]

    convolutions = [module for module in resnet.modules() if isinstance(module, nn.Conv2d)]
    hooks = [convolution.register_forward_pre_hook(note) for convolution in convolutions]
    with torch.inference_mode():
        resnet(torch.zeros(1, convolutions[0].in_channels, side, side))
    for hook in hooks:
        hook.remove()
    return sides


def _rewritten(layers: list[nn.Module], sides: dict[nn.Conv2d, int]) -> list[nn.Module]:
    """A stage's layers: those whose maps are all small, which are its last ones, in one `Flat`."""
    small = [all(sides[c] <= SMALL_MAP for c in layer.modules() if isinstance(c, nn.Conv2d)) for layer in layers]
    first = small.index(True) if True in small else len(layers)
    for number, layer in enumerate(layers):
        for module in list(layer.modules()):
            convolution = getattr(module, "convolution", None)
            if isinstance(convolution, nn.Conv2d):
                rewrite = _flat if number >= first else _at_the_border
                module.convolution = rewrite(convolution, sides[convolution])
    return [*layers[:first], Flat(nn.Sequential(*layers[first:]))] if first < len(layers) else layers


def _flat(convolution: nn.Conv2d, side: int) -> nn.Module:
    """The convolution for maps as `Flat` has them."""
    if convolution.kernel_size == (3, 3):
        return Dense(convolution, side)
    if convolution.stride == (1, 1):
        return convolution
    convolution.stride = (1, 1)
    return nn.Sequential(FirstPixel(), convolution)


def _at_the_border(convolution: nn.Conv2d, side: int) -> nn.Module:
    """Of a layer that also has larger maps: a product where what comes out is small, and what goes in small enough."""
    steps = convolution.stride[0]
    if -(-side // steps) > SMALL_MAP or (convolution.kernel_size == (3, 3) and side > SMALL_MAP):
        return convolution
    if steps == 1 or side <= SMALL_MAP:
        return Flat(_flat(convolution, side))
    convolution.stride = (1, 1)
    return nn.Sequential(EverySecond(), Flat(convolution))
