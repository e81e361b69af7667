"""Which device, which precision, how many images at once."""

import copy
import os
import resource
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import psutil
import torch
from transformers import PreTrainedModel

from training.algorithms.base import Message, gettext_noop
from training.trainer.failures import Failure

LARGEST_AUTOMATIC_BATCH = 64  # beyond this a step takes no less time an image, and the learning rate would not fit
MEMORY_SHARE = 0.6  # of what is free: others live on this machine too


def choose_device(wanted: str) -> str:
    """ "auto", "cpu" or "cuda" -> "cpu" or "cuda". Raises Failure when CUDA is asked for and not there."""
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise Failure("no_cuda", Message(gettext_noop("This machine has no GPU that PyTorch can use.")))
    return "cpu"


def choose_precision(device: str) -> str:
    """bf16 where the GPU has it, fp16 where not, fp32 on a CPU."""
    if device == "cpu":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def loader_workers(device: str) -> int:
    """On a CPU 0: the cores are busy with the network, and no process can be left behind. On a GPU up to 4."""
    return 0 if device == "cpu" else min(4, (os.cpu_count() or 2) - 1)


def starting_batch_size(model: PreTrainedModel, data: Any, train: ModuleType, device: str) -> int:
    """Where the search for the largest batch starts.

    On a GPU at 64: it says when its memory is full, and accelerate then tries less. A CPU's memory is never
    full, the process is just killed: so one image is tried, and as many taken as fit in 60 % of what is free.
    """
    most = min(LARGEST_AUTOMATIC_BATCH, len(data))
    if device != "cpu":
        return most
    free = psutil.virtual_memory().available * MEMORY_SHARE
    state = sum(p.numel() for p in model.parameters()) * 4 * 3  # gradients and AdamW's two moments
    return max(1, min(most, int((free - state) / _bytes_an_image(model, data, train))))


def _bytes_an_image(model: PreTrainedModel, data: Any, train: ModuleType) -> int:
    """How much memory one image's step takes, by trying it on a copy: random numbers and weights stay as they are."""
    with torch.random.fork_rng(devices=[]):
        trial = copy.deepcopy(model).train()
        before = psutil.Process().memory_info().rss
        train.loss(trial, train.collate([data[0]])).backward()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(peak - before, 16 * 2**20)


def settings(device: str, precision: str) -> Mapping[str, Any]:
    """TrainingArguments for them."""
    return {"use_cpu": device == "cpu", "bf16": precision == "bf16", "fp16": precision == "fp16"}
