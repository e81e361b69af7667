"""Which device, how many images at once."""

import copy
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from transformers import PreTrainedModel

from training.algorithms.base import Message, gettext_noop
from training.trainer import limits
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


def loader_workers(device: str, wanted: int = -1) -> int:
    """Processes that load images: as many as are `wanted`. -1: on a CPU 0, the cores are busy; on a GPU up to 4."""
    if wanted >= 0:
        return wanted
    return 0 if device == "cpu" else min(4, (os.cpu_count() or 2) - 1)


def starting_batch_size(model: PreTrainedModel, data: Any, train: ModuleType, device: str, may_hold: int) -> int:
    """Where the search for the largest batch starts.

    On a GPU at 64: it says when its memory is full, and accelerate then tries less. A CPU's memory is never
    full, the process is just killed: so one image is tried, and as many taken as fit in 60 % of what is free.
    """
    most = min(LARGEST_AUTOMATIC_BATCH, len(data))
    if device != "cpu":
        return most
    free = limits.left_bytes(may_hold) * MEMORY_SHARE
    state = sum(p.numel() for p in model.parameters()) * 4 * 3  # gradients and AdamW's two moments
    return max(1, min(most, int((free - state) / _bytes_an_image(model, data, train))))


def _bytes_an_image(model: PreTrainedModel, data: Any, train: ModuleType) -> int:
    """How much memory one image's step takes, by trying it on a copy: random numbers and weights stay as they are."""
    with torch.random.fork_rng(devices=[]):
        trial = copy.deepcopy(model).train()
        before = limits.resident_bytes()
        limits.forget_peak()
        train.loss(trial, train.collate([data[0]])).backward()
    return max(limits.peak_bytes() - before, 16 * 2**20)


def settings(device: str, precision: str) -> Mapping[str, Any]:
    """TrainingArguments for them."""
    return {"use_cpu": device == "cpu", "bf16": precision == "bf16", "fp16": precision == "fp16"}
