"""ResNet over small images: what lies outside a map of a few pixels is left out, and images share one product.

With images of 28 pixels the last maps of ResNet-50 have 2 x 2 pixels and 1 x 1, under 22 of its 23 million weights.
There a padded 3 x 3 convolution mostly multiplies zeros, and a runtime that computes image by image reads all those
weights for each of them. The same sums, written so that neither happens: a batch of 8 takes four fifths of the time,
one of 32 two thirds, a single image about what it took.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from models_registry.network import Network

SMALL_MAP = 2  # pixels a side


class Dense(nn.Module):
    """A padded 3 x 3 convolution over maps of 2 x 2 pixels: one matrix, for each pixel out sees all four pixels in."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        wide, narrow = convolution.out_channels, convolution.in_channels
        matrix = torch.zeros(wide, 2, 2, narrow, 2, 2)
        for y, x, v, u in torch.cartesian_prod(*[torch.arange(2)] * 4).tolist():
            matrix[:, y, x, :, v, u] = convolution.weight.detach()[:, :, v - y + 1, u - x + 1]
        self.product = nn.Conv2d(4 * narrow, 4 * wide, 1)
        self.product.weight = nn.Parameter(matrix.reshape(4 * wide, 4 * narrow, 1, 1))
        self.product.bias = nn.Parameter(convolution.bias.detach().repeat_interleave(4))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(1, C, 4, N) -> (1, C', 4, N), as `Flat` has its images."""
        rows: torch.Tensor = self.product(pixels.reshape(1, self.product.in_channels, 1, -1))
        return rows.reshape(1, self.product.out_channels // 4, 4, -1)


class Flat(nn.Module):
    """Layers whose convolutions are all 1 x 1 or Dense: the pixels of all images lie in one map, (1, C, pixels, N)."""

    def __init__(self, layers: Sequence[nn.Module], side: int) -> None:
        super().__init__()
        self.layers, self.side = nn.Sequential(*layers), side

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, side, side) -> (N, C', side, side)"""
        flat = self.layers(maps.permute(1, 2, 3, 0).reshape(1, maps.shape[1], self.side**2, -1))
        pixels: torch.Tensor = flat.reshape(flat.shape[1], self.side, self.side, -1).permute(3, 0, 1, 2)
        return pixels


def fold_small_maps(network: Network, side: int) -> Network:
    """Rewrite the ResNet in `network` for images of `side` x `side` pixels, and for no others. -> `network`, changed.

    Its answers differ by rounding only.
    """
    resnet: Any = network.model.resnet
    for module in list(resnet.modules()):
        if hasattr(module, "convolution") and isinstance(getattr(module, "normalization", None), nn.BatchNorm2d):
            _fold_norm(module)
    sides = _map_sides(resnet, side)
    for convolution in sides:
        _crop(convolution, sides[convolution])
    for stage in resnet.encoder.stages:
        stage.layers = nn.Sequential(*_flattened(list(stage.layers), sides))
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


def _crop(convolution: nn.Conv2d, side: int) -> None:
    """Leave those of a 3 x 3 window's weights out that only ever meet the padding."""
    if side == 1:
        convolution.stride = (1, 1)
    if convolution.kernel_size != (3, 3) or (side, *convolution.stride) not in {(1, 1, 1), (2, 2, 2)}:
        return
    seen = slice(1, 2) if side == 1 else slice(1, 3)
    convolution.weight = nn.Parameter(convolution.weight.detach()[:, :, seen, seen].clone())
    convolution.kernel_size, convolution.padding = (side, side), (0, 0)


def _flattened(layers: list[nn.Module], sides: dict[nn.Conv2d, int]) -> list[nn.Module]:
    """A stage's layers, with each run of those that keep a small map's side in one `Flat`."""
    found: list[nn.Module] = []
    run: list[nn.Module] = []
    run_side = 0
    for layer in layers:
        side = _kept_side(layer, sides)
        if run and side != run_side:
            found.append(Flat(run, run_side))
            run = []
        if side:
            run_side = side
            run.append(_with_products(layer))
        else:
            found.append(layer)
    return [*found, Flat(run, run_side)] if run else found


def _kept_side(layer: nn.Module, sides: dict[nn.Conv2d, int]) -> int:
    """The side of the small maps that go into each convolution of the layer and come out of it; else 0."""
    convolutions = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
    found = {sides[convolution] for convolution in convolutions}
    if len(found) > 1 or max(found) > SMALL_MAP or any(c.stride != (1, 1) or c.groups > 1 for c in convolutions):
        return 0
    return found.pop()


def _with_products(layer: nn.Module) -> nn.Module:
    for module in list(layer.modules()):
        convolution = getattr(module, "convolution", None)
        if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (3, 3):
            module.convolution = Dense(convolution)
    return layer
