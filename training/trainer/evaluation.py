"""Evaluates a split as the stage would answer it: fp32, the stage's own pre- and postprocessing, batch by batch."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from training.trainer.stop import StopSignal


def batches(data: Any, size: int) -> list[list[int]]:
    """Indices in batches of at most `size`, each of rows of one shape, so that no row is padded."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index in range(len(data)):
        by_shape.setdefault(data.shape(index), []).append(index)
    return [rows[start : start + size] for rows in by_shape.values() for start in range(0, len(rows), size)]


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _to_device(v, device) for name, v in value.items()}
    return [_to_device(v, device) for v in value]


def _loaded(data: Any, plan: list[list[int]], train: ModuleType, workers: int) -> Iterator[dict[str, Any]]:
    # A generator of its own: the loader draws a seed, and training's random numbers must not depend on evaluation.
    loader = DataLoader(
        data, batch_sampler=plan, collate_fn=train.collate, num_workers=workers, generator=torch.Generator()
    )
    return iter(loader)


@torch.inference_mode()
def evaluate(
    model: PreTrainedModel,
    data: Any,
    *,
    train: ModuleType,
    evaluator: Any,
    batch_size: int,
    workers: int,
    stop: StopSignal,
) -> dict[str, float]:
    """-> {"loss": ..., every metric by name}. Raises Stopped between two batches.

    Nothing but counts (and, for detection, boxes) outlives its batch.
    """
    model.eval()
    torch.backends.cudnn.allow_tf32 = False  # on a GPU convolutions would be rounded to 10 bits: the stage's are not
    device, total, weight = model.device, 0.0, 0.0
    plan = batches(data, batch_size)
    for indices, batch in zip(plan, _loaded(data, plan, train, workers), strict=True):
        stop.check()
        labels = _to_device(batch.pop("labels"), device)
        # The class's own forward: accelerate puts one with autocast on the instance, and this is to be fp32.
        result = type(model).forward(model, **_to_device(batch, device))
        outputs = {name: result[name] for name in ("logits", "pred_boxes") if name in result}
        batch_total, batch_weight = train.evaluation_loss(model, outputs, labels)
        total, weight = total + batch_total, weight + batch_weight
        arrays = {name: tensor.float().cpu().numpy() for name, tensor in outputs.items()}
        evaluator.update(arrays, labels, [data.records[i] for i in indices])
    return {"loss": total / max(weight, 1), **evaluator.compute()}
