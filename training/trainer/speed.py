"""What makes a step quicker and leaves what it computes as it is: precision, memory layout, small maps, kept memory."""

import ctypes
from collections.abc import Mapping
from typing import Any

import torch

from training.algorithms.base import Message, gettext_noop
from training.trainer.failures import Failure
from training.trainer.small_maps import use_products

PRECISIONS = ("auto", "fp32", "bf16")
# A CPU without one of these computes bf16 in single steps through fp32: slower than fp32 itself.
CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
# In pixels. With smaller images most of the time goes into the weights: AdamW's part grows with channels last, and on a
# CPU bf16 gains 5 to 10 %. There it must not be either: for small maps oneDNN's bf16 gradients of the weights make the
# threads wait for each other so busily that beside other work a step took 10 times as long, and over a single pixel
# (ResNet-50: images up to 16 pixels) PyTorch 2.13 computes some of them wrong.
SMALL_IMAGE = 64
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def choose_precision(device: str, data: Any, wanted: str = "auto") -> str:
    """ "auto": bf16 where the device computes in it, else fp32 on a CPU and fp16 on a GPU. Raises Failure.

    It is that of the forward and backward pass alone: weights, optimiser, loss and evaluation are fp32.
    """
    if wanted not in PRECISIONS:
        text = gettext_noop("The precision %(name)s is not known. Set TRAINING_PRECISION to one of: %(known)s.")
        raise Failure("bad_config", Message(text, {"name": wanted, "known": ", ".join(PRECISIONS)}))
    if device == "cpu" and smallest_side(data) < SMALL_IMAGE:
        return "fp32"
    if wanted != "auto":
        return wanted
    if device == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def smallest_side(data: Any) -> int:
    """The shortest side, in pixels, of what the network is shown. `data` has at least one row."""
    shapes = {data.shape(row) for row in range(len(data))}
    return int(min(min(shape) for shape in shapes) if all(shapes) else min(data[0]["pixels"].shape[1:]))


def cpu_has_bf16() -> bool:
    """False too where PyTorch is too old to say."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in CPU_BF16)


def arrange(model: Any, data: Any, device: str) -> Any:
    """Put the channels of a convolution's weights last in memory; its input then follows.

    Vector units and a GPU's tensor cores take all channels of a pixel at once. Shapes, names and values stay. With
    small images a CPU is quicker when it computes most convolutions as products of matrices.
    """
    if smallest_side(data) < SMALL_IMAGE:
        return use_products(model) if device == "cpu" else model
    return model.to(memory_format=torch.channels_last)


def keep_memory() -> None:
    """From here on the C library keeps what a step frees for the next step, instead of giving it back to the system.

    Otherwise the system clears the same pages anew in each step: a quarter of a step's time with small images. Blocks
    of more than 32 MB are given back all the same. Call it when what fits is known: it makes free memory look taken.
    See mallopt(3); nothing happens where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(M_TRIM_THRESHOLD, -1)
